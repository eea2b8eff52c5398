//! One bad lane is one bad lane: it is set aside and told, the others lose nothing, and its next client
//! makes it anew.

use crate::support::raw::{Meddler, View};
use crate::support::{run, until, Channel, Json, Output, Proc, Random};
use nix::sys::signal::Signal;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

const RING: usize = 8192;
/// Offset of lane 0, whose tail comes first; then two marks of it, and head at 64: see the memory map.
const LANE_0: usize = 128;
const TAIL_MARKS: usize = LANE_0 + 4;
const HEAD: usize = LANE_0 + 64;
const LANE_1: usize = LANE_0 + 192 + RING;

const SIZES: [&str; 4] = ["--lanes", "2", "--size", "8K"];

fn view(channel: &Channel) -> View {
    View::attach(channel.segment().id)
}

/// A member of a lane in `status --json`.
fn of_lane(channel: &Channel, lane: usize, name: &str) -> Json {
    let status = channel.status();
    let lanes = status.get("lanes").expect("lanes").items();
    let value = lanes[lane].get(name).expect("a member");
    match value {
        Json::Bool(value) => Json::Bool(*value),
        Json::Number(value) => Json::Number(*value),
        Json::Null => Json::Null,
        other => Json::Text(format!("{other:?}")),
    }
}

fn is_aside(channel: &Channel, lane: usize) -> bool {
    of_lane(channel, lane, "set_aside") == Json::Bool(true)
}

/// A client that has its lane, and sent this line.
fn idle_client(channel: &Channel, first: &str, server: &Proc) -> Proc {
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(format!("{first}\n").as_bytes());
    server.wait_stdout(first, |out| String::from_utf8_lossy(out).contains(first));
    client
}

fn terminated(mut server: Proc) -> Output {
    server.signal(Signal::SIGTERM);
    server.finish_with_stdin()
}

#[test]
fn a_damaged_lane_is_told_once_and_the_others_go_on() {
    for (at, word, field) in
        [(LANE_0, 4097_u32, "tail"), (LANE_0, 1 << 20, "tail"), (LANE_0 + 192, 99, "len")]
    {
        let channel = Channel::new();
        let server = channel.running(&SIZES);
        let mut first = idle_client(&channel, "from the first", &server);
        let mut second = idle_client(&channel, "from the second", &server);
        if field == "len" {
            // A record whose length is damaged before the server looks: the next one, at its begin.
            let begun = view(&channel).word(LANE_0) as usize % RING;
            server.stop();
            first.write(b"lost\n");
            until("it is sent", || view(&channel).word(LANE_0) as usize % RING != begun);
            view(&channel).write(at + begun, &5000_u32.to_ne_bytes());
            server.signal(Signal::SIGCONT);
        } else {
            view(&channel).write(at, &word.to_ne_bytes());
        }
        for n in 0..100 {
            second.write(format!("line {n}\n").as_bytes());
        }
        server.wait_stdout("the other lane's lines", |out| out.ends_with(b"line 99\n"));
        until("it is set aside", || is_aside(&channel, 0));
        assert!(!is_aside(&channel, 1));
        let text = run(channel.sub("status", &[]), b"");
        assert!(text.text().contains("set aside: the next client"), "{}", text.text());
        // Its client hears of it at its next line, and which one that was.
        first.write(b"too late\n");
        first.finish().fails(76, &["lane 0", "set_aside", "EBADMSG"]);
        // The next one has a new lane.
        run(channel.client(&[]), b"on a new lane\n").expect(0);
        server.wait_stdout("the new lane's line", |out| out.ends_with(b"on a new lane\n"));
        assert!(!is_aside(&channel, 0));
        assert_eq!(of_lane(&channel, 0, "sent"), Json::Number(1.0));
        assert_eq!(of_lane(&channel, 0, "damage"), Json::Null);
        second.write(b"end\n");
        second.finish().expect(0);
        let out = server.finish();
        out.expect(0);
        let told = out.stderr.matches("lane 0").count();
        assert_eq!(told, 1, "{}", out.stderr);
        assert!(out.stderr.contains(field) && out.stderr.contains("expected"), "{}", out.stderr);
    }
}

#[test]
fn a_lane_damaged_while_nobody_is_there_costs_only_itself() {
    for (at, word) in [(LANE_0, 12_u32), (HEAD, 4), (HEAD, 8), (HEAD + 4, 9), (TAIL_MARKS, 9)] {
        // With a server that finds it, and with a client that does.
        for server_first in [true, false] {
            let channel = Channel::new();
            let server = channel.running(&[&SIZES[..], &["--persist"]].concat());
            terminated(server).expect(0);
            view(&channel).write(at, &word.to_ne_bytes());
            // Both marks: which of them is in use is not known here.
            if at != LANE_0 && at != HEAD {
                view(&channel).write(at + 8, &word.to_ne_bytes());
            }
            if !server_first {
                run(channel.client(&[]), b"before the server\n").expect(0);
            }
            let server = channel.running(&["--persist"]);
            run(channel.client(&[]), b"after it\n").expect(0);
            server.wait_stdout("the line", |out| out.ends_with(b"after it\n"));
            assert_eq!(of_lane(&channel, 0, "damage"), Json::Null, "{at} {word}");
            let out = terminated(server);
            out.expect(0);
            let before = if server_first { "" } else { "before the server\n" };
            assert_eq!(out.text(), format!("{before}after it\n"), "{at} {word}");
            run(channel.sub("remove", &[]), b"").expect(0);
        }
    }
}

/// What the server can't see: it holds on to its own position, so the lane is made bad for it, too.
#[test]
fn damage_that_only_a_client_can_see_is_mended_under_a_server() {
    let channel = Channel::new();
    let server = channel.running(&SIZES);
    idle_client(&channel, "first", &server).finish().expect(0);
    for mark in [TAIL_MARKS, TAIL_MARKS + 8] {
        view(&channel).write(mark, &77_u32.to_ne_bytes());
    }
    run(channel.client(&[]), b"second\nend\n").expect(0);
    let out = server.finish();
    out.expect(0);
    assert_eq!(out.text(), "first\nsecond\n");
}

/// Where the server is stopped and can't set it aside, its next producer is told in time; afterwards all is
/// well.
#[test]
fn a_damaged_lane_under_a_stopped_server_is_told_in_time() {
    let channel = Channel::new();
    let server = channel.running(&SIZES);
    idle_client(&channel, "first", &server).finish().expect(0);
    server.stop();
    for mark in [TAIL_MARKS, TAIL_MARKS + 8] {
        view(&channel).write(mark, &77_u32.to_ne_bytes());
    }
    run(channel.client(&["--timeout", "0.1"]), b"not sent\n").fails(76, &["lane 0"]);
    server.signal(Signal::SIGCONT);
    run(channel.client(&[]), b"second\nend\n").expect(0);
    let out = server.finish();
    out.expect(0);
    assert_eq!(out.text(), "first\nsecond\n");
}

/// `SHMDEMO_MUTATIONS=N`: words written into the one lane (default 200 000).
#[test]
fn a_lane_scribbled_upon_takes_nothing_from_the_others() {
    let words = std::env::var("SHMDEMO_MUTATIONS").ok().map_or(200_000, |n| n.parse().unwrap());
    let channel = Channel::new();
    // A record may become what looks like an end word.
    let server = channel.running(&[&SIZES[..], &["--persist"]].concat());
    let mut bad = idle_client(&channel, "bad", &server);
    let mut good = Proc::spawn(channel.client(&[]));
    good.write(b"begin\n");
    server.wait_stdout("its line", |out| out.ends_with(b"begin\n"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    bad.feed(b"bad\n".repeat(500));
    let meddler = Meddler::of(channel.segment().id, move |view| {
        for _ in 0..100 {
            count.fetch_add(1, Ordering::Relaxed);
            // Every word of lane 0, its ring included; not what the other lane has.
            let at = LANE_0 + 4 * random.below((LANE_1 - LANE_0) / 4);
            let old = view.word(at);
            let new = match random.below(4) {
                0 => random.next() as u32,
                1 => old.wrapping_add(8),
                2 => old ^ (1 << random.below(32)),
                _ => [0, 1, 2, 3, 8, 4096, u32::MAX][random.below(7)],
            };
            view.write(at, &new.to_ne_bytes());
        }
        std::thread::yield_now();
    });
    // Its own lines may be anything, or it ends with 76 and others take its place.
    let mut sent = 0;
    let mut stdin = good.take_stdin();
    while written.load(Ordering::Relaxed) < words || sent <= 100 {
        stdin.write_all(format!("good {sent}\n").as_bytes()).expect("the good client lives");
        sent += 1;
        if !bad.alive() {
            bad = Proc::spawn(channel.client(&["--timeout", "1"]));
            bad.feed(b"bad\n".repeat(500));
        }
        server.check_alive();
    }
    drop(meddler);
    drop(stdin);
    good.finish().expect(0);
    bad.kill();
    let out = terminated(server);
    out.expect(0);
    // In order, each once, whatever stands in between.
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let goods = text.lines().filter_map(|line| line.strip_prefix("good ")).map(str::parse::<u64>);
    let goods: Vec<u64> = goods.map(|n| n.expect("a number")).collect();
    assert_eq!(goods, (0..sent).collect::<Vec<_>>());
}
