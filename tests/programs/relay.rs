//! `shmdemo-server relay`: each message goes to every target, in order, whoever is killed.

use crate::support::{no_relay, numbered, raw, run, until, Channel, Output, Proc, Random};
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::Duration;

fn relay(from: &str, to: &[&str], args: &[&str]) -> Command {
    let mut command = crate::support::server();
    command.args(["relay", "--from", from]);
    for place in to {
        // What stands behind a place belongs to it.
        let mut words = place.split(' ');
        command.args(["--to", words.next().unwrap()]).args(words);
    }
    command.args(args);
    command
}

fn key(channel: &Channel) -> String {
    channel.key.to_string()
}

fn demo(channel: &Channel) -> String {
    format!("{}:shared_use_st", channel.key)
}

const DEMO: [&str; 2] = ["--protocol", "shared_use_st"];

fn stopped(mut program: Proc) -> Output {
    program.signal(Signal::SIGTERM);
    program.finish_with_stdin()
}

fn relaying(from: &str, to: &[&str], args: &[&str]) -> Proc {
    let relay = Proc::spawn(relay(from, to, &[&["-v"], args].concat()));
    relay.wait_stderr("it has all its places", |err| err.contains("relaying from key"));
    relay
}

#[test]
fn every_message_goes_to_every_target_in_order_and_the_end_word_ends_all() {
    if no_relay() {
        return;
    }
    let (from, one, two) = (Channel::new(), Channel::new(), Channel::new());
    let servers = [one.running(&[]), two.running(&[])];
    let mut relay = relaying(&key(&from), &[&key(&one), &key(&two)], &[]);
    // The longest that there is, too.
    let lines = [numbered(5000), vec![b'x'; 2048], b"\n".to_vec()].concat();
    run(from.client(&[]), &[&lines[..], b"\n", b"last\nend\n"].concat()).expect(0);
    let said = relay.finish_with_stdin().expect(0).stderr.clone();
    assert!(!said.contains("dropped"), "nothing was: {said}");
    for server in servers {
        let out = server.finish();
        out.expect(0);
        assert!(out.stdout == [&lines[..], b"\n", b"last\n"].concat(), "{}", out.stderr);
    }
    for channel in [from, one, two] {
        channel.assert_gone();
    }
}

#[test]
fn programs_of_the_c_demo_at_either_end() {
    if no_relay() {
        return;
    }
    for (demo_first, demo_last) in [(true, false), (false, true), (true, true)] {
        let (from, to) = (Channel::new(), Channel::new());
        let protocol = |demo: bool| if demo { &DEMO[..] } else { &[] };
        let server = Proc::spawn(to.server(protocol(demo_last)));
        let place = |channel: &Channel, is_demo| if is_demo { demo(channel) } else { key(channel) };
        until("the server has made it", || crate::support::shm_row(to.key).is_some());
        let mut relay = relaying(&place(&from, demo_first), &[&place(&to, demo_last)], &[]);
        run(from.client(protocol(demo_first)), b"one\n\nthree\nend\n").expect(0);
        relay.finish_with_stdin().expect(0);
        let out = server.finish();
        out.expect(0);
        assert_eq!(out.text(), "one\n\nthree\n", "{demo_first} {demo_last}");
    }
}

/// C programs with a semaphore at either end, and another end word: tests/programs/peers.rs has the kinds.
#[test]
fn the_semaphore_of_c_programs_is_used_at_the_end_that_has_it() {
    if no_relay() {
        return;
    }
    for (first, last) in [(true, false), (false, true), (true, true)] {
        let (from, to) = (Channel::new(), Channel::new());
        let make = |channel: &Channel| {
            let id = raw::sem_create(channel.key, 1, 0o666);
            raw::sem_set(id, 0, 1);
            id
        };
        let args =
            |has: bool| [&DEMO[..], if has { &["--foreign-semaphore"] } else { &[] }].concat();
        let sets: Vec<i32> = [(first, &from), (last, &to)]
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, channel)| make(channel))
            .collect();
        let server = Proc::spawn(to.server(&[&args(last)[..], &["--end-word", "quit"]].concat()));
        until("the server has made it", || crate::support::shm_row(to.key).is_some());
        let mut command = crate::support::server();
        command.args(["relay", "-v", "--end-word", "quit", "--from", &demo(&from)]);
        command.args(first.then_some("--foreign-semaphore")).args(["--to", &demo(&to)]);
        command.args(last.then_some("--foreign-semaphore"));
        let mut relay = Proc::spawn(command);
        relay.wait_stderr("it has all its places", |err| err.contains("relaying from key"));
        let mut client = from.client(&args(first));
        client.args(["--end-word", "quit"]);
        run(client, b"one\nend\nquit\n").expect(0);
        relay.finish_with_stdin().expect(0);
        assert_eq!(server.finish().expect(0).text(), "one\nend\n");
        for set in sets {
            assert_eq!(raw::sem_get(set, 0), 1);
        }
    }
    let mut misplaced = crate::support::server();
    misplaced.args(["relay", "--from", "7", "--foreign-semaphore", "--to", "8:shared_use_st"]);
    run(misplaced, b"").fails(64, &["--foreign-semaphore", ":shared_use_st"]);
}

/// What begins with the end word would end the C program.
#[test]
fn a_message_that_would_end_the_c_program_stays_or_is_left_out() {
    if no_relay() {
        return;
    }
    let (from, to) = (Channel::new(), Channel::new());
    let server = Proc::spawn(to.server(&DEMO));
    until("the server has made it", || crate::support::shm_row(to.key).is_some());
    run(from.client(&["--end-word", ""]), b"one\nendless\nend\ntwo\n").expect(0);
    let once = |args: &[&str]| run(relay(&key(&from), &[&demo(&to)], args), b"");
    once(&[]).fails(65, &["'end'", "--end-whole", "--skip-too-long", "still in the segment"]);
    server.wait_stdout("what is before it", |out| out == b"one\n");
    once(&["--end-whole"]).fails(65, &["'end'", "still in the segment"]);
    server.wait_stdout("what only begins with it", |out| out == b"one\nendless\n");
    let skipping = relaying(&key(&from), &[&demo(&to)], &["--skip-too-long"]);
    server.wait_stdout("all but that", |out| out == b"one\nendless\ntwo\n");
    stopped(skipping).expect(0);
}

#[test]
fn a_full_target_is_waited_for_or_left_out_as_is_said() {
    if no_relay() {
        return;
    }
    let (from, reads, full) = (Channel::new(), Channel::new(), Channel::new());
    let server = reads.running(&["--persist"]);
    let dropping = format!("{} --when-full drop", key(&full));
    // Nobody reads there; the first ones fit.
    let relay_ = relaying(&key(&from), &[&dropping, &key(&reads)], &[]);
    let lines = numbered(20_000);
    run(from.client(&[]), &lines).expect(0);
    server.wait_stdout("all lines", |out| out == lines);
    let status = full.status();
    let (sent, refused) = (status.numbers("sent")[0], status.numbers("refused")[0]);
    assert!(sent > 100.0 && refused > 100.0 && sent + refused == 20_000.0, "{sent} {refused}");
    let out = stopped(relay_);
    out.expect(0);
    // Told ever more rarely.
    let told = out.stderr.matches("no room, dropped").count() as u32;
    assert_eq!(told, (refused as u32).ilog2() + 1, "{}", out.stderr);
    assert!(out.stderr.contains(&format!("{refused} message(s) dropped")), "{}", out.stderr);
    // Waited for: what does not fit stays where it came from.
    let mut relay_ = relaying(&key(&from), &[&key(&full)], &["--persist"]);
    run(from.client(&[]), b"behind\n").expect(0);
    std::thread::sleep(Duration::from_millis(50));
    assert!(relay_.alive());
    let queued = || from.status().numbers("queued_bytes")[0];
    assert!(queued() > 0.0);
    let late = full.running(&["--persist"]);
    late.wait_stdout("the one that waited", |out| out.ends_with(b"behind\n"));
    until("it is let go of", || queued() == 0.0);
    for program in [relay_, late, server] {
        stopped(program).expect(0);
    }
    for channel in [from, reads, full] {
        run(channel.sub("remove", &[]), b"").expect(0);
    }
}

#[test]
fn a_signal_while_a_target_is_full_ends_it_and_nothing_is_lost() {
    if no_relay() {
        return;
    }
    let (from, full) = (Channel::new(), Channel::new());
    let relay_ = relaying(&key(&from), &[&key(&full)], &[]);
    let lines = numbered(6000);
    let mut client = Proc::spawn(from.client(&[]));
    client.feed(lines.clone());
    until("both rings are full", || {
        let queued = |channel: &Channel| channel.status().numbers("queued_bytes")[0];
        queued(&full) > 15_000.0 && queued(&from) > 15_000.0
    });
    stopped(relay_).expect(0);
    let next = relaying(&key(&from), &[&key(&full)], &[]);
    let server = full.running(&["--persist"]);
    client.finish_with_stdin().expect(0);
    server.wait_stdout("all lines", |out| out.ends_with(b"\n6000\n"));
    let out = stopped(server);
    assert!(out.stdout == lines, "twice or lost");
    stopped(next).expect(0);
    for channel in [from, full] {
        run(channel.sub("remove", &[]), b"").expect(0);
    }
}

#[test]
fn what_does_not_fit_stays_and_is_named_or_is_skipped_and_counted() {
    if no_relay() {
        return;
    }
    let (from, to) = (Channel::new(), Channel::new());
    let server = to.running(&["--max-message", "10", "--persist"]);
    run(from.client(&[]), b"short\nlonger than ten\nend it\n").expect(0);
    let out = run(relay(&key(&from), &[&key(&to)], &[]), b"");
    out.fails(65, &[&key(&to), "15 bytes", "--skip-too-long", "EMSGSIZE"]);
    server.wait_stdout("what came before it", |out| out == b"short\n");
    let skipping = relaying(&key(&from), &[&key(&to)], &["--skip-too-long"]);
    server.wait_stdout("what comes behind it", |out| out.ends_with(b"end it\n"));
    let out = stopped(skipping);
    out.expect(0);
    assert!(out.stderr.contains("1 skipped"), "{}", out.stderr);
    assert_eq!(to.status().numbers("too_long").iter().sum::<f64>(), 2.0);
    assert_eq!(stopped(server).text(), "short\nend it\n");
    for channel in [from, to] {
        run(channel.sub("remove", &[]), b"").expect(0);
    }
}

#[test]
fn one_relay_a_source_and_no_place_twice() {
    if no_relay() {
        return;
    }
    let (from, to) = (Channel::new(), Channel::new());
    let first = relaying(&key(&from), &[&key(&to)], &[]);
    run(relay(&key(&from), &[&key(&to)], &[]), b"").fails(75, &["--from", "server role"]);
    stopped(first).expect(0);
    for channel in [&from, &to] {
        run(channel.sub("remove", &[]), b"").expect(0);
    }
    let (from, to) = (key(&from), key(&to));
    run(relay(&from, &[], &[]), b"").fails(64, &["--to is missing"]);
    run(relay(&from, &[&from], &[]), b"").fails(64, &["twice"]);
    run(relay(&from, &[&to, &to], &[]), b"").fails(64, &["twice"]);
    run(relay(&from, &["5:pipe"], &[]), b"").fails(64, &["--to", "shared_use_st"]);
    run(relay(&from, &[&to], &["--lanes", "3"]), b"").fails(64, &["--lanes", "relay"]);
    run(relay(&from, &[&to], &["--when-full", "maybe"]), b"").fails(64, &["wait or drop"]);
    let said = ["-h", "--help", "-V", "--version"].map(|option| {
        let out = run(relay(&from, &[&to], &["--when-full", "wait", option]), b"");
        out.expect(0).text()
    });
    assert!(said[0].contains("--when-full") && said[0] == said[1], "{}", said[0]);
    assert!(said[2].starts_with("shmdemo-server ") && said[2] == said[3], "{}", said[2]);
}

/// `SHMDEMO_KILLS=N`: how often the relay is killed (default 20).
#[test]
fn a_relay_killed_at_any_time_loses_nothing() {
    if no_relay() {
        return;
    }
    let kills = std::env::var("SHMDEMO_KILLS").ok().map_or(20, |n| n.parse().expect("a number"));
    let (from, one, two) = (Channel::new(), Channel::new(), Channel::new());
    let servers = [one.running(&["--persist"]), two.running(&["--persist"])];
    let start = || relaying(&key(&from), &[&key(&one), &key(&two)], &[]);
    let mut relay = start();
    let last = 2000 * kills as u32;
    let mut client = Proc::spawn(from.client(&[]));
    client.feed(numbered(last));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
        relay.kill();
        relay = start();
    }
    client.finish_with_stdin().expect(0);
    let end = format!("\n{last}\n");
    for server in servers {
        server.wait_stdout("the last line", |out| out.ends_with(end.as_bytes()));
        let out = stopped(server);
        let (mut next, mut again) = (1, 0);
        for line in out.text().lines() {
            let number: u32 = line.parse().expect("a whole line");
            assert!(number <= next, "{number} came where {next} was to come: lost");
            (next, again) =
                if number == next { (next + 1, again) } else { (number + 1, again + 1) };
        }
        assert_eq!(next, last + 1);
        println!("{kills} kills, {last} messages, {again} times some came again");
    }
    stopped(relay).expect(0);
    for channel in [from, one, two] {
        run(channel.sub("remove", &[]), b"").expect(0);
    }
}

#[test]
fn what_a_removed_source_still_holds_is_passed_on() {
    if no_relay() {
        return;
    }
    let (from, to) = (Channel::new(), Channel::new());
    let server = to.running(&["--persist"]);
    let mut relay_ = relaying(&key(&from), &[&key(&to)], &[]);
    // Committed without a ring: the removal is what wakes the relay.
    let options = shmdemo::Options::new(shmdemo::Key::new(from.key).expect("a key"));
    let channel = shmdemo::Channel::open(&options, shmdemo::Deadline::Now).expect("its channel");
    let mut producer = channel.into_producer(shmdemo::Deadline::Now).expect("a lane");
    until("it sleeps", || crate::support::proc::asleep(relay_.pid()));
    for line in [b"one", b"two"] {
        let mut slot = producer.try_reserve(3).expect("a sound ring").expect("room");
        slot.write(0, line);
        slot.commit_quietly(3);
    }
    producer.channel().remove().expect("remove");
    relay_.finish_with_stdin().fails(69, &["removed"]);
    server.wait_stdout("both lines", |out| out == b"one\ntwo\n");
    stopped(server).expect(0);
    run(to.sub("remove", &[]), b"").expect(0);
}

/// A client's end word ends all, and the other clients' lines go before it.
#[test]
fn the_end_word_goes_last() {
    if no_relay() {
        return;
    }
    let (from, to) = (Channel::new(), Channel::new());
    let server = to.running(&[]);
    let mut other = Proc::spawn(from.client(&[]));
    let mut relay_ = relaying(&key(&from), &[&key(&to)], &[]);
    other.write(b"before\n");
    server.wait_stdout("the first line", |out| out == b"before\n");
    relay_.stop();
    run(from.client(&[]), b"end\n").expect(0);
    other.write(b"beside\n");
    until("it is sent", || from.status().numbers("sent").iter().sum::<f64>() == 3.0);
    relay_.signal(Signal::SIGCONT);
    relay_.finish_with_stdin().expect(0);
    assert_eq!(server.finish().expect(0).text(), "before\nbeside\n");
    other.finish().expect(0);
    for channel in [from, to] {
        channel.assert_gone();
    }
}

#[test]
fn one_full_target_keeps_nothing_from_the_others() {
    if no_relay() {
        return;
    }
    let (from, reads, full) = (Channel::new(), Channel::new(), Channel::new());
    let server = reads.running(&["--persist"]);
    let relay_ = relaying(&key(&from), &[&key(&reads), &key(&full)], &[]);
    let mut client = Proc::spawn(from.client(&[]));
    client.feed(numbered(6000));
    let queued = |channel: &Channel| channel.status().numbers("queued_bytes")[0];
    until("it is full", || queued(&full) > 16_000.0 && queued(&from) > 15_000.0);
    // What was put for the one that reads, it has: as much as the other, and the one in hand.
    let sent = |channel: &Channel| channel.status().numbers("sent")[0];
    until("all that was put is there", || {
        queued(&reads) == 0.0 && sent(&reads) - sent(&full) <= 1.0
    });
    stopped(relay_).expect(0);
    drop(client);
    stopped(server).expect(0);
    for channel in [from, reads, full] {
        run(channel.sub("remove", &["--force"]), b"").expect(0);
    }
}
