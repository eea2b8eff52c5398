//! Where messages are printed: an output that takes no more, or not so much, loses none of them, and a
//! file holds whole lines however a server ended.

use crate::support::{
    again_where_it_stood_still, in_thread, numbered, raw, run, skipped, streams, until, Channel,
    Folder, Proc,
};
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::signal::Signal::{self, SIGKILL, SIGTERM};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::process::Stdio;

fn line(n: usize) -> String {
    format!("{n:0>36}\n")
}

fn server_into(channel: &Channel, file: File, args: &[&str]) -> crate::support::Output {
    Proc::spawn_with(channel.server(args), Stdio::null(), file.into()).finish_with_stdin()
}

#[test]
fn a_line_torn_by_a_full_file_system_is_ended_and_comes_again_whole() {
    let folder = Folder::new();
    in_thread(|| {
        let mounted = raw::private_mounts()
            .and_then(|()| raw::mount("tmpfs", &folder.0, "tmpfs", 0, "size=4096"));
        if let Err(error) = mounted {
            return skipped(&format!("no small file system of one's own: {error}"));
        }
        let channel = Channel::new();
        let all: String = (0..200).map(line).collect();
        channel.filled(all.as_bytes());
        let file = folder.0.join("out");
        server_into(&channel, File::create(&file).expect("a file"), &[]).fails(74, &["ENOSPC"]);
        let torn = std::fs::read_to_string(&file).expect("what was written");
        assert!(torn.len() == 4096 && !torn.ends_with('\n'), "{} bytes", torn.len());
        raw::mount("tmpfs", &folder.0, "tmpfs", nix::libc::MS_REMOUNT, "size=65536")
            .expect("a larger file system");
        run(channel.client(&[]), b"end\n").expect(0);
        let more = OpenOptions::new().append(true).open(&file).expect("the file");
        server_into(&channel, more, &[]).expect(0);
        let text = std::fs::read_to_string(&file).expect("all of it");
        let whole = &torn[..torn.rfind('\n').expect("lines") + 1];
        let count = whole.len() / 37;
        let rest: String = (count..200).map(line).collect();
        assert_eq!(text, format!("{torn}\n{rest}"));
    });
}

#[test]
fn a_file_that_ends_with_a_line_gets_no_empty_one() {
    // Begin of the file, its end with >>, a place in its midst; and with NUL as separator.
    let folder = Folder::new();
    let file = folder.0.join("out");
    for (before, args, after) in [
        ("", &[][..], "one\n"),
        ("a line\n", &[], "a line\none\n"),
        ("half a li", &[], "half a li\none\n"),
        ("a\0", &["-0"], "a\0one\0"),
        ("a\n", &["-0"], "a\n\0one\0"),
    ] {
        let channel = Channel::new();
        channel.filled(b"one\nend\n");
        std::fs::write(&file, before).expect("a file");
        let more = OpenOptions::new().append(true).open(&file).expect("the file");
        server_into(&channel, more, args).expect(0);
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), after, "{before:?}");
    }
    // Nothing to print: nothing is written.
    let channel = Channel::new();
    channel.filled(b"end\n");
    std::fs::write(&file, "half").expect("a file");
    let more = OpenOptions::new().append(true).open(&file).expect("the file");
    server_into(&channel, more, &[]).expect(0);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "half");
}

/// A pipe: who reads, who writes.
fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe().expect("a pipe")
}

/// A server that writes into `ends` is ended while `sent`, of which each part is taken before the next comes,
/// waits for it, after it took so many bytes in all; the next one that writes there goes on. What its reader sees.
fn ended_at(ends: (OwnedFd, OwnedFd), sent: &[&str], taken: usize, end: Signal) -> String {
    let (read_end, write_end) = ends;
    let channel = Channel::new();
    let mut creator = channel.running(&["--persist", "--size", "256K", "--max-message", "8192"]);
    creator.signal(SIGTERM);
    creator.finish_with_stdin().expect(0);
    channel.filled(sent[0].as_bytes());
    let stdout = || Stdio::from(write_end.try_clone().expect("the pipe"));
    let mut server = Proc::spawn_with(channel.server(&["--persist"]), Stdio::null(), stdout());
    for (text, more) in sent.iter().zip(&sent[1..]) {
        until("the other end has the first", || streams::readable(&read_end) >= text.len());
        channel.filled(more.as_bytes());
    }
    until("the other end has what it takes", || streams::readable(&read_end) >= taken);
    match end {
        SIGKILL => drop(server.kill()),
        other => {
            until("it waits for the rest", || crate::support::proc::asleep(server.pid()));
            server.signal(other);
            server.finish_with_stdin().expect(0);
        }
    }
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut File::from(read_end), &mut text).expect("lines");
        text
    });
    let mut next = Proc::spawn_with(channel.server(&[]), Stdio::null(), stdout());
    drop(write_end);
    run(channel.client(&[]), b"next\nend\n").expect(0);
    next.finish_with_stdin().expect(0);
    let seen = reader.join().expect("the reader");
    seen.strip_suffix("next\n").expect("the next line").to_string()
}

#[test]
fn a_line_torn_in_a_pipe_is_ended_and_comes_again_whole() {
    // Killed, or told to leave the rest to the next.
    for end in [SIGKILL, SIGTERM] {
        torn_in_a_pipe(end);
    }
}

fn torn_in_a_pipe(end: Signal) {
    let all: String = (0..4000).map(line).collect();
    // A pipe has 16 pages; the last one may be filled in part.
    let seen = ended_at(pipe(), &[&all], 15 * 4096 + 1, end);
    let taken = seen.bytes().zip(all.bytes()).take_while(|(seen, sent)| seen == sent).count();
    let (first, rest) = seen.split_at(taken);
    assert!(first.len() > 15 * 4096 && !first.ends_with('\n'), "{} bytes", first.len());
    // What was written and not released yet comes twice; nothing is missing or glued.
    let again = rest.strip_prefix('\n').expect("the torn line is ended");
    assert!(all.ends_with(again) && again.len() + first.len() > all.len(), "{} bytes", again.len());
    assert_eq!(again.len() % 37, 0, "{again}");
}

#[test]
fn a_pipe_that_was_written_to_in_one_piece_gets_no_empty_line() {
    // Below PIPE_BUF, and above, where it is noted that a line may be torn.
    for lines in [100, 1000] {
        let all: String = (0..lines).map(line).collect();
        let seen = ended_at(pipe(), &[&all], all.len(), SIGKILL);
        // What was not released when it was killed comes twice.
        let again = seen.strip_prefix(&all).expect("all of it");
        assert!(all.ends_with(again) && again.len() % 37 == 0, "{again}");
    }
}

/// A socket may take a part of any line, be it short.
#[test]
fn a_line_torn_in_a_socket_is_ended_and_comes_again_whole() {
    let (short, long) = ("a".repeat(99) + "\n", "b".repeat(4000) + "\n");
    let (stdout, reader) = streams::small_streams();
    let ends = (OwnedFd::from(reader), OwnedFd::from(stdout));
    let seen = ended_at(ends, &[&short, &long], short.len() + 1, SIGKILL);
    let torn = seen.strip_prefix(&short).expect("the first line");
    let taken = torn.find('\n').expect("an end");
    assert!(taken > 0 && taken < 4000, "taken whole: {taken}");
    assert_eq!(torn[taken + 1..], long);
}

/// A server with this for its stdout stops with 74, and the next one prints all ten lines.
fn cannot_print(stdout: impl Fn() -> Stdio, words: &[&str]) {
    for args in [&[][..], &["--persist"]] {
        let channel = Channel::new();
        channel.filled(&numbered(10));
        let mut server = Proc::spawn_with(channel.server(args), Stdio::null(), stdout());
        server.finish_with_stdin().fails(74, words);
        let next = channel.running(&[]);
        next.wait_stdout("all ten", |out| out == numbered(10));
    }
}

#[test]
fn a_full_device_is_74_and_keeps_the_messages() {
    cannot_print(
        || File::create("/dev/full").expect("/dev/full").into(),
        &["ENOSPC", "free some space"],
    );
}

#[test]
fn a_closed_stdout_is_74_and_keeps_the_messages() {
    let closed = || {
        // A pipe nobody reads any more: the stdin of a program that has ended.
        let mut done =
            std::process::Command::new(crate::support::find_program("shmdemo-server").unwrap())
                .arg("-V")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("the server's version");
        let pipe = done.stdin.take().expect("stdin is a pipe");
        done.wait().expect("wait");
        Stdio::from(pipe)
    };
    cannot_print(closed, &["EPIPE", "its reader is gone"]);
}

#[test]
fn a_file_system_that_fills_up_has_each_message_once() {
    let folder = Folder::new();
    in_thread(|| {
        let small = raw::private_mounts()
            .and_then(|()| raw::mount("tmpfs", &folder.0, "tmpfs", 0, "size=4096"));
        if let Err(error) = small {
            return skipped(&format!("no small file system of one's own: {error}"));
        }
        let channel = Channel::new();
        let line = |n: usize| format!("{n:0>99}\n");
        let all: String = (0..60).map(line).collect();
        channel.filled(all.as_bytes());
        let file = folder.0.join("out");
        let into = File::create(&file).expect("a file");
        let mut server = Proc::spawn_with(channel.server(&[]), Stdio::null(), into.into());
        server.finish_with_stdin().fails(74, &["ENOSPC"]);
        let written = std::fs::read_to_string(&file).expect("what was written");
        let complete = written.len() / 100 * 100;
        assert!(complete > 0 && complete < all.len() && all.starts_with(&written));
        let next = channel.running(&[]);
        next.wait_stdout("the rest, once", |out| out == &all.as_bytes()[complete..]);
    });
}

#[test]
fn a_status_that_cannot_be_printed_is_74() {
    let channel = Channel::new();
    channel.filled(b"x\n");
    for args in [&[][..], &["--json"]] {
        let full = File::create("/dev/full").expect("/dev/full");
        let mut status = Proc::spawn_with(channel.sub("status", args), Stdio::null(), full.into());
        status.finish_with_stdin().fails(74, &["ENOSPC"]);
    }
}

/// As /dev/kmsg does, but everywhere: a write is one record, and a large one is refused.
#[test]
fn a_stdout_that_takes_no_large_writes_gets_one_line_a_write() {
    let channel = Channel::new();
    let line = |number: u32| format!("{number:-<60}\n").into_bytes();
    channel.filled(&(1..=200).flat_map(line).collect::<Vec<_>>());
    let (stdout, reader) = streams::small_datagrams();
    let stdout = OwnedFd::from(stdout);
    let server = Proc::spawn_with(channel.server(&["--persist"]), Stdio::null(), stdout.into());
    let mut buffer = [0; 65_536];
    reader.set_read_timeout(Some(crate::support::patience())).expect("a time limit");
    for number in 1..=200 {
        let length = reader.recv(&mut buffer).expect("a line");
        assert_eq!(&buffer[..length], line(number));
    }
    server.signal(SIGTERM);
    server.finish().expect(0);
    assert!(channel.status().numbers("queued").iter().all(|queued| *queued == 0.0));
}

/// Nobody reads the pipe, or Ctrl-S stopped the terminal: one signal is enough.
#[test]
fn one_sigterm_ends_a_server_whose_stdout_takes_nothing() {
    for (persist, code) in [(true, 0), (false, 74)] {
        for terminal in [false, true] {
            let channel = Channel::new();
            let args: &[&str] = if persist { &["--persist"] } else { &[] };
            let (_other_end, stdout) = match terminal {
                true => streams::stopped_terminal(),
                false => streams::full_pipe(),
            };
            let mut server = Proc::spawn_with(channel.server(args), Stdio::null(), stdout.into());
            channel.await_holder(&server);
            run(channel.client(&[]), &numbered(50)).expect(0);
            until("it has the lines in hand", || crate::support::proc::asleep(server.pid()));
            server.signal(SIGTERM);
            let out = server.finish_with_stdin();
            out.expect(code);
            if !persist {
                out.fails(74, &["EINTR", "Ctrl-S"]);
            }
            // All of it is still there.
            let next = channel.running(&[]);
            next.wait_stdout("every line", |out| out == numbered(50));
        }
    }
}

/// It has a second for it, however often it is interrupted by something else.
#[test]
fn a_reader_that_was_only_slow_when_the_signal_came_gets_all() {
    for blocks in [true, false] {
        let attempt = || {
            let channel = Channel::new();
            let (reader, stdout) = streams::full_pipe();
            if !blocks {
                fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("F_SETFL");
            }
            let mut server = Proc::spawn_with(channel.server(&[]), Stdio::null(), stdout.into());
            channel.await_holder(&server);
            run(channel.client(&[]), &numbered(50)).expect(0);
            until("it has the lines in hand", || crate::support::proc::asleep(server.pid()));
            let begin = std::time::Instant::now();
            server.signal(SIGTERM);
            std::thread::sleep(std::time::Duration::from_millis(50));
            // Only who reads stdin has another one in its place when a signal has come.
            let stdin = std::fs::read_link(format!("/proc/{}/fd/0", server.pid()));
            let reader = std::thread::spawn(move || {
                let mut seen = Vec::new();
                std::io::Read::read_to_end(&mut File::from(reader), &mut seen).expect("lines");
                seen
            });
            let out = server.finish_with_stdin();
            let seen = reader.join().expect("the reader");
            if out.code() == 0 {
                let null = std::path::Path::new("/dev/null");
                assert_eq!(stdin.expect("its stdin"), null);
                assert!(seen.ends_with(&numbered(50)), "blocks: {blocks}");
                channel.assert_gone();
            }
            (begin, out)
        };
        again_where_it_stood_still(attempt).expect(0);
    }
}

#[test]
fn a_line_that_stdout_never_takes_is_74_and_says_so() {
    let channel = Channel::new();
    let mut creator = channel.running(&["--persist", "--size", "256K", "--max-message", "32K"]);
    creator.signal(SIGTERM);
    creator.finish_with_stdin().expect(0);
    channel.filled(format!("short\n{}\nlast\n", "x".repeat(20_000)).as_bytes());
    let (stdout, reader) = streams::small_datagrams();
    let stdout = OwnedFd::from(stdout);
    let mut server = Proc::spawn_with(channel.server(&[]), Stdio::null(), stdout.into());
    server.finish_with_stdin().fails(74, &["EMSGSIZE", "it takes no line as long as this one"]);
    let mut buffer = [0; 100];
    let length = reader.recv(&mut buffer).expect("the first line");
    assert_eq!(&buffer[..length], b"short\n");
    let status = channel.status();
    let counts = ["sent", "received"].map(|name| status.numbers(name).iter().sum::<f64>());
    assert_eq!(counts, [3.0, 1.0]);
}

/// A batch of 32 KiB but a byte, and a longest line behind it.
#[test]
fn a_batch_may_be_filled_to_its_last_byte() {
    let channel = Channel::new();
    let sizes = ["--max-message", "10", "--size", "128K"];
    let mut creator = channel.running(&[&sizes[..], &["--persist"]].concat());
    creator.signal(SIGTERM);
    creator.finish_with_stdin().expect(0);
    for prefix in ["", "> "] {
        let longest = prefix.len() + 11;
        let (lines, rest) = ((32_767 - 9) / longest, (32_767 - 9) % longest);
        // Lines of the full length, one for what is left, and one of the full length again.
        let mut sent = "0123456789\n".repeat(lines - 1);
        let short = |bytes: usize| "s".repeat(bytes - prefix.len() - 1) + "\n";
        let left = longest + 9 + rest;
        for bytes in [left / 2, left - left / 2] {
            match bytes > longest {
                true => sent += &[short(bytes / 2), short(bytes - bytes / 2)].concat(),
                false => sent += &short(bytes),
            }
        }
        let printed = |text: &str| {
            let lines = text.trim_end().replace('\n', &format!("\n{prefix}"));
            format!("{prefix}{lines}\n")
        };
        let first = printed(&sent);
        assert_eq!(first.len(), 32_767);
        sent += "0123456789\nlast\n";
        channel.filled(sent.as_bytes());
        let mut server = channel.running(&["--persist", "--prefix", prefix]);
        let all = printed(&sent);
        server.wait_stdout("all lines", |out| out == all.as_bytes());
        server.signal(SIGTERM);
        server.finish_with_stdin().expect(0);
    }
}
