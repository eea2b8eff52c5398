//! The two programs, killed at random while they work.

use crate::support::{until, Channel};
use crate::torture::{chance, counted, deadline, lanes, objects, on_stage, run, say, Program};
use crate::{filler, rounds};
use std::collections::HashMap;
use std::time::Duration;

/// What came out of the servers, one after the other: every client's lines, told by its name.
#[derive(Default)]
struct Ledger {
    /// The next line of each client.
    next: HashMap<String, u32>,
    lines: u32,
    doubles: u32,
}

impl Ledger {
    /// All that one server printed. It may begin with lines that its predecessors printed and
    /// did not release: at most so many.
    fn take(&mut self, out: &[u8], most_doubles: u32) {
        let mut here: HashMap<&str, u32> = HashMap::new();
        let text = std::str::from_utf8(out).expect("text");
        // What follows the last newline of a killed server is no line.
        let (text, _) = text.rsplit_once('\n').unwrap_or_default();
        let mut doubles = 0;
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(name), Some(number), Some(rest)) = (words.next(), words.next(), words.next())
            else {
                panic!("torn: {line:?}");
            };
            let number: u32 = number.parse().unwrap_or_else(|_| panic!("torn: {line:?}"));
            assert_eq!(rest, filler(number), "torn: {line:?}");
            let next = self.next.entry(name.to_string()).or_default();
            match here.insert(name, number) {
                None => assert!(number <= *next, "lost: {name} {next} to {}", number - 1),
                Some(last) => assert_eq!(number, last + 1, "order of {name}"),
            }
            if number < *next {
                doubles += 1;
            } else {
                self.lines += 1;
                *next = number + 1;
            }
        }
        assert!(doubles <= most_doubles, "{doubles} printed again, {most_doubles} not released");
        self.doubles += doubles;
    }
}

#[test]
fn random_kills_of_both_programs_lose_nothing() {
    on_stage(|| {
        const LINES: u32 = 2000;
        let mut random = chance();
        let channel = Channel::new();
        let server = || {
            let size = ["--persist", "--lanes", "3", "--size", "4K", "--max-message", "400"];
            Program::start(channel.server(&size), b"")
        };
        let mut clients_started = 0;
        let mut client = || {
            clients_started += 1;
            let line = |number| format!("c{clients_started} {number} {}\n", filler(number));
            Program::start(channel.client(&[]), (0..LINES).map(line).collect::<String>().as_bytes())
        };
        deadline();
        let mut now = [server(), client(), client()];
        until("the channel is there", || objects(channel.key) == (1, 1));
        let mut ledger = Ledger::default();
        let mut kills = [0, 0, 0];
        let mut unreleased = 0;
        let received = || -> u32 {
            let status = run(channel.sub("status", &["--json"]), b"", 0);
            let lanes = lanes(&status);
            lanes.iter().for_each(|lane| assert!(lane.received <= lane.sent, "{lane:?}"));
            lanes.iter().map(|lane| lane.received).sum()
        };
        let count = rounds(10_000, 2000, 40);
        for _ in 0..count {
            deadline();
            std::thread::sleep(Duration::from_micros(random.below(4000) as u64));
            let who = random.below(3);
            kills[who] += 1;
            let successor = if who == 0 {
                now[0].child.kill();
                ledger.take(&now[0].stdout(), unreleased);
                unreleased = ledger.lines.checked_sub(received()).expect("all of it printed");
                server()
            } else {
                now[who].child.send_kill();
                client()
            };
            // Only now is it reaped.
            drop(std::mem::replace(&mut now[who], successor));
            assert_eq!(objects(channel.key), (1, 1), "segments and semaphore sets");
        }
        // All dead; what is left goes to a last server.
        let [last, one, other] = now;
        [&one, &other].iter().for_each(|client| client.child.kill());
        last.child.kill();
        ledger.take(&last.stdout(), unreleased);
        let found = lanes(&run(channel.sub("status", &["--json"]), b"", 0));
        assert!(found.iter().all(|lane| lane.pid.is_none()), "{found:?}");
        let sent: u32 = found.iter().map(|lane| lane.sent).sum();
        unreleased = ledger.lines - found.iter().map(|lane| lane.received).sum::<u32>();
        let server = Program::start(channel.server(&[]), b"");
        run(channel.client(&["--timeout", "30"]), b"end\n", 0);
        ledger.take(&server.expect(0), unreleased);
        assert_eq!(ledger.lines, sent, "lines printed, messages sent by the counters");
        assert_eq!(objects(channel.key), (0, 0), "segments and semaphore sets");
        say(&format!(
            "{count} rounds: killed {} servers and {} clients; {sent} messages sent, every one \
             printed, {} of them again after a kill; 1 segment and 1 semaphore set throughout, {}",
            kills[0],
            kills[1] + kills[2],
            ledger.doubles,
            counted()
        ));
    });
}
