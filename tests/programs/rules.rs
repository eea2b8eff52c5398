//! Lines too long, waits that end, roles that are taken, limits of the kernel, and what a pair uses
//! of processor and memory.

use crate::support::{in_thread, numbered, patience, run, skipped, until, Channel, Output, Proc};
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn an_over_long_line_is_refused_whole_and_named() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let longest = "x".repeat(2048);
    let input = format!("{longest}\nsecond\ny{longest}\nnever sent\n");
    let out = run(channel.client(&[]), input.as_bytes());
    out.fails(65, &["line 3", "2049", "2048", "--max-message"]);
    let (longer, null) = ("z".repeat(100_000), "\0");
    // 100 kB without any end: the client must not need the whole line to know.
    let out = run(channel.client(&["-0"]), format!("with\nnull{null}{longer}").as_bytes());
    out.fails(65, &["2", "2048"]);
    // What such a line ends with is no message, and the next line is not reached.
    for bytes in (90_000..=100_000).step_by(1000) {
        let line = "l".repeat(bytes);
        let out = run(channel.client(&["-0"]), format!("{line}{null}short{null}").as_bytes());
        out.fails(65, &[&format!("line 1 was not sent: it has {bytes} bytes")]);
    }
    // Nor is the end of input waited for where there is none.
    let mut endless = Proc::spawn(channel.client(&["-0"]));
    endless.write(format!("third{null}").as_bytes());
    let mut stdin = endless.take_stdin();
    let writer = std::thread::spawn(move || while stdin.write_all(longer.as_bytes()).is_ok() {});
    endless.finish_with_stdin().fails(65, &["line 2 was not sent: it has more than 1"]);
    writer.join().expect("who writes");
    run(channel.client(&[]), b"end\n").expect(0);
    let printed = format!("{longest}\nsecond\nwith\nnull\nthird\n");
    assert_eq!(server.finish().expect(0).text(), printed);
}

#[test]
fn the_longest_message_is_the_channels_own() {
    let channel = Channel::new();
    let server = channel.running(&["--max-message", "10"]);
    run(channel.client(&[]), b"0123456789\n").expect(0);
    let out = run(channel.client(&[]), b"ok\n0123456789a\n");
    out.fails(65, &["line 2", "11", "10"]);
    server.wait_stdout("the good ones", |out| out == b"0123456789\nok\n");
    let status = channel.status();
    assert_eq!(status.numbers("long").iter().sum::<f64>(), 1.0, "too-long count in {status:?}");
}

#[test]
fn with_timeout_0_a_full_ring_is_75_and_names_the_line() {
    let channel = Channel::new();
    let server = channel.running(&["--size", "8K"]);
    server.stop();
    let input = numbered(5_000);
    let out = run(channel.client(&["--timeout", "0"]), &input);
    out.fails(75, &["line"]);
    server.signal(Signal::SIGCONT);
    run(channel.client(&[]), b"end\n").expect(0);
    let printed = server.finish();
    let text = printed.expect(0).text();
    assert!(
        input.starts_with(text.as_bytes()) && !text.is_empty(),
        "what came before is delivered"
    );
    let failed = text.lines().count() + 1;
    let said = format!("line {failed} was not sent: ");
    assert!(out.stderr.contains(&said), "line {failed} is not named, alone: {}", out.stderr);
}

#[test]
fn with_timeout_0_and_room_all_goes_through() {
    let channel = Channel::new();
    run(channel.client(&["--timeout", "0"]), b"a\nb\n").expect(0);
    let server = channel.running(&[]);
    server.wait_stdout("both", |out| out == b"a\nb\n");
}

#[test]
fn a_wait_for_a_server_ends_at_the_timeout() {
    let channel = Channel::new();
    run(channel.client(&["--no-create", "--timeout", "0"]), b"a\n").expect(75);
    let demo = ["--protocol", "shared_use_st", "--no-create", "--timeout", "0"];
    run(channel.client(&demo), b"a\n").fails(75, &["nobody created the segment"]);
    let start = Instant::now();
    run(channel.client(&["--no-create", "--timeout", "1"]), b"a\n").expect(75);
    assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    channel.assert_gone();
}

#[test]
fn a_wait_for_room_ends_at_the_timeout() {
    let channel = Channel::new();
    let server = channel.running(&["--size", "8K"]);
    server.stop();
    let start = Instant::now();
    run(channel.client(&["--timeout", "1"]), &numbered(5_000)).expect(75);
    assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
}

/// Clients that hold their lanes: each has sent one line and waits for more.
fn holders(channel: &Channel, server: &Proc, count: usize) -> Vec<Proc> {
    let holders: Vec<Proc> = (0..count)
        .map(|_| {
            let mut client = Proc::spawn(channel.client(&[]));
            client.write(b"held\n");
            client
        })
        .collect();
    server.wait_stdout("every holder's line", |out| out == b"held\n".repeat(count));
    holders
}

#[test]
fn more_clients_than_lanes_wait_or_end_with_75() {
    let channel = Channel::new();
    let server = channel.running(&["--lanes", "2"]);
    let mut holders = holders(&channel, &server, 2);
    let out = run(channel.client(&["--timeout", "0"]), b"no\n");
    out.fails(75, &["lane"]);
    let start = Instant::now();
    run(channel.client(&["--timeout", "1"]), b"no\n").fails(75, &["lane"]);
    assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    let mut waiting = Proc::spawn(channel.client(&[]));
    waiting.feed(b"third\n".to_vec());
    let mut timed = Proc::spawn(channel.client(&["--timeout", "1000000"]));
    timed.feed(b"third\n".to_vec());
    until("both wait", || {
        let asleep = |client: &Proc| {
            client.check_alive();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", client.pid()));
            stat.expect("stat").contains(") S ")
        };
        asleep(&waiting) && asleep(&timed)
    });
    holders.pop().unwrap().finish().expect(0);
    waiting.finish_with_stdin().expect(0);
    timed.finish_with_stdin().expect(0);
    server.wait_stdout("all", |out| out == b"held\nheld\nthird\nthird\n");
}

#[test]
fn a_stopped_client_does_not_delay_the_others() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let holders = holders(&channel, &server, 2);
    holders[0].stop();
    let mut lines = numbered(1_000);
    run(channel.client(&[]), &lines).expect(0);
    lines.splice(0..0, *b"held\nheld\n");
    server.wait_stdout("all of the third one's", |out| out == lines);
}

#[test]
fn a_second_server_is_75_and_names_the_first() {
    let channel = Channel::new();
    let first = channel.running(&[]);
    for args in [&[][..], &["--persist"], &["--lanes", "2"]] {
        let out = run(channel.server(args), b"");
        out.fails(75, &[&first.pid().to_string()]);
    }
    run(channel.client(&[]), b"still here\nend\n").expect(0);
    assert_eq!(first.finish().expect(0).text(), "still here\n");
    channel.assert_gone();
}

#[test]
fn many_starters_at_once_make_one_channel() {
    for round in 0..5 {
        let channel = Channel::new();
        let mut servers: Vec<Proc> =
            (0..4).map(|_| Proc::spawn(channel.server(&["--persist"]))).collect();
        let clients: Vec<Proc> = (0..4)
            .map(|n| {
                let mut client = Proc::spawn(channel.client(&[]));
                client.feed(format!("{n}\n").into_bytes());
                client
            })
            .collect();
        for mut client in clients {
            client.finish_with_stdin().expect(0);
        }
        until("one server is left", || {
            servers.iter_mut().map(Proc::alive).filter(|alive| *alive).count() == 1
        });
        let winner = servers.iter_mut().position(|server| server.alive()).expect("a winner");
        let winner = servers.swap_remove(winner);
        for mut loser in servers {
            loser.finish_with_stdin().fails(75, &[&winner.pid().to_string()]);
        }
        winner.wait_stdout(&format!("four lines in round {round}"), |out| {
            let mut lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
            lines.sort();
            lines == [&b""[..], b"0", b"1", b"2", b"3"]
        });
    }
}

#[test]
fn who_joins_takes_what_is_there_and_is_told_so() {
    let channel = Channel::new();
    channel.filled(b"kept\n");
    let before = channel.segment();
    let other = ["--lanes", "2", "--size", "1M", "--max-message", "512", "--persist"];
    let server = channel.running(&other);
    for words in
        [["--lanes", "2", "4"], ["--size", "1048576", "16384"], ["--max-message", "512", "2048"]]
    {
        let named = |line: &str| words.iter().all(|word| line.contains(word));
        server.wait_stderr(&format!("{words:?}"), |said| said.lines().any(named));
    }
    server.wait_stdout("the message", |out| out == b"kept\n");
    assert_eq!((channel.segment().id, channel.segment().size), (before.id, before.size));
    server.signal(Signal::SIGTERM);
    server.finish().expect(0);
    for quiet in [&["-q", "--lanes", "2"][..], &["--lanes", "4", "--max-message", "2048"]] {
        let server = channel.running(&[quiet, &["--persist"]].concat());
        server.signal(Signal::SIGTERM);
        assert_eq!(server.finish().expect(0).stderr, "");
    }
}

#[test]
fn a_client_that_cannot_read_its_stdin_is_74() {
    let channel = Channel::new();
    let folder = std::fs::File::open("/").expect("the root folder");
    let mut client = Proc::spawn_with(channel.client(&[]), folder.into(), Stdio::piped());
    client.finish_with_stdin().fails(74, &["EISDIR"]);
}

/// Runs in an IPC namespace of its own, with this kernel limit set in it.
fn limited(limit: &str, value: &str, check: impl FnOnce(Output) + Send) {
    in_thread(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWIPC) {
            return skipped(&format!("no IPC namespace to set {limit} in: {error}"));
        }
        std::fs::write(format!("/proc/sys/kernel/{limit}"), value).expect("setting the limit");
        let channel = Channel::new();
        check(run(channel.server(&[]), b""));
        run(channel.client(&[]), b"x\n").fails(73, &[]);
        channel.assert_gone();
    });
}

#[test]
fn too_small_a_shmmax_is_73_and_named() {
    limited("shmmax", "4096", |out| {
        out.fails(73, &["shmmax", "4096", "EINVAL"]);
    });
}

#[test]
fn too_small_a_shmmni_is_73_and_named() {
    limited("shmmni", "0", |out| {
        out.fails(73, &["shmmni", "ENOSPC", "sysctl"]);
    });
}

#[test]
fn too_few_semaphores_are_73_and_named() {
    limited("sem", "250 32000 32 0", |out| {
        out.fails(73, &["kernel.sem", "ENOSPC"]);
    });
}

#[test]
fn a_kernel_without_system_v_ipc_is_69() {
    in_thread(|| {
        if let Err(error) = crate::support::raw::forbid_sysv() {
            return skipped(&format!("no system-call filters here: {error}"));
        }
        let key = "7654321";
        for word in [None, Some("status"), Some("set"), Some("remove")] {
            let mut command = crate::support::server();
            command.args(word).args(["-k", key]);
            if word == Some("set") {
                command.args(["--mode", "0600"]);
            }
            run(command, b"").fails(69, &["ENOSYS", "SYSVIPC"]);
        }
        let mut command = crate::support::client();
        command.args(["-k", key]);
        run(command, b"x\n").fails(69, &["ENOSYS", "SYSVIPC"]);
    });
}

/// Processor time and context switches of all tasks of a process.
fn work(pid: i64) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its tasks");
    let mut work: Vec<String> = tasks
        .flatten()
        .map(|task| {
            let read = |name| std::fs::read_to_string(task.path().join(name)).expect("its task");
            let (stat, status) = (read("stat"), read("status"));
            let times = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
            let switches = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
            format!("{} {}", times.collect::<Vec<_>>().join(" "), switches.collect::<String>())
        })
        .collect();
    work.sort();
    work
}

#[test]
fn an_idle_pair_uses_no_cpu() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"hello\n");
    server.wait_stdout("the line", |out| out == b"hello\n");
    let both = || [work(server.pid()), work(client.pid())];
    let pause = Duration::from_millis(200);
    until("both have come to rest", || {
        let before = both();
        std::thread::sleep(pause);
        before == both()
    });
    let before = both();
    assert!(before.iter().flatten().all(|task| task.contains("voluntary")), "{before:?}");
    std::thread::sleep(pause * 10); // the time measured: nothing may happen in it
    assert_eq!(before, both());
}

/// What the allocator has of the kernel: the heap and the data segment.
fn memory(pid: i64) -> String {
    let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("its memory");
    let data = read("status").lines().find(|line| line.starts_with("VmData")).map(String::from);
    let heap = read("maps").lines().find(|line| line.ends_with("[heap]")).map(String::from);
    format!("{:?} {:?}", data.expect("VmData"), heap.unwrap_or_default().split(' ').next())
}

#[test]
fn memory_is_the_same_after_1_000_and_200_000_messages() {
    let channel = Channel::new();
    let (server, out) = Proc::spawn_reading(channel.server(&[]), Stdio::null(), Stdio::piped());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        let mut out = BufReader::new(out.expect("stdout is a pipe"));
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            line.clear();
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut client = Proc::spawn(channel.client(&[]));
    let mut stdin = client.take_stdin();
    // So many lines a write.
    let mut send_up_to = |wanted: usize, at_once: usize| {
        let line = b"sixty-four bytes of text, as a short line of some log would be.\n";
        for _ in 0..(wanted - count.load(Ordering::SeqCst)) / at_once {
            stdin.write_all(&line.repeat(at_once)).expect("writing to the client");
        }
        let start = std::time::Instant::now();
        until("all were printed", || {
            assert!(start.elapsed() < patience());
            count.load(Ordering::SeqCst) == wanted
        });
    };
    send_up_to(1_000, 1);
    let before = [memory(server.pid()), memory(client.pid())];
    send_up_to(20_000, 1);
    send_up_to(200_000, 1_000);
    assert_eq!(before, [memory(server.pid()), memory(client.pid())]);
    drop(stdin);
    client.finish().expect(0);
}
