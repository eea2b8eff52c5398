//! What `benches/arm` runs on a board: `onboard NANOSECONDS-PER-INSTRUCTION`.
//!
//! The emulated clock moves by that much with each instruction, so times are counts: of all
//! instructions of the board, the kernel's too. Prints Markdown.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Messages of each measurement between two processes.
const MESSAGES: u32 = 5000;
/// Lines through two programs; the difference of two runs leaves their start out.
const LINES: [u32; 2] = [5000, 25_000];
/// How often the programs are started for their memory.
const STARTS: usize = 10;
/// A key that no test uses.
const KEY: &str = "0x62000001";
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> Result<()> {
    let unit: f64 = std::env::args().nth(1).ok_or("nanoseconds per instruction")?.parse()?;
    for niceness in ["0", "-20"] {
        between_processes(unit, niceness)?;
    }
    programs(unit)?;
    footprint()
}

fn between_processes(unit: f64, niceness: &str) -> Result<()> {
    let done = Command::new("shmdemo-compare")
        .args(["--cores", "1", "--sizes", "64", "--rounds", "1", "--svg", "-"])
        .args(["--messages", &MESSAGES.to_string(), "--csv", "/tmp/compare.csv"])
        .args(["--niceness", niceness])
        .stderr(Stdio::null())
        .output()?;
    let csv = std::fs::read_to_string("/tmp/compare.csv")?;
    println!("niceness {niceness}:\n");
    println!("| 64 B, instructions/message | ping-pong | one way | switches/message, one way |");
    println!("| --- | ---: | ---: | ---: |");
    let mut ways: Vec<(&str, [String; 3])> = Vec::new();
    for line in csv.lines().skip(1) {
        let words: Vec<&str> = line.split('"').collect();
        let [_, name, rest] = words[..] else { continue };
        let words: Vec<&str> = rest.split(',').collect();
        let count = format!("{:.0}", 1e9 / words[3].parse::<f64>()? / unit);
        if ways.last().is_none_or(|(last, _)| *last != name) {
            ways.push((name, Default::default()));
        }
        let Some((_, columns)) = ways.last_mut() else { continue };
        if words[1] == "ping-pong" {
            columns[0] = count;
        } else {
            columns[1] = count;
            columns[2] = words.last().unwrap_or(&"").to_string();
        }
    }
    for (name, columns) in ways {
        println!("| {name} | {} |", columns.join(" | "));
    }
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    for line in text.lines().filter(|line| line.contains("not here") || line.contains("failed")) {
        println!("\n{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    println!();
    Ok(())
}

fn wait(mut child: Child, name: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) };
        }
        if begin.elapsed() > PATIENCE {
            child.kill()?;
            return Err(format!("{name}: not done in time").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn server() -> Result<Child> {
    let server = Command::new("shmdemo-server").args(["-k", KEY]).stdout(Stdio::null()).spawn()?;
    let begin = Instant::now();
    let status = || Command::new("shmdemo-server").args(["status", "-k", KEY]).output();
    while !status()?.status.success() {
        if begin.elapsed() > PATIENCE {
            return Err("shmdemo-server did not come up".into());
        }
    }
    Ok(server)
}

/// Time from the writer's start to the reader's end.
fn through_shmdemo(lines: &str) -> Result<Duration> {
    let server = server()?;
    let begin = Instant::now();
    let mut client = Command::new("shmdemo-client");
    wait(client.args(["-k", KEY]).stdin(File::open(lines)?).spawn()?, "shmdemo-client")?;
    wait(server, "shmdemo-server")?;
    Ok(begin.elapsed())
}

fn through_pipe(how: &str, lines: &str) -> Result<Duration> {
    let begin = Instant::now();
    let mut writer =
        Command::new("relay").arg(how).stdin(File::open(lines)?).stdout(Stdio::piped()).spawn()?;
    let pipe = writer.stdout.take().ok_or("no stdout")?;
    let reader = Command::new("relay").arg(how).stdin(pipe).stdout(Stdio::null()).spawn()?;
    wait(writer, "relay")?;
    wait(reader, "relay")?;
    Ok(begin.elapsed())
}

fn programs(unit: f64) -> Result<()> {
    let mut files = Vec::new();
    for count in LINES {
        let name = format!("/tmp/lines-{count}");
        let mut relay = Command::new("relay");
        let relay = relay.args(["lines", &count.to_string()]).stdout(File::create(&name)?);
        wait(relay.spawn()?, "relay")?;
        files.push(name);
    }
    println!("| lines of 64 B on average | instructions/line, both programs and kernel |");
    println!("| --- | ---: |");
    type Way = fn(&str) -> Result<Duration>;
    let ways: [(&str, Way); 3] = [
        ("shmdemo-client to shmdemo-server", through_shmdemo),
        ("pipe, a write for each line", |lines| through_pipe("each", lines)),
        ("pipe, writes of 8 KiB", |lines| through_pipe("batched", lines)),
    ];
    for (name, way) in ways {
        let (few, many) = (way(&files[0])?, way(&files[1])?);
        let each = (many - few).as_nanos() as f64 / f64::from(LINES[1] - LINES[0]) / unit;
        println!("| {name} | {each:.0} |");
    }
    println!();
    Ok(())
}

/// RSS, PSS and what it has written of its own, in kB, by the kernel's own sums. Not Private_Dirty: the
/// guest's files lie in memory, where all their pages count as written.
fn memory(child: &Child) -> Result<[u32; 3]> {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()))?;
    let mut found = [0; 3];
    for (value, field) in found.iter_mut().zip(["Rss:", "Pss:", "Anonymous:"]) {
        let line = text.lines().find(|line| line.starts_with(field)).ok_or(field)?;
        *value = line.split_whitespace().nth(1).ok_or(field)?.parse()?;
    }
    Ok(found)
}

/// A pair in the middle of its work: lines went through, the client waits for more.
fn pair(server: Child, mut client: Command) -> Result<[[u32; 3]; 2]> {
    let client = client.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = client.stderr(Stdio::null()).spawn()?;
    let mut input = client.stdin.take().ok_or("no stdin")?;
    for number in 0..500 {
        writeln!(input, "{number:08} sensor[7]: temperature above its limit")?;
    }
    // Until both sleep again.
    std::thread::sleep(Duration::from_secs(4));
    let found = [memory(&server)?, memory(&client)?];
    writeln!(input, "end")?;
    drop(input);
    wait(client, "client")?;
    wait(server, "server")?;
    Ok(found)
}

/// The pair started often: where the kernel puts libraries decides how many of their pages come
/// along with each page that is touched.
fn starts(names: [&str; 2], start: impl Fn() -> Result<(Child, Command)>) -> Result<()> {
    let mut all = Vec::new();
    for _ in 0..STARTS {
        let (server, client) = start()?;
        all.push(pair(server, client)?);
    }
    for (side, name) in names.into_iter().enumerate() {
        print!("| {name}");
        for field in 0..3 {
            let mut values: Vec<u32> = all.iter().map(|pair| pair[side][field]).collect();
            values.sort_unstable();
            let middle = (values[(STARTS - 1) / 2] + values[STARTS / 2]) / 2;
            print!(" | {middle} ({} to {})", values[0], values[STARTS - 1]);
        }
        println!(" |");
    }
    Ok(())
}

fn footprint() -> Result<()> {
    println!("| kB, by smaps_rollup: median of {STARTS} starts | RSS | PSS | pages of its own (Anonymous) |");
    println!("| --- | ---: | ---: | ---: |");
    starts(["shmdemo-server", "shmdemo-client"], || {
        let mut client = Command::new("shmdemo-client");
        client.args(["-k", KEY]);
        Ok((server()?, client))
    })?;
    if Path::new("/opt/shmdemo/demo_server").exists() {
        starts(["C demo, server", "C demo, client"], || {
            let key = "0x62000002";
            let server = Command::new("demo_server").arg(key).stdout(Stdio::null()).spawn()?;
            std::thread::sleep(Duration::from_millis(500));
            let mut client = Command::new("demo_client");
            client.arg(key);
            Ok((server, client))
        })?;
    }
    println!();
    Ok(())
}
