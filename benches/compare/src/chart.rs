//! The figures as bars, on a logarithmic scale: latency on the left, throughput on the right.

use crate::measure::Outcome;
use crate::report::{Kind, Table};
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const WIDTH: u32 = 1000;
const LINE: i32 = 18;
const HEAD: i32 = 46;
/// Where bars begin in a panel, and how long the longest is.
const BARS: i32 = 165;
const LONGEST: f64 = 250.0;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const OTHERS: RGBColor = RGBColor(0xb0, 0xb7, 0xbf);
const TEXT: RGBColor = RGBColor(0x24, 0x29, 0x2f);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws each table as a line of two panels.
pub fn draw(tables: &[&Table], file: &Path) -> Result<()> {
    let height = |table: &Table| HEAD + LINE * table.rows.len() as i32 + 14;
    let total: i32 = tables.iter().map(|table| height(table)).sum();
    let area = SVGBackend::new(file, (WIDTH, total as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut rest = area.clone();
    for table in tables {
        let (line, below) = rest.split_vertically(height(table));
        rest = below;
        let (left, right) = line.split_horizontally(WIDTH / 2);
        let title = table.conditions.title();
        bars(&left, table, &format!("one-way latency p50 — {title}"), false)?;
        bars(&right, table, &format!("messages per second — {title}"), true)?;
    }
    area.present()?;
    Ok(())
}

fn label(value: f64, rate: bool) -> String {
    match (rate, value) {
        (true, v) if v >= 1e6 => format!("{:.1} M", v / 1e6),
        (true, v) if v >= 1e3 => format!("{:.0} k", v / 1e3),
        (false, v) if v >= 1e6 => format!("{:.1} ms", v / 1e6),
        (false, v) if v >= 1e3 => format!("{:.1} µs", v / 1e3),
        (false, v) => format!("{v:.0} ns"),
        (true, v) => format!("{v:.0}"),
    }
}

fn bars(panel: &Panel, table: &Table, title: &str, rate: bool) -> Result<()> {
    let (kind, get): (Kind, fn(Outcome) -> f64) = match rate {
        true => (Kind::Throughput, |o| o.per_second),
        false => (Kind::Latency, |o| o.p50),
    };
    let mut values: Vec<(&str, f64)> = (table.rows.iter())
        .filter_map(|(name, cell)| Some((*name, cell.median(kind).map(get)?)))
        .collect();
    // The best on top.
    values.sort_by(|a, b| if rate { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    let (Some(low), Some(high)) = (
        values.iter().map(|v| v.1).min_by(f64::total_cmp),
        values.iter().map(|v| v.1).max_by(f64::total_cmp),
    ) else {
        return Ok(());
    };
    // Half a decade below the smallest, so that it has a bar too.
    let (floor, span) = (low.log10() - 0.5, high.log10() - low.log10() + 0.5);
    let font = ("sans-serif", 13).into_font().color(&TEXT);
    panel.draw(&Text::new(
        title.to_string(),
        (12, 16),
        ("sans-serif", 14).into_font().color(&TEXT),
    ))?;
    for (i, (name, value)) in values.iter().enumerate() {
        let y = HEAD - 6 + LINE * i as i32;
        let long = ((value.log10() - floor) / span * LONGEST) as i32;
        let color = if name.starts_with("shmdemo") { OURS } else { OTHERS };
        let bar = [(BARS, y), (BARS + long, y + LINE - 5)];
        panel.draw(&Text::new(name.to_string(), (12, y), font.clone()))?;
        panel.draw(&Rectangle::new(bar, color.filled()))?;
        panel.draw(&Text::new(label(*value, rate), (BARS + long + 6, y), font.clone()))?;
    }
    Ok(())
}
