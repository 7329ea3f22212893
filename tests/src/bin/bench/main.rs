//! Measures the real programs next to others and prints one table. Only ratios taken in one run mean anything: the
//! measured and the compared program take turns, and medians are shown. Nothing is asserted.

mod direct;
mod first_frame;
mod memory;
mod search;
mod small;
mod ssh;
mod table;

use anyhow::Result;
use clap::Parser;

use self::table::Table;

/// Measures Swapmeet on this machine.
#[derive(Debug, Parser)]
struct Options {
    /// Rows to measure: a get, b scp and rsync, c small files, d memory, e search, f first frame
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e,f")]
    only: Vec<char>,
    /// Alternating pairs of the comparisons
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// MiB of the large file
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// Members that are connected and idle
    #[arg(long, default_value_t = 500)]
    members: usize,
    /// Files in the index that is searched
    #[arg(long, default_value_t = 100_000)]
    files: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut table = Table::new();
    let wants = |row: char| options.only.contains(&row);
    if wants('a') || wants('b') {
        direct::measure(&options, wants('b'), &mut table)?;
    }
    if wants('c') {
        small::measure(&options, &mut table)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if wants('d') {
        runtime.block_on(memory::measure(&options, &mut table))?;
    }
    if wants('e') {
        runtime.block_on(search::measure(&options, &mut table))?;
    }
    if wants('f') {
        first_frame::measure(&mut table)?;
    }
    table.print();
    Ok(())
}
