//! What all rounds gave: medians, tables, CSV.

use crate::measure::Outcome;
use crate::message::Size;
use crate::transport::Wait;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Ping-pong or one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Latency,
    Throughput,
}

/// A table's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    pub cores: usize,
    pub wait: Wait,
    pub size: Size,
}

impl Conditions {
    pub fn title(&self) -> String {
        let cores = if self.cores == 1 { "one core" } else { "two cores" };
        format!("{cores}, {}, {}", self.wait.name(), self.size.name())
    }
}

/// All outcomes of one way under one table's conditions.
#[derive(Debug, Default)]
pub struct Cell {
    rounds: BTreeMap<Kind, Vec<Outcome>>,
    /// The first failure.
    pub failure: Option<String>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        (values[half - 1] + values[half]) / 2.0
    }
}

impl Cell {
    pub fn add(&mut self, kind: Kind, outcome: Outcome) {
        self.rounds.entry(kind).or_default().push(outcome);
    }

    /// Medians of all rounds; of the longest times, the longest.
    pub fn median(&self, kind: Kind) -> Option<Outcome> {
        let rounds = self.rounds.get(&kind)?;
        let of = |field: fn(&Outcome) -> f64| median(rounds.iter().map(field).collect());
        Some(Outcome {
            messages: rounds.iter().map(|round| round.messages).sum(),
            per_second: of(|o| o.per_second),
            p50: of(|o| o.p50),
            p99: of(|o| o.p99),
            p999: of(|o| o.p999),
            p9999: of(|o| o.p9999),
            max: rounds.iter().map(|round| round.max).fold(0.0, f64::max),
            switches: of(|o| o.switches),
        })
    }
}

/// One table: rows in their order, the first one is what the others are compared with.
pub struct Table {
    pub conditions: Conditions,
    pub rows: Vec<(&'static str, Cell)>,
}

/// Three digits, and no more than are known.
fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn micros(nanos: f64) -> String {
    short(nanos / 1000.0)
}

/// Columns of a table: name, and the cell's text beside the first row's cell.
type Column = (&'static str, fn(&Cell, &Cell) -> Option<String>);

fn field(cell: &Cell, kind: Kind, get: fn(&Outcome) -> f64) -> Option<f64> {
    cell.median(kind).as_ref().map(get)
}

fn ratio(cell: &Cell, base: &Cell, kind: Kind, get: fn(&Outcome) -> f64) -> Option<String> {
    let (value, base) = (field(cell, kind, get)?, field(base, kind, get)?);
    (base > 0.0).then(|| short(value / base))
}

const LATENCY: &[Column] = &[
    ("p50 µs", |c, _| field(c, Kind::Latency, |o| o.p50).map(micros)),
    ("÷ shmdemo", |c, b| ratio(c, b, Kind::Latency, |o| o.p50)),
    ("p99 µs", |c, _| field(c, Kind::Latency, |o| o.p99).map(micros)),
    ("p99.9 µs", |c, _| field(c, Kind::Latency, |o| o.p999).map(micros)),
];
const REALTIME: &[Column] = &[
    ("p99.99 µs", |c, _| field(c, Kind::Latency, |o| o.p9999).map(micros)),
    ("max µs", |c, _| field(c, Kind::Latency, |o| o.max).map(micros)),
];
const THROUGHPUT: &[Column] = &[
    ("million/s", |c, _| field(c, Kind::Throughput, |o| o.per_second / 1e6).map(short)),
    ("÷ shmdemo", |c, b| ratio(c, b, Kind::Throughput, |o| o.per_second)),
    ("switches/message", |c, _| {
        field(c, Kind::Throughput, |o| o.switches).map(|s| format!("{s:.3}"))
    }),
];

impl Table {
    fn cells(&self, columns: &[Column]) -> Vec<Vec<String>> {
        let base = &self.rows[0].1;
        let line = |(name, cell): &(&str, Cell)| {
            let mut words = vec![name.to_string()];
            words.extend(columns.iter().map(|(_, text)| text(cell, base).unwrap_or_default()));
            if let Some(failure) = &cell.failure {
                words.push(failure.clone());
            }
            words
        };
        let shown = |(_, cell): &&(&str, Cell)| cell.failure.is_some() || !cell.rounds.is_empty();
        self.rows.iter().filter(shown).map(line).collect()
    }

    /// As text for a terminal or Markdown.
    pub fn print(&self, realtime: bool, markdown: bool) -> String {
        let has = |kind| self.rows.iter().any(|(_, cell)| cell.median(kind).is_some());
        let mut columns = Vec::new();
        for (kind, some) in [(Kind::Latency, LATENCY), (Kind::Throughput, THROUGHPUT)] {
            if has(kind) {
                columns.extend_from_slice(some);
            }
            if kind == Kind::Latency && realtime {
                columns.extend_from_slice(REALTIME);
            }
        }
        let lines = self.cells(&columns);
        let wide = |text: &str| text.chars().count();
        let first = self.rows.iter().map(|(name, _)| wide(name)).max().unwrap_or(0);
        let title = self.conditions.title();
        let mut out = String::new();
        // Writing to a String does not fail.
        if markdown {
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let _ = writeln!(out, "**{title}**\n\n| | {} |", names.join(" | "));
            let _ = writeln!(out, "| --- |{}", " ---: |".repeat(columns.len()));
            for line in &lines {
                let _ = writeln!(out, "| {} |", line.join(" | "));
            }
        } else {
            let _ = write!(out, "{title}\n{:first$}", "");
            for (name, _) in &columns {
                let _ = write!(out, "  {name:>9}");
            }
            out.push('\n');
            for line in &lines {
                let _ = write!(out, "{:first$}", line[0]);
                for (i, word) in line[1..].iter().enumerate() {
                    let width = columns.get(i).map_or(0, |(name, _)| wide(name).max(9));
                    let _ = write!(out, "  {word:>width$}");
                }
                out.push('\n');
            }
        }
        out
    }
}

/// All tables as comma-separated values, times in nanoseconds.
pub fn csv(tables: &[Table]) -> String {
    let mut out = String::from(
        "cores,waiting,size,way,measurement,messages,per_second,p50_ns,p99_ns,p999_ns,p9999_ns,\
         max_ns,switches_per_message\n",
    );
    for Table { conditions, rows } in tables {
        let Conditions { cores, wait, size } = conditions;
        for (name, cell) in rows {
            for (kind, word) in [(Kind::Latency, "ping-pong"), (Kind::Throughput, "one way")] {
                let Some(o) = cell.median(kind) else { continue };
                let _ = writeln!(
                    out,
                    "{cores},{},{},\"{name}\",{word},{},{:.0},{:.0},{:.0},{:.0},{:.0},{:.0},{:.4}",
                    wait.name(),
                    size.name(),
                    o.messages,
                    o.per_second,
                    o.p50,
                    o.p99,
                    o.p999,
                    o.p9999,
                    o.max,
                    o.switches
                );
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_the_longest_time() {
        let mut cell = Cell::default();
        for (p50, max) in [(3.0, 5.0), (1.0, 9.0), (2.0, 7.0)] {
            cell.add(Kind::Latency, Outcome { p50, max, ..Outcome::default() });
        }
        let outcome = cell.median(Kind::Latency).unwrap();
        assert_eq!((outcome.p50, outcome.max), (2.0, 9.0));
        assert!(cell.median(Kind::Throughput).is_none());
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
    }
}
