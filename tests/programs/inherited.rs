//! What a program finds when it begins: signals ignored or blocked, descriptors closed, small limits.

use crate::support::{find_program, in_thread, raw, run, skipped, Channel, Folder, Proc};
use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM};
use std::process::{Command, Stdio};

/// The command, started by a shell that did this before.
fn after(before: &str, command: &Command) -> Command {
    let mut shell = Command::new(find_program("sh").expect("sh"));
    shell.arg("-c").arg(format!("{before}\nexec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// The command with its descriptors closed as the shell is told to.
fn redirected(how: &str, command: &Command) -> Command {
    let mut shell = Command::new(find_program("sh").expect("sh"));
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {how}"));
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn ignores(proc: &Proc, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proc.pid())).expect("status");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("SigIgn");
    u64::from_str_radix(mask, 16).expect("hex") & (1 << (signal as u64 - 1)) != 0
}

#[test]
fn signals_that_were_ignored_stay_so() {
    let channel = Channel::new();
    let server = Proc::spawn(after("trap '' INT HUP", &channel.server(&["--persist"])));
    channel.await_holder(&server);
    let client = Proc::spawn(after("trap '' INT HUP", &channel.client(&["-v"])));
    client.wait_stderr("its lane", |said| said.contains("claimed lane"));
    for proc in [&server, &client] {
        for signal in [SIGINT, SIGHUP] {
            assert!(ignores(proc, signal), "{signal}");
            proc.signal(signal);
        }
    }
    run(channel.client(&[]), b"a line\n").expect(0);
    server.wait_stdout("the line", |out| out == b"a line\n");
    client.check_alive();
    for (mut proc, code) in [(client, 143), (server, 0)] {
        proc.signal(SIGTERM);
        proc.finish_with_stdin().expect(code);
    }
}

#[test]
fn signals_that_were_blocked_stop_a_program_nevertheless() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let channel = Channel::new();
        let (mut server, mut client) = (channel.server(&["--persist"]), channel.client(&["-v"]));
        for command in [&mut server, &mut client] {
            raw::block_in(command, &[SIGTERM, SIGINT, SIGHUP]);
        }
        let (mut server, mut client) = (Proc::spawn(server), Proc::spawn(client));
        channel.await_holder(&server);
        client.wait_stderr("its lane", |said| said.contains("claimed lane"));
        server.signal(signal);
        let code = if signal == SIGHUP { 129 } else { 0 };
        server.finish_with_stdin().expect(code);
        client.signal(signal);
        client.finish_with_stdin().expect(128 + signal as i32);
    }
}

#[test]
fn a_hang_up_stops_a_server_as_sigterm_does_and_ends_with_129() {
    for protocol in ["ring", "shared_use_st"] {
        let channel = Channel::new();
        let args = ["--protocol", protocol, "-v"];
        let mut server = Proc::spawn(channel.server(&args));
        server.wait_stderr("its segment", |said| {
            said.contains("claimed the server role") || said.contains("attached segment")
        });
        run(channel.client(&["--protocol", protocol]), b"a line\n").expect(0);
        server.signal(SIGHUP);
        assert_eq!(server.finish_with_stdin().expect(129).stdout, b"a line\n");
        channel.assert_gone();
    }
}

#[test]
fn a_file_that_may_not_grow_is_74_and_keeps_the_rest() {
    let channel = Channel::new();
    let folder = Folder::new();
    let file = folder.0.join("out");
    let lines = crate::support::numbered(400);
    channel.filled(&lines);
    let server = after("ulimit -f 1", &channel.server(&["--persist"]));
    let stdout = std::fs::File::create(&file).expect("a file");
    Proc::spawn_with(server, Stdio::null(), stdout.into())
        .finish_with_stdin()
        .fails(74, &["EFBIG", "ulimit -f", "still in the segment"]);
    let written = std::fs::read(&file).expect("what was written");
    assert!(!written.is_empty() && lines.starts_with(&written));
    let whole = written.iter().rposition(|b| *b == b'\n').expect("a line") + 1;
    let next = channel.running(&[]);
    next.wait_stdout("all the others", |out| out.ends_with(&lines[lines.len() - 4..]));
    assert!(lines.ends_with(&next.stdout()) && next.stdout().len() >= lines.len() - whole);
}

#[test]
fn closed_descriptors_are_named_and_nothing_goes_astray() {
    let work = || {
        let channel = Channel::new();
        for how in ["<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"] {
            let out = run(redirected(how, &channel.client(&[])), b"");
            out.expect(74);
            if !how.contains("2>") {
                out.fails(74, &["stdin is closed", "EBADF"]);
            }
        }
        channel.assert_gone();
        for how in [">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"] {
            for command in [channel.server(&[]), channel.server(&["-h"])] {
                run(redirected(how, &command), b"").expect(74);
            }
        }
        channel.assert_gone();
        // What does not need them works without.
        run(redirected(">&-", &channel.client(&[])), b"1\n").expect(0);
        run(redirected(">&-", &channel.sub("status", &[])), b"").expect(74);
        run(redirected("2>&-", &channel.sub("status", &[])), b"").expect(0);
        run(redirected("2>&-", &channel.client(&["-v"])), b"2\n").expect(0);
        run(redirected(">&- 2>&-", &channel.client(&["-v"])), b"3\nend\n").expect(0);
        let server = redirected("<&- 2>&-", &channel.server(&["-v"]));
        assert_eq!(run(server, b"").expect(0).stdout, b"1\n2\n3\n");
        channel.assert_gone();
    };
    work();
    // Where there is no /dev/null either.
    in_thread(|| {
        if let Err(why) = raw::private_mounts() {
            return skipped(&format!("no mounts of its own: {why}"));
        }
        raw::mount("none", "/dev".as_ref(), "tmpfs", 0, "").expect("an empty /dev");
        work();
    });
}

#[test]
fn a_stack_of_64_kib_is_enough() {
    let channel = Channel::new();
    let small = |command: &Command| after("ulimit -s 64", command);
    let args = ["--max-message", "64K", "--lanes", "32", "--prefix", "> ", "--persist"];
    let server = Proc::spawn(small(&channel.server(&args)));
    channel.await_holder(&server);
    let long = [vec![b'x'; 65_536], b"\n".to_vec()].concat();
    run(small(&channel.client(&[])), &[&long[..], &crate::support::numbered(10_000)].concat())
        .expect(0);
    server.wait_stdout("all lines", |out| out.ends_with(b"\n> 10000\n"));
    run(small(&channel.sub("status", &[])), b"").expect(0);
    run(small(&channel.sub("status", &["--json"])), b"").expect(0);
    run(small(&channel.sub("set", &["--mode", "0640"])), b"").expect(0);
    run(small(&channel.server(&[])), b"").expect(75);
    server.signal(SIGTERM);
    server.finish().expect(0);
    run(small(&channel.sub("remove", &[])), b"").expect(0);
    for args in [["--help"], ["--version"], ["--nonsense"]] {
        let code = if args == ["--nonsense"] { 64 } else { 0 };
        run(small(&channel.server(&args)), b"").expect(code);
    }
    let demo = ["--protocol", "shared_use_st"];
    let server = Proc::spawn(small(&channel.server(&demo)));
    run(small(&channel.client(&demo)), b"a text\nend\n").expect(0);
    assert_eq!(server.finish().expect(0).stdout, b"a text\n");
}
