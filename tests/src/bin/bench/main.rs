//! Measures the real programs next to others and prints one table. Only ratios taken in one run mean anything: the
//! measured and the compared program take turns, and medians are shown. Nothing is asserted.

mod datagrams;
mod direct;
mod ends;
mod first_frame;
mod folder;
mod handed;
mod limited;
mod memory;
mod messages;
mod nginx;
mod others;
mod path;
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
    /// Rows to measure: a get, b the others, c small files, d memory, e search, f first frame, g processor time, h limited
    /// sources, i paths with loss, j a mixed folder, k datagrams, l small files in memory, m messages
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e,f,g,h,i,j,k,m,l")]
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
    /// Members that are connected while messages pass
    #[arg(long, default_value_t = 2000)]
    talkers: usize,
    /// Files in the index that is searched
    #[arg(long, default_value_t = 100_000)]
    files: usize,
}

impl Options {
    fn wants(&self, row: char) -> bool {
        self.only.contains(&row)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut table = Table::new();
    let wants = |row: char| options.wants(row);
    tests::lab::remove_leftovers();
    if wants('a') || wants('b') || wants('g') {
        direct::measure(&options, &mut table)?;
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
    if wants('m') {
        // All members share one socket, which one thread serves with the least work.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if let Err(error) = runtime.block_on(messages::measure(&options, &mut table)) {
            table.missing("m: the rest", &error);
        }
    }
    if wants('f') {
        first_frame::measure(&mut table)?;
    }
    let mut measured = |row: char, measure: fn(&Options, &mut Table) -> Result<()>| {
        if wants(row)
            && let Err(error) = measure(&options, &mut table)
        {
            table.missing(&format!("{row}: the rest"), &error);
        }
    };
    measured('h', limited::measure);
    measured('i', path::measure);
    measured('j', folder::measure);
    measured('k', datagrams::measure);
    // The last one, because from here on everything temporary is in memory.
    measured('l', small::measure_in_memory);
    table.print();
    Ok(())
}
