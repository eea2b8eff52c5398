//! `--protocol shared_use_st`: the C demonstration's programs at the other end, both ways.

use crate::support::raw::{self, View};
use crate::support::{find_program, run, shm_row, skipped, until, Channel, Folder, Proc};
use nix::sys::signal::Signal::{SIGCONT, SIGTERM};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const DEMO: [&str; 2] = ["--protocol", "shared_use_st"];
/// What the C programs' buffer takes of a line: 2048 without newline and NUL.
const LONGEST: usize = 2046;

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&DEMO, args].concat()
}

/// The C programs: found like the others, else compiled here.
struct Demo {
    channel: Channel,
    folder: Folder,
}

impl Demo {
    fn here() -> Option<Demo> {
        let demo = Demo { channel: Channel::new(), folder: Folder::new() };
        let both = [
            ("demo_server", include_str!("../c/demo_server.c")),
            ("demo_client", include_str!("../c/demo_client.c")),
        ];
        for (name, source) in both {
            if find_program(name).is_some() {
                continue;
            }
            let file = demo.folder.0.join(format!("{name}.c"));
            std::fs::write(&file, source).expect("the source");
            let mut cc = Command::new("cc");
            cc.args(["-O2", "-Wall", "-Werror", "-o"]).arg(demo.folder.0.join(name)).arg(&file);
            match cc.output() {
                Ok(out) => {
                    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr))
                }
                Err(error) => {
                    skipped(&format!("no {name} beside the tests, and no cc to make it: {error}"));
                    return None;
                }
            }
        }
        Some(demo)
    }

    fn program(&self, name: &str) -> Command {
        let path: PathBuf = find_program(name).unwrap_or_else(|| self.folder.0.join(name));
        let mut command = Command::new(path);
        command.arg(self.channel.key.to_string());
        command
    }

    /// The C server, ready: it has set `written_by_you` to 0.
    fn server(&self) -> Proc {
        let view = View::attach(raw::shm_create(self.channel.key, 2052, 0o666));
        view.write(0, &2_i32.to_ne_bytes());
        let server = Proc::spawn(self.program("demo_server"));
        until("the C server has begun", || view.bytes()[..4] == [0; 4]);
        server
    }
}

#[test]
fn our_client_writes_to_the_c_server() {
    let Some(demo) = Demo::here() else { return };
    let server = demo.server();
    let longest = "x".repeat(LONGEST);
    let input = format!("hello\n\n{longest}\nlast before\nend\n");
    let out = run(demo.channel.client(&DEMO), input.as_bytes());
    out.expect(0);
    let out = server.finish();
    let wanted: Vec<_> = input.lines().map(|line| format!("You wrote: {line}\n")).collect();
    assert_eq!(out.expect(0).text(), wanted.concat());
    assert_eq!(shm_row(demo.channel.key), None, "the C server removed it");
}

#[test]
fn the_c_client_writes_to_our_server() {
    let Some(demo) = Demo::here() else { return };
    let server = Proc::spawn(demo.channel.server(&with(&["--prefix", "You wrote: "])));
    until("a segment", || shm_row(demo.channel.key).is_some());
    assert_eq!(demo.channel.segment().size, 2052);
    let longest = "y".repeat(LONGEST);
    let input = format!("hello\n\n{longest}\nend\n");
    run(demo.program("demo_client"), input.as_bytes()).expect(0);
    let out = server.finish();
    assert_eq!(
        out.expect(0).text(),
        format!("You wrote: hello\nYou wrote: \nYou wrote: {longest}\n")
    );
    demo.channel.assert_gone();
}

#[test]
fn the_c_client_may_start_first() {
    let Some(demo) = Demo::here() else { return };
    let mut client = Proc::spawn(demo.program("demo_client"));
    client.feed(b"early\nbird\nend\n".to_vec());
    until("its first line is in the segment", || {
        let row = shm_row(demo.channel.key);
        row.is_some_and(|row| raw::shm_bytes(row.id)[4..].starts_with(b"early\n\0"))
    });
    let mut server = Proc::spawn(demo.channel.server(&DEMO));
    client.finish_with_stdin().expect(0);
    let out = server.finish_with_stdin();
    assert_eq!(out.expect(0).text(), "early\nbird\n");
    // A segment that everybody may write is what these C programs make: a warning, no more.
    out.fails(0, &["warning", "write"]);
    demo.channel.assert_gone();
}

#[test]
fn our_own_pair_speaks_it_too() {
    let channel = Channel::new();
    let mut client = Proc::spawn(channel.client(&DEMO));
    client.feed([crate::support::numbered(200), b"end\n".to_vec()].concat());
    let mut server = Proc::spawn(channel.server(&DEMO));
    client.finish_with_stdin().expect(0);
    assert_eq!(server.finish_with_stdin().expect(0).stdout, crate::support::numbered(200));
    channel.assert_gone();
}

#[test]
fn a_line_too_long_is_65_and_the_segment_untouched() {
    let channel = Channel::new();
    let view = View::attach(raw::shm_create(channel.key, 2052, 0o600));
    view.write(4, b"as it was");
    let before = view.bytes();
    let mut client = channel.client(&DEMO);
    client.args(["--timeout", "5"]);
    let out = run(client, &[b'x'; LONGEST + 1]);
    out.fails(65, &["line 1", "2047", "2046"]);
    assert!(view.bytes() == before, "something of it was sent");
}

#[test]
fn a_message_waits_in_the_segment_until_it_is_read() {
    let channel = Channel::new();
    run(channel.client(&DEMO), b"kept\n").expect(0);
    let bytes = channel.bytes();
    assert_eq!((&bytes[..4], &bytes[4..10]), (&1_i32.to_ne_bytes()[..], &b"kept\n\0"[..]));
    // It is still unread: there is no room for another.
    let mut second = channel.client(&DEMO);
    second.args(["--timeout", "0"]);
    run(second, b"no room\n").expect(75);
    assert!(channel.bytes() == bytes);
    let server = Proc::spawn(channel.server(&with(&["--persist"])));
    server.wait_stdout("the message", |out| out == b"kept\n");
    server.signal(SIGTERM);
    server.finish().expect(0);
    assert_eq!(channel.bytes()[..4], 0_i32.to_ne_bytes(), "it was read, and the segment stays");
}

/// It stays attached, and nobody else can find it: the client ends, be it that it waits for its turn or for
/// its input, and the server.
#[test]
fn a_segment_that_is_removed_ends_who_uses_it() {
    for waits in [true, false] {
        let channel = Channel::new();
        let view = View::attach(raw::shm_create(channel.key, 2052, 0o600));
        let mut client = Proc::spawn(channel.client(&with(&["-v"])));
        let mut stdin = client.take_stdin();
        client.wait_stderr("the attach", |said| said.contains("attached"));
        if waits {
            stdin.write_all(b"one\ntwo\n").expect("two lines");
            until("the first line", || view.word(0) == 1);
        }
        raw::shm_remove(channel.segment().id);
        if !waits {
            stdin.write_all(b"one\n").expect("a line");
        }
        let line = if waits { "line 2 was not sent" } else { "line 1 was not sent" };
        client.finish().fails(69, &[line, "EIDRM"]);
        drop(stdin);
    }
    let channel = Channel::new();
    let view = View::attach(raw::shm_create(channel.key, 2052, 0o600));
    let server = Proc::spawn(channel.server(&with(&["-v"])));
    server.wait_stderr("the attach", |said| said.contains("attached"));
    raw::shm_remove(channel.segment().id);
    server.finish().fails(69, &["EIDRM"]);
    drop(view);
}

#[test]
fn its_roles_are_taken_and_named_too() {
    let channel = Channel::new();
    let server = Proc::spawn(channel.server(&DEMO));
    run(channel.client(&DEMO), b"one\n").expect(0);
    server.wait_stdout("the line", |out| out == b"one\n");
    run(channel.server(&DEMO), b"").fails(75, &[&server.pid().to_string()]);
    let mut client = Proc::spawn(channel.client(&DEMO));
    client.write(b"two\n");
    server.wait_stdout("the line", |out| out == b"one\ntwo\n");
    run(channel.client(&with(&["--timeout", "0"])), b"three\n").expect(75);
    server.kill();
    let server = Proc::spawn(channel.server(&DEMO));
    client.write(b"four\nend\n");
    client.finish().expect(0);
    assert_eq!(server.finish().expect(0).text(), "four\n");
    channel.assert_gone();
}

#[test]
fn a_segment_of_another_size_is_76() {
    let channel = Channel::new();
    raw::shm_create(channel.key, 70_000, 0o600);
    let before = channel.bytes();
    for program in [channel.client(&with(&["--timeout", "5"])), channel.server(&DEMO)] {
        run(program, b"x\n").fails(76, &["size", "2052"]);
        assert!(channel.bytes() == before);
    }
}

#[test]
fn bytes_without_an_end_are_not_read_past_the_segment() {
    // A peer that writes 2048 bytes without newline or NUL, and a flag that is neither 0 nor 1.
    let channel = Channel::new();
    let view = View::attach(raw::shm_create(channel.key, 2052, 0o600));
    view.write(4, &[b'z'; 2048]);
    view.write(0, &7_i32.to_ne_bytes());
    let server = Proc::spawn(channel.server(&with(&["--persist"])));
    server.wait_stdout("what is there", |out| out == [&[b'z'; 2048][..], b"\n"].concat());
    server.stop();
    server.signal(SIGCONT);
    server.signal(SIGTERM);
    server.finish().expect(0);
}

/// C programs ring for nobody, so that ours looks 50 times a second, and sleeps in between.
#[test]
fn an_idle_server_sleeps_between_its_looks() {
    let channel = Channel::new();
    let server = Proc::spawn(channel.server(&DEMO));
    until("its segment", || shm_row(channel.key).is_some_and(|row| row.attached == 1));
    let read = |name| std::fs::read_to_string(format!("/proc/{}/{name}", server.pid())).unwrap();
    let sleeps = || {
        let status = read("status");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.expect("a count").trim().parse::<u64>().expect("a number")
    };
    let ticks = || {
        let stat = read("stat");
        let times = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        times.map(|time| time.parse::<u64>().expect("ticks")).sum::<u64>()
    };
    let before = (sleeps(), ticks());
    until("twenty looks", || sleeps() >= before.0 + 20);
    let used = ticks() - before.1;
    assert!(used < 10, "{used} ticks of the clock for twenty looks");
}
