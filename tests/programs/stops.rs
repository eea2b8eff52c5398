//! Programs that are stopped, killed, cut off from their output or from their channel: nothing is lost.

use crate::support::{numbered, raw, run, shm_row, until, Channel, Proc};
use nix::sys::signal::Signal::{self, SIGCONT, SIGINT, SIGTERM};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

/// The numbers on complete lines; what follows the last newline of a killed program is no line.
fn numbers(out: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(out);
    let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
    lines
        .lines()
        .map(|line| line.parse().unwrap_or_else(|_| panic!("torn line '{line}'")))
        .collect()
}

#[test]
fn kill_9_of_the_server_loses_nothing() {
    const SHARE: u32 = 30_000;
    const KILLS: u32 = 6;
    let channel = Channel::new();
    let mut server = channel.running(&[]);
    let mut client = Proc::spawn(channel.client(&[]));
    let mut lines = client.take_stdin();
    // A share for each server, so that none gets to the end word however late its kill comes.
    let (more, shares) = std::sync::mpsc::channel::<Vec<u8>>();
    let feeder = std::thread::spawn(move || {
        shares.iter().for_each(|share| lines.write_all(&share).expect("the client reads"));
    });
    let (mut next, mut doubles) = (1, 0);
    let mut take = |out: &[u8]| {
        let got = numbers(out);
        if let Some(first) = got.first() {
            assert!(*first <= next, "lost: {next} to {}", first - 1);
            doubles += next - first;
            assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 1), "order after a restart");
            next = next.max(got[got.len() - 1] + 1);
        }
        next
    };
    for kill in 0..KILLS {
        let (first, last) = (kill * SHARE + 1, (kill + 1) * SHARE);
        more.send((first..=last).flat_map(|n| format!("{n}\n").into_bytes()).collect())
            .expect("the feeder lives");
        // It is killed in the midst of its work, 4 000 lines on.
        server.wait_stdout("its share", |out| {
            // Whole lines only: where the last bytes begin and end is chance.
            let last = &out[out.len().saturating_sub(20)..];
            let whole = last.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            numbers(&last[whole..]).last().is_some_and(|n| *n >= first + 4_000)
        });
        take(&server.kill().stdout);
        server = Proc::spawn(channel.server(&[]));
    }
    more.send(b"end\n".to_vec()).expect("the feeder lives");
    client.finish_with_stdin().expect(0);
    let out = server.finish();
    assert_eq!(take(&out.expect(0).stdout), KILLS * SHARE + 1);
    drop(more);
    feeder.join().expect("all was written");
    println!("printed twice after {KILLS} kills: {doubles}");
    channel.assert_gone();
}

#[test]
fn kill_9_of_a_server_that_waits_to_write_loses_nothing() {
    // What it has not been able to print is still in the ring: nobody reads the pipe.
    let channel = Channel::new();
    let (server, pipe) = Proc::spawn_reading(channel.server(&[]), Stdio::null(), Stdio::piped());
    let mut client = Proc::spawn(channel.client(&[]));
    client.feed([numbered(40_000), b"end\n".to_vec()].concat());
    let until_quiet = || {
        let before = channel.bytes();
        std::thread::sleep(Duration::from_millis(100));
        let queued = channel.status().numbers("queued").into_iter().fold(0.0, f64::max);
        queued > 12_000.0 && channel.bytes() == before
    };
    until("pipe and ring are full", || shm_row(channel.key).is_some() && until_quiet());
    server.kill();
    let mut printed = Vec::new();
    pipe.expect("stdout is a pipe").read_to_end(&mut printed).expect("what it printed");
    let printed = numbers(&printed);
    let rest = Proc::spawn(channel.server(&[])).finish();
    client.finish_with_stdin().expect(0);
    let rest = numbers(&rest.expect(0).stdout);
    let (last, first) = (printed[printed.len() - 1], rest[0]);
    assert!(first <= last + 1, "lost: {} to {}", last + 1, first - 1);
    let all = [&printed[..first as usize - 1], &rest].concat();
    assert!(all.iter().copied().eq(1..=40_000));
}

#[test]
fn kill_9_of_the_client_loses_nothing_it_had_sent_and_frees_its_lane() {
    let channel = Channel::new();
    let server = channel.running(&["--lanes", "1"]);
    let mut seen = 0;
    for round in 0..5 {
        let mut client = Proc::spawn(channel.client(&[]));
        client.feed(numbered(200_000));
        server.wait_stdout("some of its lines", |out| out.len() > seen + 20_000);
        client.kill();
        // The only lane is free again, for a successor that waits for room at most.
        run(channel.client(&["--timeout", "30"]), b"0\n").expect(0);
        server.wait_stdout("the successor's line", |out| out[seen..].ends_with(b"\n0\n"));
        let got = numbers(&server.stdout()[seen..]);
        assert!(got.len() > 1_000, "round {round}");
        let (successor, killed) = got.split_last().unwrap();
        assert_eq!(*successor, 0);
        assert!(killed.iter().zip(1..).all(|(got, wanted)| *got == wanted), "round {round}: a gap");
        seen = server.stdout().len();
    }
    run(channel.client(&[]), b"end\n").expect(0);
    server.finish().expect(0);
    channel.assert_gone();
}

#[test]
fn a_killed_servers_role_is_free_at_once() {
    let channel = Channel::new();
    let mut server = channel.running(&[]);
    for round in 1..=5 {
        server.kill();
        server = Proc::spawn(channel.server(&[]));
        run(channel.client(&[]), format!("{round}\n").as_bytes()).expect(0);
        // Those before it were killed between printing and releasing, perhaps each of them: what
        // they printed may come again, in order and without a gap.
        server.wait_stdout("the line, and nothing but its predecessors before it", |out| {
            let Ok(text) = std::str::from_utf8(out) else { return false };
            let seen: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            out.ends_with(b"\n")
                && seen.len() == text.lines().count()
                && seen.last() == Some(&round)
                && seen.windows(2).all(|pair| pair[1] == pair[0] + 1)
        });
    }
}

/// A server at work, stopped, with 50 messages in the ring that it has not seen.
fn stopped_with_50(channel: &Channel, args: &[&str]) -> Proc {
    let server = channel.running(args);
    server.stop();
    run(channel.client(&[]), &numbered(50)).expect(0);
    server
}

#[test]
fn sigterm_and_sigint_print_what_is_there_and_remove() {
    for signal in [SIGTERM, SIGINT] {
        let channel = Channel::new();
        let server = stopped_with_50(&channel, &[]);
        server.signal(signal);
        server.signal(SIGCONT);
        assert_eq!(server.finish().expect(0).stdout, numbered(50));
        channel.assert_gone();
        let idle = channel.running(&[]);
        idle.signal(signal);
        assert_eq!(idle.finish().expect(0).stdout, b"");
        channel.assert_gone();
    }
}

#[test]
fn sigterm_and_sigint_with_persist_leave_the_rest_for_the_next() {
    for signal in [SIGTERM, SIGINT] {
        let channel = Channel::new();
        let server = stopped_with_50(&channel, &["--persist"]);
        server.signal(signal);
        server.signal(SIGCONT);
        let first = server.finish();
        first.expect(0);
        let made = channel.segment();
        let next = channel.running(&["--persist"]);
        assert_eq!(channel.segment().id, made.id, "the same segment");
        let whole = |out: &[u8]| [&first.stdout, out].concat() == numbered(50);
        next.wait_stdout("the rest, once", whole);
        run(channel.client(&[]), b"more\n").expect(0);
        next.wait_stdout("more", |out| out.ends_with(b"more\n"));
        next.signal(signal);
        next.finish().expect(0);
    }
}

/// A client that waits ends by signal convention; what it had sent is its channel's already.
fn ended(mut client: Proc, signal: Signal) -> String {
    until("it waits", || {
        client.check_alive();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", client.pid()));
        stat.expect("stat").contains(") S ")
    });
    client.signal(signal);
    let out = client.finish_with_stdin();
    out.expect(128 + signal as i32);
    out.stderr
}

#[test]
fn a_client_that_waits_for_input_ends_by_signal() {
    for signal in [SIGTERM, SIGINT] {
        let channel = Channel::new();
        let server = channel.running(&[]);
        let mut client = Proc::spawn(channel.client(&[]));
        client.write(b"1\n");
        server.wait_stdout("the line", |out| out == b"1\n");
        ended(client, signal);
        run(channel.client(&[]), b"2\nend\n").expect(0);
        assert_eq!(server.finish().expect(0).text(), "1\n2\n");
    }
}

#[test]
fn a_client_that_waits_for_room_or_a_lane_ends_by_signal() {
    for signal in [SIGTERM, SIGINT] {
        let channel = Channel::new();
        let server = channel.running(&["--size", "8K", "--lanes", "1"]);
        server.stop();
        let mut client = Proc::spawn(channel.client(&["-v"]));
        client.feed(numbered(5_000));
        until("the ring is full", || {
            let queued = channel.status().numbers("queued").into_iter().fold(0.0, f64::max);
            queued > 6_000.0
        });
        let waiting = Proc::spawn(channel.client(&[]));
        until("the segment is attached", || channel.segment().attached >= 3);
        ended(waiting, signal);
        let said = ended(client, signal);
        server.signal(SIGCONT);
        run(channel.client(&[]), b"end\n").expect(0);
        let out = server.finish();
        let got = numbers(&out.expect(0).stdout);
        assert!(got.len() > 500 && got.iter().zip(1..).all(|(got, wanted)| *got == wanted));
        assert!(
            said.contains(&format!("stopped by {signal} after line {}\n", got.len())),
            "{said}"
        );
        channel.assert_gone();
    }
}

#[test]
fn a_client_that_waits_for_a_server_ends_by_signal() {
    for signal in [SIGTERM, SIGINT] {
        let channel = Channel::new();
        let client = Proc::spawn(channel.client(&["--no-create"]));
        until("it has come to its signal handlers", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", client.pid()));
            let caught = status.expect("status").lines().find_map(|line| {
                u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok()
            });
            caught.is_some_and(|set| set & (1 << (signal as i32 - 1)) != 0)
        });
        ended(client, signal);
        channel.assert_gone();
    }
}

/// A pair at work, two lines through, and the server asleep: else it may notice by itself.
fn at_work(channel: &Channel) -> (Proc, Proc) {
    let server = channel.running(&[]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"one\ntwo\n");
    server.wait_stdout("both", |out| out == b"one\ntwo\n");
    let set = crate::support::sem_row(channel.key).expect("the semaphores").id;
    until("the server sleeps", || raw::sem_waiters(set, 4) == 1);
    (server, client)
}

#[test]
fn remove_force_under_a_running_pair_is_69() {
    let channel = Channel::new();
    let (mut server, mut client) = at_work(&channel);
    run(channel.sub("remove", &["--force"]), b"").expect(0);
    server.finish_with_stdin().fails(69, &["removed"]);
    client.write(b"three\nfour\n");
    client.finish_with_stdin().fails(69, &["removed", "line 3 was not sent"]);
    assert_eq!(shm_row(channel.key), None, "nothing was made anew");
}

#[test]
fn a_segment_removed_under_a_running_pair_is_69() {
    let channel = Channel::new();
    let (mut server, mut client) = at_work(&channel);
    raw::shm_remove(channel.segment().id);
    // Nobody wakes the server but the client's end.
    client.write(b"three\nfour\n");
    client.finish_with_stdin().fails(69, &["removed", "line 3 was not sent"]);
    server.finish_with_stdin().fails(69, &["removed"]);
    assert_eq!(shm_row(channel.key), None, "nothing was made anew");
}

/// Both hear of it at the same time: whether the lines were sent before or not, each knows the truth.
#[test]
fn semaphores_removed_under_a_running_pair_are_69() {
    let channel = Channel::new();
    let (mut server, mut client) = at_work(&channel);
    let before = channel.segment().id;
    raw::sem_remove(crate::support::sem_row(channel.key).expect("a set").id);
    client.write(b"three\nfour\n");
    let out = server.finish_with_stdin();
    out.fails(69, &["removed"]);
    // A client that found all of it printed hears of it at its next line.
    let text = out.text();
    let printed = text == "one\ntwo\nthree\nfour\n";
    assert!(printed || text == "one\ntwo\n", "{text}");
    let mut stdin = client.take_stdin();
    let went_on = printed && stdin.write_all(b"five\n").is_ok();
    let out = client.finish();
    if went_on && out.stderr.contains("line 5") {
        out.fails(69, &["removed", "line 5 was not sent"]);
    } else {
        // "line 3 was not sent"; or, where the ring was the first to know, "lines 3 to 4 were sent and may
        // not have been printed".
        out.fails(69, &["removed", " 3 "]);
    }
    assert_eq!(shm_row(channel.key).expect("it is left").id, before, "nothing was made anew");
}

/// Waits until `status` tells so much of this of some lane.
fn until_counted(channel: &Channel, client: &Proc, what: &str, least: f64) {
    until(what, || {
        client.check_alive();
        let out = run(channel.sub("status", &["--json"]), b"");
        crate::support::Json::parse(&out.text())
            .is_ok_and(|status| status.numbers(what).into_iter().any(|number| number >= least))
    });
}

#[test]
fn a_client_with_nothing_left_to_send_tells_whether_all_was_printed() {
    for printed in [true, false] {
        let channel = Channel::new();
        let mut client = Proc::spawn(channel.client(&[]));
        client.write(b"one\ntwo\n");
        if printed {
            let mut server = channel.running(&[]);
            server.wait_stdout("both", |out| out == b"one\ntwo\n");
            server.signal(SIGTERM);
            server.finish_with_stdin().expect(0);
            client.finish().expect(0);
        } else {
            until_counted(&channel, &client, "sent", 2.0);
            run(channel.sub("remove", &["--force"]), b"").expect(0);
            let said = ["removed", "after line 2; lines 1 to 2 were sent", "not have been printed"];
            client.finish().fails(69, &said);
        }
        channel.assert_gone();
    }
}

#[test]
fn a_client_that_waits_for_room_says_when_its_channel_goes() {
    let channel = Channel::new();
    let mut client = Proc::spawn(channel.client(&[]));
    client.feed(numbered(20_000));
    until_counted(&channel, &client, "queued", 12_000.0); // of 16 384
    run(channel.sub("remove", &["--force"]), b"").expect(0);
    client.finish_with_stdin().fails(69, &["removed", "line"]);
    channel.assert_gone();
}

#[test]
fn a_channel_made_anew_is_not_joined_by_the_old_pair() {
    let channel = Channel::new();
    let mut old_server = channel.running(&[]);
    let mut old_client = Proc::spawn(channel.client(&[]));
    old_client.write(b"old\n");
    old_server.wait_stdout("the line", |out| out == b"old\n");
    run(channel.sub("remove", &["--force"]), b"").expect(0);
    let server = Proc::spawn(channel.server(&[]));
    run(channel.client(&[]), b"new\n").expect(0);
    server.wait_stdout("the line", |out| out == b"new\n");
    old_client.write(b"lost\n");
    old_client.finish_with_stdin().fails(69, &["line 2"]);
    old_server.finish_with_stdin().expect(69);
    run(channel.client(&[]), b"end\n").expect(0);
    assert_eq!(server.finish().expect(0).text(), "new\n");
    channel.assert_gone();
}

/// A server that is about to remove the channel, and is stopped before it took the last line.
#[test]
fn the_timeout_bounds_the_clients_last_moment_too() {
    const CLOSING: usize = 36;
    let channel = Channel::new();
    let mut server = channel.running(&[]);
    server.stop();
    raw::View::attach(channel.segment().id).write(CLOSING, &1_u32.to_ne_bytes());
    let begin = std::time::Instant::now();
    let out = run(channel.client(&["--timeout", "0.2"]), b"last\n");
    out.fails(75, &["about to remove the channel", "ETIMEDOUT", "--timeout"]);
    assert!(begin.elapsed() < Duration::from_secs(20));
    // It is no news to the server: what was sent is printed.
    server.signal(SIGCONT);
    server.signal(SIGTERM);
    assert_eq!(server.finish_with_stdin().expect(0).text(), "last\n");
}
