//! Where messages are printed: an output that takes no more, or not so much, loses none of them, and a
//! file holds whole lines however a server ended.

use crate::support::{in_thread, numbered, raw, run, skipped, until, Channel, Folder, Proc};
use nix::sys::signal::Signal::SIGTERM;
use std::fs::{File, OpenOptions};
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

/// A server that writes into a pipe is killed while `sent` waits for it, after the pipe took what it could;
/// the next one on the same pipe goes on. What its reader sees.
fn killed_at_a_pipe(sent: &str, taken: usize) -> String {
    let (read_end, write_end) = nix::unistd::pipe().expect("a pipe");
    let channel = Channel::new();
    let mut creator = channel.running(&["--persist", "--size", "256K"]);
    creator.signal(SIGTERM);
    creator.finish_with_stdin().expect(0);
    channel.filled(sent.as_bytes());
    let stdout = || Stdio::from(write_end.try_clone().expect("the pipe"));
    let server = Proc::spawn_with(channel.server(&[]), Stdio::null(), stdout());
    until("the pipe has what it takes", || raw::readable(&read_end) >= taken);
    server.kill();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut File::from(read_end), &mut text).expect("lines");
        text
    });
    let mut next = Proc::spawn_with(channel.server(&[]), Stdio::null(), stdout());
    drop(write_end);
    run(channel.client(&[]), b"end\n").expect(0);
    next.finish_with_stdin().expect(0);
    reader.join().expect("the reader")
}

#[test]
fn a_line_torn_in_a_pipe_is_ended_and_comes_again_whole() {
    let all: String = (0..4000).map(line).collect();
    // A pipe has 16 pages; the last one may be filled in part.
    let seen = killed_at_a_pipe(&all, 15 * 4096 + 1);
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
        let seen = killed_at_a_pipe(&all, all.len());
        // What was not released when it was killed comes twice.
        let again = seen.strip_prefix(&all).expect("all of it");
        assert!(all.ends_with(again) && again.len() % 37 == 0, "{again}");
    }
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
    let (stdout, reader) = raw::small_datagrams();
    let stdout = std::os::fd::OwnedFd::from(stdout);
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
                true => raw::stopped_terminal(),
                false => raw::full_pipe(),
            };
            let mut server = Proc::spawn_with(channel.server(args), Stdio::null(), stdout.into());
            channel.await_holder(&server);
            run(channel.client(&[]), &numbered(50)).expect(0);
            until("it has the lines in hand", || crate::support::proc::asleep(server.pid()));
            server.signal(SIGTERM);
            let out = server.finish_with_stdin();
            out.expect(code);
            assert!(persist || out.stderr.contains("EINTR"), "{}", out.stderr);
            // All of it is still there.
            let next = channel.running(&[]);
            next.wait_stdout("every line", |out| out == numbered(50));
        }
    }
}
