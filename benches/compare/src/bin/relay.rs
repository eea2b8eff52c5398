//! What a pair of simple programs around a FIFO does, on both of its ends, for `benches/programs`:
//!
//! `relay lines N`   prints N lines as a log has them, then the line `end`
//! `relay each`      copies stdin to stdout, one write for each line
//! `relay batched`   copies stdin to stdout, writes of 8 KiB

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["lines", count] => match count.parse() {
            Ok(count) => lines(count),
            Err(e) => Err(io::Error::other(e)),
        },
        ["each"] => each(),
        ["batched"] => batched(),
        _ => Err(io::Error::other("usage: relay lines N | each | batched")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("relay: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Lines of 20 to 107 bytes, 64 on average.
fn lines(count: u64) -> io::Result<()> {
    const TEXT: &str =
        "temperature of the gearbox is above its limit, fan on, door shut, pump off, \
                        all else as it was";
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 0..count {
        let draw = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % 88;
        writeln!(out, "{number:08} sensor[7]: {}", &TEXT[..draw])?;
    }
    writeln!(out, "end")?;
    out.flush()
}

/// Without the standard output's own buffer: each write is a system call.
fn stdout() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

fn each() -> io::Result<()> {
    let (mut input, mut out) = (BufReader::new(io::stdin().lock()), stdout()?);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        line.clear();
    }
    Ok(())
}

fn batched() -> io::Result<()> {
    let (mut input, mut out) = (io::stdin().lock(), stdout()?);
    let mut chunk = [0; 8 << 10];
    loop {
        match input.read(&mut chunk)? {
            0 => return Ok(()),
            n => out.write_all(&chunk[..n])?,
        }
    }
}
