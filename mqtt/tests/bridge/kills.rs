//! SIGKILL of bridge, broker and server at random: nothing is lost, and what comes twice is counted.

use crate::broker::Broker;
use crate::client::{Came, Client, Numbers};
use crate::{bridge, setting, Place, Process, Random};
use shmdemo::Deadline;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Numbers that came, and whether any is missing.
#[derive(Default)]
struct Got {
    next: u32,
    again: u32,
}

impl Got {
    fn take(&mut self, payload: &[u8]) {
        let number: u32 = std::str::from_utf8(payload).expect("text").parse().expect("a number");
        assert!(number <= self.next, "{number} came, {} is missing", self.next);
        match number == self.next {
            true => self.next += 1,
            false => self.again += 1,
        }
    }
}

/// Out of the board. The broker is killed, too; its own part, to tell the next one what it has acknowledged,
/// is left out: while it is away the bridge stands still, and goes on when the subscriber is there again.
#[test]
fn out_loses_nothing_whoever_is_killed() {
    let Some(mut broker) = Broker::start("") else { return };
    let place = Place::fresh();
    let (count, kills) =
        (setting("SHMDEMO_MQTT_MESSAGES", 30_000), setting("SHMDEMO_MQTT_KILLS", 20));
    let (port, there, over) = (broker.port, AtomicU32::new(0), AtomicBool::new(false));
    let (mut bridges, mut brokers) = (0, 0);
    let got = std::thread::scope(|scope| {
        let (there, over) = (&there, &over);
        let subscriber = scope.spawn(move || {
            let mut got = Got::default();
            while got.next < count {
                let Ok(mut client) = Client::connect(port, "subscriber") else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                if client.subscribe("out").is_err() {
                    continue;
                }
                let mut told = false;
                while let Ok(came) = client.next() {
                    if !told {
                        told = true;
                        there.fetch_add(1, SeqCst);
                    }
                    if let Came::Message(_, payload) = came {
                        got.take(&payload);
                    }
                    if got.next == count {
                        break;
                    }
                }
            }
            over.store(true, SeqCst);
            got
        });
        crate::until("the subscriber is there", || there.load(SeqCst) > 0);
        let mut producer = place.producer();
        scope.spawn(move || {
            for number in 0..count {
                producer
                    .send(number.to_string().as_bytes(), Deadline::Never)
                    .expect("room, in the end");
            }
        });
        let start = || bridge(&place, port, &["out", "-t", "out", "-q"]);
        let mut running = start();
        let mut random = Random(std::process::id().into());
        let begin = Instant::now();
        while !over.load(SeqCst) {
            assert!(
                begin.elapsed() < Duration::from_secs(60 + u64::from(count) / 200),
                "{count} messages"
            );
            std::thread::sleep(Duration::from_millis(5 + random.below(60)));
            if bridges + brokers >= kills || over.load(SeqCst) {
                continue;
            }
            if random.below(4) == 0 {
                brokers += 1;
                running.signal("-STOP");
                broker.kill();
                let before = there.load(SeqCst);
                broker.restart();
                crate::until("the subscriber is back", || {
                    there.load(SeqCst) > before || over.load(SeqCst)
                });
                running.signal("-CONT");
            } else {
                bridges += 1;
                running.kill();
                running = start();
            }
        }
        subscriber.join().expect("the subscriber")
    });
    println!(
        "out: {count} messages, {bridges} kills of the bridge, {brokers} of the broker: 0 lost, {} again",
        got.again
    );
    assert_eq!(got.next, count);
}

/// Where shmdemo-server is.
fn server(place: &Place) -> Option<Command> {
    let folder = std::env::var_os("SHMDEMO_BIN_DIR").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/debug");
    let program = folder.unwrap_or(beside).join("shmdemo-server");
    if !program.exists() {
        println!("skipped: no shmdemo-server, see SHMDEMO_BIN_DIR");
        return None;
    }
    let mut command = Command::new(program);
    command.args(["--persist", "-q", "-k", &place.key.to_string()]);
    Some(command)
}

/// How far the sender may be ahead of the reader.
const LEAD: u32 = 2000;

/// Into the board: killed are the bridge, the server and the broker. What the broker has acknowledged to the
/// sender it saves some time after, so the sender pauses and the broker is told to save before it is killed;
/// what it keeps for the bridge is many messages then.
#[test]
fn in_loses_nothing_whoever_is_killed() {
    let Some(mut broker) = Broker::start("autosave_interval 0") else { return };
    let place = Place::fresh();
    if server(&place).is_none() {
        return;
    }
    let (count, kills) =
        (setting("SHMDEMO_MQTT_MESSAGES", 30_000), setting("SHMDEMO_MQTT_KILLS", 20));
    let (port, over, reached) = (broker.port, AtomicBool::new(false), AtomicU32::new(0));
    // The sender is to pause, and does.
    let (pause, pauses) = (AtomicBool::new(false), AtomicBool::new(false));
    let start_bridge = || bridge(&place, port, &["in", "-t", "in", "-q"]);
    let (mut bridges, mut servers, mut brokers) = (0, 0, 0);
    let got = std::thread::scope(|scope| {
        let (over, reached, pause, pauses) = (&over, &reached, &pause, &pauses);
        // One pipe for all servers, one after another, as an init system has it.
        let (read_end, write_end) = nix::unistd::pipe().expect("a pipe");
        let reader = scope.spawn(move || {
            let mut got = Got::default();
            for line in BufReader::new(std::fs::File::from(read_end)).split(b'\n') {
                let line = line.expect("a line");
                // One that a kill has torn is ended by the next server, and comes again.
                let whole =
                    std::str::from_utf8(&line).ok().and_then(|text| text.parse::<u32>().ok());
                if whole.is_some_and(|number| number <= got.next) {
                    got.take(&line);
                } else if !line.is_empty() {
                    panic!("{} came, {} is missing", String::from_utf8_lossy(&line), got.next);
                }
                reached.store(got.next, SeqCst);
                if got.next == count {
                    break;
                }
            }
            over.store(true, SeqCst);
            got
        });
        let start_server = || {
            let out = write_end.try_clone().expect("the pipe");
            let mut command = server(&place).expect("looked at before");
            Process(command.stdout(Stdio::from(out)).spawn().expect("the server"))
        };
        let (mut running, mut serving) = (start_bridge(), start_server());
        // Its session begins with the first subscription: nothing is kept for it before.
        let mut first = Client::connect(port, "probe").expect("the broker");
        crate::until("the bridge has subscribed", || {
            let _ = first.publish("in", b"0", 1);
            let status = shmdemo::Status::read(&place.options());
            status.is_ok_and(|status| status.lanes.iter().any(|lane| lane.received > 0))
        });
        let stop = over;
        let sender = scope.spawn(move || {
            let mut numbers = Numbers::new(port, "in");
            let mut end = 0;
            loop {
                let all = numbers.turn(end);
                if all && end == count {
                    break;
                }
                assert!(!stop.load(SeqCst) || numbers.next >= count);
                if pause.load(SeqCst) {
                    pauses.store(all, SeqCst);
                    std::thread::sleep(Duration::from_millis(u64::from(all)));
                } else {
                    pauses.store(false, SeqCst);
                    end = count.min(reached.load(SeqCst) + LEAD);
                }
            }
            pauses.store(true, SeqCst);
        });
        let mut random = Random(std::process::id().into());
        let begin = Instant::now();
        while !over.load(SeqCst) {
            assert!(
                begin.elapsed() < Duration::from_secs(60 + u64::from(count) / 200),
                "{count} messages"
            );
            std::thread::sleep(Duration::from_millis(5 + random.below(60)));
            if bridges + servers + brokers >= kills || over.load(SeqCst) {
                continue;
            }
            match random.below(8) {
                0 => {
                    brokers += 1;
                    pause.store(true, SeqCst);
                    // What waits for the bridge is to stay with the broker.
                    running.signal("-STOP");
                    crate::until("the sender pauses", || pauses.load(SeqCst));
                    broker.save();
                    broker.kill();
                    broker.restart();
                    running.signal("-CONT");
                    pause.store(false, SeqCst);
                }
                1..=4 => {
                    bridges += 1;
                    running.kill();
                    running = start_bridge();
                }
                _ => {
                    servers += 1;
                    serving.kill();
                    serving = start_server();
                }
            }
        }
        sender.join().expect("the sender");
        drop(serving);
        reader.join().expect("the reader")
    });
    println!(
        "in: {count} messages, {bridges} kills of the bridge, {servers} of the server, {brokers} of \
         the broker: 0 lost, {} again",
        got.again
    );
    assert_eq!(got.next, count);
}
