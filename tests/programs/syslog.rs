//! `--syslog`: the messages arrive at a real syslogd; without one the programs say so and go on.

use crate::support::{find_program, in_thread, raw, run, skipped, until, Channel, Folder, Proc};
use nix::libc::{MS_BIND, MS_REC};
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// From now on this thread and what it starts see a /dev with `null` and `full` and no `log` in it.
fn private_dev(folder: &Path) -> Result<(), String> {
    let step =
        |what: &str, result: Result<(), nix::Error>| result.map_err(|e| format!("{what}: {e}"));
    step("private mounts", raw::private_mounts())?;
    step("tmpfs", raw::mount("tmpfs", folder, "tmpfs", 0, ""))?;
    for name in ["null", "full"] {
        std::fs::write(folder.join(name), "").map_err(|e| format!("{name}: {e}"))?;
        step(name, raw::mount(&format!("/dev/{name}"), &folder.join(name), "none", MS_BIND, ""))?;
    }
    let from = folder.to_str().ok_or("a folder with a plain name")?;
    step("/dev", raw::mount(from, Path::new("/dev"), "none", MS_BIND | MS_REC, ""))
}

/// The file where this machine's syslogd writes, if one runs and the test may read it.
fn machines_log() -> Option<PathBuf> {
    UnixDatagram::unbound().ok()?.connect("/dev/log").ok()?;
    let files = ["/var/log/messages", "/var/log/syslog"].map(PathBuf::from);
    files.into_iter().find(|file| std::fs::File::open(file).is_ok())
}

/// Steps of both programs under `-v --syslog` arrive in `log`, with name and pid, and not on stderr.
fn arrives_in(log: &Path) {
    let channel = Channel::new();
    let server = channel.running(&["-v", "--syslog"]);
    let mut client = Proc::spawn(channel.client(&["-v", "--syslog"]));
    let pids = [("shmdemo-server", server.pid()), ("shmdemo-client", client.pid())];
    let id = channel.segment().id.to_string();
    client.write(b"hello\nend\n");
    for out in [client.finish(), server.finish()] {
        assert_eq!(out.expect(0).stderr, "", "the log goes to syslog, not to stderr");
    }
    for (name, pid) in pids {
        until(&format!("{name}[{pid}] in {}", log.display()), || {
            let text =
                String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
            let tag = format!("{name}[{pid}]: ");
            let said: Vec<&str> =
                text.lines().filter_map(|line| Some(line.split_once(&tag)?.1)).collect();
            said.iter().any(|line| line.contains(&id))
                && said.iter().any(|line| line.contains("detach"))
        });
    }
    // A failure is told there as well: nothing listens to stderr under an init system.
    let failed = Proc::spawn(channel.sub("status", &["--syslog"]));
    let tag = format!("shmdemo-server[{}]: ", failed.pid());
    failed.finish().expect(69);
    until("the failure in the log", || {
        String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).contains(&tag)
    });
}

#[test]
fn messages_arrive_at_a_real_syslogd() {
    if let Some(log) = machines_log() {
        return arrives_in(&log);
    }
    let Some(busybox) = find_program("busybox") else {
        return skipped(
            "no syslogd on /dev/log whose file can be read, and no busybox to start one",
        );
    };
    let (folder, log) = (Folder::new(), Folder::new());
    in_thread(|| {
        if let Err(why) = private_dev(&folder.0) {
            return skipped(&format!("no syslogd on /dev/log, and no /dev of one's own: {why}"));
        }
        let file = log.0.join("messages");
        let mut syslogd = Command::new(busybox);
        syslogd.args(["syslogd", "-n", "-O"]).arg(&file);
        let syslogd = Proc::spawn_with(syslogd, Stdio::null(), Stdio::null());
        until("/dev/log", || {
            syslogd.check_alive();
            UnixDatagram::unbound().and_then(|socket| socket.connect("/dev/log")).is_ok()
        });
        arrives_in(&file);
    });
}

#[test]
fn without_a_syslogd_the_log_goes_to_stderr() {
    let folder = Folder::new();
    in_thread(|| {
        if Path::new("/dev/log").exists() {
            if let Err(why) = private_dev(&folder.0) {
                return skipped(&format!("a syslogd is here and cannot be hidden: {why}"));
            }
        }
        let channel = Channel::new();
        let mut server = Proc::spawn(channel.server(&["-v", "--syslog"]));
        let client = run(channel.client(&["--syslog"]), b"hello\nend\n");
        client.fails(0, &["syslog", "/dev/log"]);
        let out = server.finish_with_stdin();
        assert_eq!(out.expect(0).text(), "hello\n");
        out.fails(0, &["syslog", "detach"]);
        channel.assert_gone();
    });
}

/// A syslogd that is there and does not read, so its socket is full.
fn stuck() -> UnixDatagram {
    let stuck = UnixDatagram::bind("/dev/log").expect("a socket at /dev/log");
    let full = UnixDatagram::unbound().expect("a socket");
    full.connect("/dev/log").and_then(|()| full.set_nonblocking(true)).expect("/dev/log");
    while full.send(b"<30>somebody: more").is_ok() {}
    stuck
}

#[test]
fn a_syslogd_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed() {
    let folder = Folder::new();
    in_thread(|| {
        if let Err(why) = private_dev(&folder.0) {
            return skipped(&format!("no /dev of one's own: {why}"));
        }
        let syslogd = stuck();
        let channel = Channel::new();
        let mut server = channel.running(&["-v", "--syslog", "--persist"]);
        run(channel.client(&["-v", "--syslog"]), b"hello\n").expect(0);
        server.wait_stdout("the message", |out| out == b"hello\n");
        // Why a program ends is told on stderr then.
        run(channel.server(&["--syslog"]), b"").fails(75, &["server"]);
        run(channel.client(&["--syslog"]), &[b'x'; 5000]).fails(65, &["5000"]);
        syslogd.set_nonblocking(true).expect("O_NONBLOCK");
        let mut line = [0; 1000];
        while syslogd.recv(&mut line).is_ok() {}
        server.signal(nix::sys::signal::Signal::SIGTERM);
        server.finish_with_stdin().expect(0);
        let mut heard = Vec::new();
        while let Ok(length) = syslogd.recv(&mut line) {
            heard.push(String::from_utf8_lossy(&line[..length]).into_owned());
        }
        let missed = heard.iter().position(|line| line.contains("did not take"));
        let stopped = heard.iter().position(|line| line.contains("stopped by SIGTERM"));
        assert!(missed.is_some() && missed < stopped, "{heard:#?}");
        assert!(heard[missed.expect("it")].starts_with("<28>shmdemo-server["), "{heard:#?}");
    });
}

/// Some old ones listen for a stream, in which NUL ends each line.
#[test]
fn a_syslogd_that_takes_a_stream_gets_whole_lines() {
    let folder = Folder::new();
    in_thread(|| {
        if let Err(why) = private_dev(&folder.0) {
            return skipped(&format!("no /dev of one's own: {why}"));
        }
        let syslogd = UnixListener::bind("/dev/log").expect("a socket at /dev/log");
        let channel = Channel::new();
        run(channel.client(&["-v", "--syslog"]), b"hello\n").expect(0);
        let mut heard = String::new();
        let (mut stream, _) = syslogd.accept().expect("the client");
        stream.read_to_string(&mut heard).expect("its lines");
        let lines: Vec<&str> = heard.split_terminator('\0').collect();
        assert!(lines.len() > 2 && heard.ends_with('\0'), "{heard:?}");
        let begin = |line: &&str| line.starts_with("<30>shmdemo-client[");
        assert!(lines.iter().all(begin), "{lines:#?}");
        assert!(
            lines.iter().any(|line| line.ends_with("end of input after 1 lines")),
            "{lines:#?}"
        );
        // Each level has its number there.
        run(channel.client(&["--syslog"]), &[b'x'; 5000]).expect(65);
        let (mut stream, _) = syslogd.accept().expect("another client");
        let mut failure = String::new();
        stream.read_to_string(&mut failure).expect("its line");
        assert!(
            failure.starts_with("<27>shmdemo-client[") && failure.contains("5000"),
            "{failure:?}"
        );
    });
}

#[test]
fn a_syslogd_that_comes_later_is_found() {
    let folder = Folder::new();
    in_thread(|| {
        if let Err(why) = private_dev(&folder.0) {
            return skipped(&format!("no /dev of one's own: {why}"));
        }
        let channel = Channel::new();
        let mut server = channel.running(&["-v", "--syslog", "--persist"]);
        server.wait_stderr("a word on it", |said| said.contains("no syslogd"));
        let syslogd = UnixDatagram::bind("/dev/log").expect("a socket at /dev/log");
        server.signal(nix::sys::signal::Signal::SIGTERM);
        let said = server.finish_with_stdin().expect(0).stderr.clone();
        assert!(!said.contains("stopped by"), "{said}");
        let mut line = [0; 1000];
        let length = syslogd.recv(&mut line).expect("a line");
        assert!(String::from_utf8_lossy(&line[..length]).contains("stopped by SIGTERM"));
    });
}

/// Its socket is another one then.
#[test]
fn a_syslogd_that_is_started_again_has_the_next_line() {
    let folder = Folder::new();
    in_thread(|| {
        if let Err(why) = private_dev(&folder.0) {
            return skipped(&format!("no /dev of one's own: {why}"));
        }
        let syslogd = UnixDatagram::bind("/dev/log").expect("a socket at /dev/log");
        let channel = Channel::new();
        // Everybody may write it: a warning, which has a number of its own.
        let demo = ["--protocol", "shared_use_st", "--mode", "666"];
        let mut server =
            Proc::spawn(channel.server(&[&demo[..], &["-v", "--syslog", "--persist"]].concat()));
        let next = |syslogd: &UnixDatagram, words: &str| {
            let mut line = [0; 1000];
            syslogd.set_read_timeout(Some(crate::support::patience())).expect("a time limit");
            loop {
                let length = syslogd.recv(&mut line).expect("a line");
                let line = String::from_utf8_lossy(&line[..length]).into_owned();
                if line.contains(words) {
                    return line;
                }
            }
        };
        let warning = next(&syslogd, "everybody");
        assert!(warning.starts_with("<28>shmdemo-server["), "{warning}");
        // A program that another test starts may have it until its exec(2).
        syslogd.shutdown(std::net::Shutdown::Both).expect("shutdown");
        drop(syslogd);
        std::fs::remove_file("/dev/log").expect("its place");
        let syslogd = UnixDatagram::bind("/dev/log").expect("a socket at /dev/log");
        server.signal(nix::sys::signal::Signal::SIGTERM);
        server.finish_with_stdin().expect(0);
        let stopped = next(&syslogd, "stopped by SIGTERM");
        assert!(stopped.starts_with("<30>shmdemo-server["), "{stopped}");
    });
}
