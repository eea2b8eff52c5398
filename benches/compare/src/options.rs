//! The command line.

use crate::message::Size;
use crate::transport::Wait;
use anyhow::{bail, ensure, Context, Result};
use lexopt::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
Measures shmdemo side by side with what could be used instead: two processes, pinned,
all ways in turn, several rounds, medians.

Usage: shmdemo-compare [OPTIONS]

  --quick            a few seconds: 64 B, two short rounds
  --rounds N         rounds (default 5)
  --seconds S        of one measurement (default 0.2)
  --sizes LIST       of 64, 1024, lines, or other lengths (default 64,1024,lines)
  --cores LIST       of 1, 2 (default: both, if there are two)
  --only LIST        only the ways whose names hold one of these texts, and shmdemo
  --latency          only ping-pong
  --throughput       only one way
  --messages N       so many messages instead of a time: the same work each time
  --realtime         ping-pong of one ping each 250 µs, with SCHED_FIFO and locked memory,
                     beside processes that keep every processor busy
  --niceness N       of what is measured (default 0, as any program has; -20 runs before others and
                     is handed the processor back when it yields)
  --csv FILE         figures of all rounds' medians (default: compare.csv beside this program; - for none)
  --svg FILE         chart (default: compare.svg there; - for none)
  --markdown         tables as Markdown
  -h, --help         this text
";

pub struct Options {
    pub rounds: usize,
    pub time: Duration,
    pub sizes: Vec<Size>,
    pub cores: Option<Vec<usize>>,
    pub only: Vec<String>,
    pub latency: bool,
    pub throughput: bool,
    pub messages: Option<u64>,
    pub realtime: bool,
    pub niceness: i32,
    pub csv: Option<PathBuf>,
    pub svg: Option<PathBuf>,
    pub markdown: bool,
}

impl Options {
    /// `None`: help was asked for.
    pub fn parse() -> Result<Option<Self>> {
        let mut options = Self {
            rounds: 5,
            time: Duration::from_millis(200),
            sizes: vec![Size::Fixed(64), Size::Fixed(1024), Size::Lines],
            cores: None,
            only: Vec::new(),
            latency: true,
            throughput: true,
            messages: None,
            realtime: false,
            niceness: 0,
            csv: Some(beside("compare.csv")),
            svg: Some(beside("compare.svg")),
            markdown: false,
        };
        let (mut rounds, mut time, mut sizes) = (None, None, None);
        let mut quick = false;
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("quick") => quick = true,
                Long("rounds") => rounds = Some(parser.value()?.parse()?),
                Long("seconds") => {
                    let seconds = parser.value()?.parse()?;
                    time = Some(Duration::try_from_secs_f64(seconds).context("--seconds")?);
                }
                Long("sizes") => {
                    let text = parser.value()?.string()?;
                    let all = text.split(',').map(|name| {
                        Size::parse(name).with_context(|| format!("--sizes: not '{name}'"))
                    });
                    sizes = Some(all.collect::<Result<Vec<_>>>()?);
                }
                Long("cores") => {
                    let text = parser.value()?.string()?;
                    let all = text.split(',').map(|number| match number {
                        "1" => Ok(1),
                        "2" => Ok(2),
                        _ => bail!("--cores: 1 or 2, not '{number}'"),
                    });
                    options.cores = Some(all.collect::<Result<_>>()?);
                }
                Long("only") => {
                    options.only = parser.value()?.string()?.split(',').map(Into::into).collect();
                }
                Long("latency") => options.throughput = false,
                Long("throughput") => options.latency = false,
                Long("messages") => options.messages = Some(parser.value()?.parse()?),
                Long("realtime") => options.realtime = true,
                Long("niceness") => {
                    options.niceness = parser.value()?.parse()?;
                    ensure!((-20..=19).contains(&options.niceness), "--niceness: -20 to 19");
                }
                Long("csv") => options.csv = file(parser.value()?.into()),
                Long("svg") => options.svg = file(parser.value()?.into()),
                Long("markdown") => options.markdown = true,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(arg.unexpected().into()),
            }
        }
        if quick {
            options.rounds = 2;
            options.time = Duration::from_millis(50);
            options.sizes = vec![Size::Fixed(64)];
        }
        if options.realtime {
            options.throughput = false;
            options.sizes = vec![Size::Fixed(64)];
            options.time = Duration::from_secs(if quick { 1 } else { 6 });
            options.rounds = if quick { 1 } else { 3 };
        }
        options.rounds = rounds.unwrap_or(options.rounds);
        options.time = time.unwrap_or(options.time);
        options.sizes = sizes.unwrap_or(options.sizes);
        ensure!((1..=1000).contains(&options.rounds), "--rounds: 1 to 1000");
        let longest = Duration::from_secs(60);
        ensure!(!options.time.is_zero() && options.time <= longest, "--seconds: up to 60");
        ensure!(options.messages != Some(0), "--messages: 1 or more");
        ensure!(options.latency || options.throughput, "nothing is left to be measured");
        Ok(Some(options))
    }

    /// Ways of waiting to be measured on so many processors: nobody spins on the only one.
    pub fn waits(&self, cores: usize) -> &'static [Wait] {
        // Who spins with SCHED_FIFO keeps everybody else from a processor.
        if cores == 1 || self.realtime {
            &[Wait::Block]
        } else {
            &[Wait::Block, Wait::Spin]
        }
    }
}

/// In the build's folder, not in the source tree.
fn beside(name: &str) -> PathBuf {
    std::env::current_exe().map_or_else(|_| name.into(), |program| program.with_file_name(name))
}

fn file(path: PathBuf) -> Option<PathBuf> {
    (path.as_os_str() != "-").then_some(path)
}
