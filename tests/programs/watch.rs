//! `status --watch`: rates, and what becomes of the picture when the channel goes.

use crate::support::{raw, run, until, Channel, Proc};
use nix::sys::signal::Signal::SIGTERM;

#[test]
fn status_watch_shows_rates_in_80_columns() {
    let channel = Channel::new();
    let _server = channel.running(&[]);
    let (keyboard, screen) = raw::terminal().expect("a terminal");
    let command = channel.sub("status", &["--watch", "1"]);
    let watch = Proc::spawn_with(command, std::process::Stdio::null(), screen.into());
    let mut reader = std::fs::File::from(keyboard);
    let (mut seen, mut part) = (String::new(), [0; 4096]);
    let mut client = Proc::spawn(channel.client(&[]));
    // Until a picture shows messages that came since the one before.
    until("a rate", || {
        client.write(b"some\nlines\nfor\neach\npicture\n");
        let length = std::io::Read::read(&mut reader, &mut part).expect("the terminal");
        seen += &String::from_utf8_lossy(&part[..length]);
        seen.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let rate = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
            line.contains("  [") && rate(1) > Some(0.0) && rate(2) > Some(0.0)
        })
    });
    watch.signal(SIGTERM);
    assert!(seen.starts_with("\x1b[H") && seen.contains("\x1b[K"), "{seen:?}");
    for line in seen.lines() {
        let plain = line.replace("\x1b[H", "").replace("\x1b[K", "").replace("\x1b[J", "");
        assert!(!plain.contains('\x1b'), "colours or moves: {line:?}");
        assert!(plain.trim_end().chars().count() <= 80, "wider than 80 columns: {plain:?}");
    }
}

#[test]
fn status_watch_counts_and_draws_in_proportion() {
    let channel = Channel::new();
    let server = channel.running(&["--persist"]);
    let begin = std::time::Instant::now();
    let watch = Proc::spawn(channel.sub("status", &["--watch", "1"]));
    // Words of lane 0's line in each picture, once it is whole.
    let pictures = |out: &[u8]| -> Vec<Vec<String>> {
        String::from_utf8_lossy(out)
            .lines()
            .filter(|line| line.contains(']') && line.starts_with("   0 "))
            .map(|line| line.split_whitespace().map(String::from).collect())
            .collect()
    };
    let rates = |out: &[u8], word: usize| -> u32 {
        pictures(out).iter().filter_map(|words| words[word].parse::<u32>().ok()).sum()
    };
    watch.wait_stdout("a picture without rates", |out| pictures(out).len() == 1);
    assert_eq!(pictures(&watch.stdout())[0][1..3], ["-", "-"]);
    run(channel.client(&[]), &b"x\n".repeat(5000)).expect(0);
    let idle_again = |out: &[u8]| pictures(out).last().is_some_and(|last| last[1..3] == ["0", "0"]);
    watch.wait_stdout("rates, then none", |out| {
        rates(out, 1) > 0 && rates(out, 2) > 0 && idle_again(out)
    });
    let out = watch.stdout();
    assert!(!out.contains(&0x1b), "moves of a cursor go to terminals alone");
    // 5 000 in a second, or in what a busy machine took from one picture to the next: not longer than all this.
    let least = (4_900.0 / begin.elapsed().as_secs_f64()) as u32;
    for rate in [rates(&out, 1), rates(&out, 2)] {
        assert!((least..=5_010).contains(&rate), "5 000 messages: {rate} a second, not {least}");
    }
    server.signal(SIGTERM);
    server.finish().expect(0);
    // Each takes 16 bytes, so half of the ring.
    channel.filled(&b"x\n".repeat(512));
    let half = |words: &Vec<String>| words.last().is_some_and(|word| word == "50%");
    watch.wait_stdout("half a ring", |out| pictures(out).iter().any(half));
    let picture = pictures(&watch.stdout()).into_iter().find(half).expect("seen just now");
    assert_eq!(picture[3], format!("[{}", "#".repeat(20)));
}

#[test]
fn status_watch_draws_again() {
    let channel = Channel::new();
    channel.filled(b"one\n");
    let before = channel.bytes();
    let watch = Proc::spawn(channel.sub("status", &["--watch", "1"]));
    let twice =
        |out: &[u8]| String::from_utf8_lossy(out).to_lowercase().matches("generation").count() > 1;
    watch.wait_stdout("the second picture", twice);
    assert_eq!(channel.bytes(), before);
    watch.signal(SIGTERM);
    let out = watch.finish();
    assert!([0, 143].contains(&out.code()), "{}: {}", out.code(), out.stderr);
}

#[test]
fn status_watch_follows_the_next_channel_of_the_key() {
    let channel = Channel::new();
    channel.filled(b"one\n");
    let watch = Proc::spawn(channel.sub("status", &["--watch", "0.1"]));
    let json = Proc::spawn(channel.sub("status", &["--watch", "0.1", "--json"]));
    let objects = |out: &[u8]| String::from_utf8_lossy(out).matches("\"generation\"").count();
    watch.wait_stdout("a picture", |out| String::from_utf8_lossy(out).contains("generation"));
    json.wait_stdout("an object", |out| objects(out) > 0);
    run(channel.sub("remove", &[]), b"").expect(0);
    watch.wait_stdout("a word on it", |out| {
        String::from_utf8_lossy(out).contains("no channel of key")
    });
    channel.filled(b"one\ntwo\nthree\n");
    watch.wait_stdout("the next one", |out| {
        let text = String::from_utf8_lossy(out);
        text.rsplit("no channel of key").next().is_some_and(|rest| rest.contains("generation"))
    });
    json.wait_stdout("the next one", |out| String::from_utf8_lossy(out).contains("\"sent\":3"));
    // Its counts have nothing to do with those of the one before.
    watch.wait_stdout("no rates at first", |out| {
        let text = String::from_utf8_lossy(out);
        let next = text.rsplit("no channel of key").next().expect("the rest");
        let lane = next.lines().find(|line| line.starts_with("   0 ") && line.contains('['));
        lane.is_some_and(|lane| lane.split_whitespace().skip(1).take(2).eq(["-", "-"]))
    });
    for program in [watch, json] {
        program.signal(SIGTERM);
        program.finish().expect(0);
    }
}

/// It waits for the next channel, not for the first, and not where something else has the key.
#[test]
fn status_watch_ends_where_there_is_no_channel_to_watch() {
    let channel = Channel::new();
    let without = run(channel.sub("status", &[]), b"");
    run(channel.sub("status", &["--watch", "0.1"]), b"").expect(without.code());
    channel.filled(b"one\n");
    let watch = Proc::spawn(channel.sub("status", &["--watch", "0.1"]));
    watch.wait_stdout("a picture", |out| String::from_utf8_lossy(out).contains("generation"));
    run(channel.sub("remove", &[]), b"").expect(0);
    let id = raw::shm_create(channel.key, 4096, 0o600);
    watch.finish().fails(76, &["magic"]);
    raw::shm_remove(id);
}

/// One look is a text or a line; of several, an empty line stands between two texts.
#[test]
fn each_look_ends_with_its_line() {
    let channel = Channel::new();
    channel.filled(b"one\n");
    let text = run(channel.sub("status", &[]), b"").text();
    assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    let json = run(channel.sub("status", &["--json"]), b"").text();
    assert!(json.starts_with('{') && json.ends_with("}\n") && json.lines().count() == 1, "{json}");
    for (args, between) in
        [(&["--watch", "0.1"][..], "\n\n"), (&["--watch", "0.1", "--json"], "}\n{")]
    {
        let watch = Proc::spawn(channel.sub("status", args));
        watch.wait_stdout("several", |out| {
            String::from_utf8_lossy(out).to_lowercase().matches("generation").count() > 2
        });
        watch.signal(SIGTERM);
        let text = watch.finish().expect(0).text();
        assert!(text.matches(between).count() > 1 && text.ends_with('\n'), "{text}");
    }
}
