//! Measures shmdemo side by side with what could be used instead.

#[cfg(feature = "chart")]
mod chart;
mod load;
mod measure;
mod message;
mod options;
mod pair;
mod report;
mod transport;
mod transports;

use anyhow::{Context, Result};
use measure::{Extent, Row, Task};
use options::Options;
use pair::Place;
use report::{Cell, Conditions, Kind, Table};
use std::process::ExitCode;
use std::time::Duration;
use transport::Spec;

/// Added to a measurement's own time before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where a number of messages is given, which may take any time.
const LONG_PATIENCE: Duration = Duration::from_secs(900);
/// Rest between two pings of the real-time measurement.
const REST: Duration = Duration::from_micros(250);

fn main() -> ExitCode {
    let result = Options::parse().and_then(|options| match options {
        Some(options) => pair::preferred(|| match run(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(e) => failure(&e),
        }),
        None => {
            print!("{}", options::HELP);
            Ok(ExitCode::SUCCESS)
        }
    });
    result.unwrap_or_else(|e| failure(&e))
}

fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("shmdemo-compare: {error:#}");
    ExitCode::FAILURE
}

/// The first two processors this process may run on.
fn processors() -> Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    let all = (0..nix::sched::CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true));
    Ok(all.take(2).collect())
}

fn chosen(options: &Options) -> Vec<Row> {
    let wanted = |row: &Row| {
        let named = |text: &String| row.name.to_lowercase().contains(&text.to_lowercase());
        // The first one is what the others are compared with.
        row.name == "shmdemo" || options.only.is_empty() || options.only.iter().any(named)
    };
    transports::all().into_iter().filter(wanted).collect()
}

fn tables(options: &Options, rows: &[Row], cpus: &[usize]) -> Vec<Table> {
    let mut tables = Vec::new();
    for cores in options.cores.clone().unwrap_or_else(|| vec![1, 2]) {
        if cores > cpus.len() {
            eprintln!("only one processor: nothing is measured on two");
            continue;
        }
        for size in &options.sizes {
            for wait in options.waits(cores) {
                let shown = rows.iter().filter(|row| (row.offers)(*wait));
                let rows = shown.map(|row| (row.name, Cell::default())).collect();
                let conditions = Conditions { cores, wait: *wait, size: *size };
                tables.push(Table { conditions, rows });
            }
        }
    }
    tables
}

/// True: nothing failed.
fn run(options: &Options) -> Result<bool> {
    let cpus = processors()?;
    let rows = chosen(options);
    let mut tables = tables(options, &rows, &cpus);
    let missing: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.name, format!("not here: {:#}", (row.available)().err()?))))
        .collect();
    for (name, cell) in tables.iter_mut().flat_map(|table| &mut table.rows) {
        if let Some((_, why)) = missing.iter().find(|(missing, _)| missing == name) {
            cell.failure = Some(why.clone());
        }
    }
    let load = if options.realtime { Some(load::Load::start(&cpus)?) } else { None };
    let mut id = 0;
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}, load {}", options.rounds, load_average());
        for table in &mut tables {
            measure_table(options, &rows, &cpus, table, &mut id);
        }
    }
    drop(load);
    for table in &tables {
        println!("{}", table.print(options.realtime, options.markdown));
    }
    if let Some(file) = &options.csv {
        std::fs::write(file, report::csv(&tables))
            .with_context(|| format!("write {}", file.display()))?;
        eprintln!("figures: {}", file.display());
    }
    #[cfg(feature = "chart")]
    if let Some(file) = &options.svg {
        let first = options.sizes[0];
        let drawn: Vec<&Table> = tables.iter().filter(|t| t.conditions.size == first).collect();
        chart::draw(&drawn, file).with_context(|| format!("draw {}", file.display()))?;
        eprintln!("chart: {}", file.display());
    }
    // What is not to be had here is no failure of this run.
    let not_here = |name: &str| missing.iter().any(|(missing, _)| *missing == name);
    let failed = |(name, cell): &(&str, Cell)| cell.failure.is_some() && !not_here(name);
    Ok(!tables.iter().flat_map(|table| &table.rows).any(failed))
}

/// One round of one table: every way once.
fn measure_table(options: &Options, rows: &[Row], cpus: &[usize], table: &mut Table, id: &mut u32) {
    let Conditions { cores, wait, size } = table.conditions;
    let place = Place {
        cpus: [cpus[0], cpus[cores - 1]],
        realtime: options.realtime,
        niceness: options.niceness,
        patience: match options.messages {
            Some(_) => LONG_PATIENCE,
            None => options.time + PATIENCE,
        },
    };
    for (name, cell) in &mut table.rows {
        let Some(row) = rows.iter().find(|row| row.name == *name) else { continue };
        for kind in [Kind::Latency, Kind::Throughput] {
            let (wanted, measure) = match kind {
                Kind::Latency => (options.latency && !row.batched, row.latency),
                Kind::Throughput => (options.throughput, row.throughput),
            };
            if !wanted || cell.failure.is_some() {
                continue;
            }
            *id += 1;
            let task = Task {
                spec: Spec { size, wait, id: *id },
                place,
                extent: options.messages.map_or(Extent::Time(options.time), Extent::Messages),
                rest: if options.realtime { REST } else { Duration::ZERO },
            };
            match measure(&task) {
                Ok(outcome) => cell.add(kind, outcome),
                Err(e) => cell.failure = Some(format!("failed: {e:#}")),
            }
        }
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_string()
}
