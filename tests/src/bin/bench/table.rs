//! The table of results, and the arithmetic of it.

use std::{fs, process::Command};

/// Rows, printed as they are measured (to stderr) and as one table at the end.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let table = Self::default();
        eprintln!("measuring on {}", machine());
        table
    }

    /// One measurement: what, its value, what it is compared with, the ratio, and what it should be.
    pub(crate) fn row(&mut self, what: &str, value: String, compared: String, ratio: String, target: &str) {
        eprintln!("{what}: {value} | {compared} | {ratio} | {target}");
        self.rows.push([what.to_owned(), value, compared, ratio, target.to_owned()]);
    }

    /// What could not be measured, and why.
    pub(crate) fn missing(&mut self, what: &str, why: &impl std::fmt::Display) {
        self.row(what, format!("not measured: {why:#}"), String::new(), String::new(), "");
    }

    pub(crate) fn print(&self) {
        println!("Machine: {}\n", machine());
        println!("| what | measured | compared with | ratio | target |");
        println!("|---|---|---|---|---|");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// The middle of some measurements.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of the measurements does not exceed.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(position.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of pairs, with the smallest and the largest.
pub(crate) fn ratio_of_pairs(ours: &[f64], theirs: &[f64]) -> String {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    format!(
        "{:.2} ({:.2} to {:.2}, n={})",
        median(&ratios),
        quantile(&ratios, 0.0),
        quantile(&ratios, 1.0),
        ratios.len()
    )
}

/// Seconds with their spread.
pub(crate) fn seconds(values: &[f64]) -> String {
    format!("{:.2} s ({:.2} to {:.2})", median(values), quantile(values, 0.0), quantile(values, 1.0))
}

/// Shares of a whole, in percent, with their spread.
pub(crate) fn percent(shares: &[f64]) -> String {
    let at = |share: f64| quantile(shares, share) * 100.0;
    format!("{:.0} % ({:.0} to {:.0}, n={})", at(0.5), at(0.0), at(1.0), shares.len())
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let filesystem = Command::new("stat").args(["-f", "-c", "%T"]).arg(std::env::temp_dir()).output();
    let filesystem =
        filesystem.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{cores} cores, {}, Linux {}, files on {filesystem}", model.trim_matches([' ', '\t', ':']), kernel.trim())
}
