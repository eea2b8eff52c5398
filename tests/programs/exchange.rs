//! Messages go through unchanged, in order and all of them.

use crate::support::{
    client, in_thread, numbered, patience, run, skipped, until, Channel, Proc, Random,
};
use nix::sched::{unshare, CloneFlags};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc;

/// The same messages again each time it is made: random bytes without the separator.
struct Messages {
    random: Random,
    separator: u8,
    longest: usize,
    count: usize,
}

impl Messages {
    fn new(separator: u8, longest: usize) -> Messages {
        Messages { random: Random(0x5eed_0000 + longest as u64), separator, longest, count: 0 }
    }

    fn next(&mut self, into: &mut Vec<u8>) {
        let length = match self.count {
            0 | 1 => self.count,
            2 | 3 => self.longest + self.count - 3,
            _ => self.random.below(self.longest + 1),
        };
        self.count += 1;
        into.resize(length, 0);
        self.random.fill(into);
        into.iter_mut().filter(|byte| **byte == self.separator).for_each(|byte| *byte ^= 0x55);
        if into == b"end" {
            into[0] = b'E';
        }
    }
}

fn send(mut messages: Messages, count: usize, to: ChildStdin) {
    let mut to = BufWriter::with_capacity(1 << 16, to);
    let mut message = Vec::new();
    for _ in 0..count {
        messages.next(&mut message);
        message.push(messages.separator);
        if to.write_all(&message).is_err() {
            return; // the client ended early: its exit code is looked at elsewhere
        }
    }
    let _ = to.write_all(&[b'e', b'n', b'd', messages.separator]);
}

fn check(mut messages: Messages, count: usize, from: ChildStdout) -> Result<(), String> {
    let mut from = BufReader::with_capacity(1 << 16, from);
    let (mut wanted, mut got) = (Vec::new(), Vec::new());
    for number in 0..count {
        messages.next(&mut wanted);
        got.clear();
        from.read_until(messages.separator, &mut got).map_err(|e| e.to_string())?;
        if got.pop() != Some(messages.separator) || got != wanted {
            let (wanted, got) = (wanted.escape_ascii(), got.escape_ascii());
            return Err(format!("message {number}: expected {wanted}, got {got}"));
        }
    }
    got.clear();
    from.read_to_end(&mut got).map_err(|e| e.to_string())?;
    match got.is_empty() {
        true => Ok(()),
        false => Err(format!("after the last message: {}", got.escape_ascii())),
    }
}

/// `count` random messages and the end word through a pair with these options; quietly, and nothing is left.
fn exchange(server: &[&str], client: &[&str], separator: u8, longest: usize, count: usize) {
    let channel = Channel::new();
    let (mut server, printed) =
        Proc::spawn_reading(channel.server(server), Stdio::null(), Stdio::piped());
    let (report, checked) = mpsc::channel();
    let printed = printed.expect("stdout is a pipe");
    std::thread::spawn(move || {
        report.send(check(Messages::new(separator, longest), count, printed))
    });
    // The server makes the channel: its sizes are the ones tried.
    until("the segment is there", || crate::support::shm_row(channel.key).is_some());
    let mut client = Proc::spawn(channel.client(client));
    let stdin = client.take_stdin();
    std::thread::spawn(move || send(Messages::new(separator, longest), count, stdin));
    match checked.recv_timeout(patience() * 4) {
        Ok(result) => result.unwrap_or_else(|why| panic!("{why}; stderr: {}", server.stderr())),
        Err(_) => panic!("not done; server: {}, client: {}", server.stderr(), client.stderr()),
    }
    for out in [client.finish_with_stdin(), server.finish_with_stdin()] {
        out.expect(0);
        assert_eq!(out.stderr, "", "a good exchange needs no words");
    }
    channel.assert_gone();
}

#[test]
fn twenty_thousand_messages_of_any_bytes_arrive_unchanged() {
    exchange(&[], &[], b'\n', 2048, 20_000);
}

#[test]
fn with_null_messages_hold_newlines_too() {
    exchange(&["-0"], &["--null"], 0, 2048, 4_000);
}

#[test]
fn a_bigger_max_message_carries_bigger_messages() {
    exchange(&["--max-message", "10000", "--size", "64K"], &[], b'\n', 10_000, 1_000);
    // The longest of all, with an end and without.
    let channel = Channel::new();
    let server = channel.running(&["--max-message", "64K", "--size", "1M"]);
    let line = |byte: &str| byte.repeat(65_536);
    let sent = format!("{}\n{}\n{}", line("a"), line("b"), line("c"));
    run(channel.client(&[]), sent.as_bytes()).expect(0);
    let wanted = format!("{sent}\n");
    server.wait_stdout("three lines", |out| out == wanted.as_bytes());
}

#[test]
fn rings_of_other_sizes_and_counts_work() {
    exchange(&["--size", "8K", "--lanes", "1"], &[], b'\n', 2048, 1_000);
    exchange(&["--size", "1M", "--lanes", "32"], &[], b'\n', 2048, 1_000);
    exchange(&["--size", "12345"], &[], b'\n', 2048, 1_000);
}

#[test]
fn the_smallest_ring_the_server_takes_holds_the_longest_message() {
    let found = (9..15).map(|power| (1_usize << power).to_string()).find(|size| {
        let channel = Channel::new();
        let mut server = Proc::spawn(channel.server(&["--size", size, "--persist"]));
        let mut alive = true;
        until("made or refused", || {
            alive = server.alive();
            !alive || crate::support::shm_row(channel.key).is_some()
        });
        alive
    });
    let size = found.expect("a ring of 16K at least is taken");
    exchange(&["--size", &size], &[], b'\n', 2048, 500);
}

#[test]
fn messages_sent_before_a_server_runs_are_kept() {
    let channel = Channel::new();
    channel.filled(b"early\nbird\n");
    let mut server = Proc::spawn(channel.server(&[]));
    server.wait_stdout("both", |out| out == b"early\nbird\n");
    run(channel.client(&[]), b"worm\nend\n").expect(0);
    let out = server.finish_with_stdin();
    assert_eq!(out.expect(0).text(), "early\nbird\nworm\n");
    channel.assert_gone();
}

#[test]
fn a_client_with_no_create_waits_for_the_server() {
    let channel = Channel::new();
    let mut client = Proc::spawn(channel.client(&["--no-create"]));
    client.feed(b"patient\nend\n".to_vec());
    // It waits: it neither ends nor makes a segment while it has the processor and goes to sleep.
    until("the client sleeps", || {
        client.check_alive();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", client.pid())).expect("stat");
        stat.contains(") S ")
    });
    assert_eq!(crate::support::shm_row(channel.key), None);
    let mut server = Proc::spawn(channel.server(&[]));
    client.finish_with_stdin().expect(0);
    assert_eq!(server.finish_with_stdin().expect(0).text(), "patient\n");
}

#[test]
fn the_end_word_ends_both_and_is_not_printed() {
    let channel = Channel::new();
    let mut server = channel.running(&[]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"one\nend\nnever read\n");
    client.finish_with_stdin().expect(0); // with its stdin still open
    assert_eq!(server.finish_with_stdin().expect(0).text(), "one\n");
    channel.assert_gone();
}

#[test]
fn the_end_word_can_be_another_or_off() {
    for (word, input, printed) in
        [("stop", "end\nendless\nstop\n", "end\nendless\n"), ("", "end\n\nstop\n", "end\n\nstop\n")]
    {
        let channel = Channel::new();
        let server = channel.running(&[]);
        run(channel.client(&["--end-word", word]), input.as_bytes()).expect(0);
        server.wait_stdout("all lines", |out| out == printed.as_bytes());
        if word.is_empty() {
            run(channel.client(&[]), b"end\n").expect(0);
        }
        assert_eq!(server.finish().expect(0).text(), printed);
    }
}

#[test]
fn end_prints_what_every_lane_still_holds() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let mut others: Vec<Proc> = (0..2).map(|_| Proc::spawn(channel.client(&[]))).collect();
    for other in &mut others {
        other.write(b"here\n");
    }
    server.wait_stdout("both are in", |out| out == b"here\nhere\n");
    server.stop();
    let held = "held\n".repeat(20);
    for mut other in others {
        other.write(held.as_bytes());
        other.finish().expect(0);
    }
    run(channel.client(&[]), b"end\n").expect(0);
    server.signal(nix::sys::signal::Signal::SIGCONT);
    let out = server.finish();
    assert_eq!(out.expect(0).text(), format!("here\nhere\n{held}{held}"));
    channel.assert_gone();
}

#[test]
fn end_of_stdin_ends_the_client_and_not_the_server() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    run(channel.client(&[]), b"first\n").expect(0);
    run(channel.client(&[]), b"").expect(0);
    run(channel.client(&[]), b"second\n").expect(0);
    server.wait_stdout("both", |out| out == b"first\nsecond\n");
    server.check_alive();
    run(channel.client(&[]), b"end\n").expect(0);
    server.finish().expect(0);
}

#[test]
fn empty_lines_and_a_last_line_without_newline_are_messages() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    run(channel.client(&[]), b"\n\na\r\n\nlast").expect(0);
    server.wait_stdout("all", |out| out == b"\n\na\r\n\nlast\n");
    run(channel.client(&["-0"]), b"x\0\0last").expect(0);
    server.wait_stdout("all", |out| out == b"\n\na\r\n\nlast\nx\n\nlast\n");
}

#[test]
fn with_persist_the_end_word_does_not_stop_the_server() {
    let channel = Channel::new();
    let server = channel.running(&["--persist"]);
    run(channel.client(&[]), b"one\nend\n").expect(0);
    run(channel.client(&[]), b"two\nend\n").expect(0);
    server.wait_stdout("both", |out| out == b"one\ntwo\n");
    server.check_alive();
}

#[test]
fn each_line_is_printed_at_once_with_the_prefix() {
    let channel = Channel::new();
    let server = channel.running(&["--prefix", "You wrote: "]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"hello\n");
    server.wait_stdout("the line", |out| out == b"You wrote: hello\n");
    client.write(b"board\nend\n");
    assert_eq!(server.finish().expect(0).text(), "You wrote: hello\nYou wrote: board\n");
}

/// Many clients at once, each with its own numbered lines: all arrive, in order for each client.
fn many(clients: usize, lanes: &str, lines: usize) {
    let channel = Channel::new();
    let server = channel.running(&["--lanes", lanes]);
    let senders: Vec<Proc> = (0..clients)
        .map(|client| {
            let mut sender = Proc::spawn(channel.client(&[]));
            let filler = "x".repeat(client * 7);
            let line = |n| format!("{client} {n} {filler}\n");
            sender.feed((0..lines).flat_map(|n| line(n).into_bytes()).collect());
            sender
        })
        .collect();
    for mut sender in senders {
        sender.finish_with_stdin().expect(0);
    }
    run(channel.client(&[]), b"end\n").expect(0);
    let out = server.finish();
    let mut next = vec![0; clients];
    for line in out.expect(0).text().lines() {
        let mut words = line.split(' ').map(|word| word.parse().unwrap_or(usize::MAX));
        let (client, number) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(number, next[client], "client {client}: order, loss or double");
        assert!(line.ends_with(&"x".repeat(client * 7)), "{line}");
        next[client] += 1;
    }
    assert_eq!(next, vec![lines; clients]);
    channel.assert_gone();
}

#[test]
fn four_clients_at_once_keep_their_order() {
    many(4, "4", 2_000);
}

#[test]
fn more_clients_than_lanes_take_turns() {
    many(9, "2", 300);
}

#[test]
fn a_full_ring_blocks_the_client_and_then_goes_on() {
    let channel = Channel::new();
    let server = channel.running(&["--size", "8K"]);
    server.stop();
    let mut client = Proc::spawn(channel.client(&[]));
    let lines = numbered(5_000); // about 24 kB: three times what the ring can hold
    client.feed(lines.clone());
    until("the ring is full", || {
        let queued = channel.status().numbers("queued").into_iter().fold(0.0, f64::max);
        client.check_alive();
        queued > 6_000.0
    });
    server.signal(nix::sys::signal::Signal::SIGCONT);
    client.finish_with_stdin().expect(0);
    run(channel.client(&[]), b"end\n").expect(0);
    assert_eq!(server.finish().expect(0).stdout, lines);
}

#[test]
fn a_terminal_is_prompted_and_a_pipe_is_not() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let out = run(channel.client(&[]), b"piped\n");
    assert_eq!((out.expect(0).text().as_str(), out.stderr.as_str()), ("", ""));
    let (keyboard, screen) = match crate::support::raw::terminal() {
        Ok(both) => both,
        Err(error) => return skipped(&format!("no pseudo terminal here: {error}")),
    };
    let client = Proc::spawn_with(channel.client(&[]), screen.into(), Stdio::piped());
    let mut keyboard = std::fs::File::from(keyboard);
    let prompts = |client: &Proc| {
        let said = String::from_utf8_lossy(&client.stdout()).into_owned() + &client.stderr();
        said.matches("Enter some text: ").count()
    };
    until("a prompt", || prompts(&client) == 1);
    keyboard.write_all(b"typed\n").expect("typing");
    server.wait_stdout("the line", |out| out == b"piped\ntyped\n");
    until("the next prompt", || prompts(&client) == 2);
    keyboard.write_all(b"end\n").expect("typing");
    client.finish().expect(0);
    server.finish().expect(0);
}

#[test]
fn the_key_is_1234_when_none_is_given() {
    in_thread(|| {
        let apart = unshare(CloneFlags::CLONE_NEWIPC).is_ok();
        let Some(channel) = Channel::with_key(1234) else {
            return skipped("key 1234 is in use, and there is no IPC namespace to be had");
        };
        let mut server = Proc::spawn(crate::support::server());
        until("a segment with key 1234", || crate::support::shm_row(1234).is_some());
        assert_eq!(crate::support::shm_row(1234).unwrap().perms & 0o777, 0o600);
        run(client(), b"hello\nend\n").expect(0);
        assert_eq!(server.finish_with_stdin().expect(0).text(), "hello\n", "apart: {apart}");
        channel.assert_gone();
    });
}
