//! The example as a process of its own, killed now and then.

use shmdemo::{Channel, Deadline, Key, Options, Waited};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const COUNT: u32 = 500_000;

fn start(from: i32, to: i32) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmdemo-tokio"));
    command.args([from.to_string(), to.to_string()]).stderr(Stdio::null());
    command.spawn().expect("the example")
}

fn options(key: i32) -> Options {
    Options::new(Key::new(key).expect("not 0"))
}

#[test]
fn every_message_goes_through_though_it_is_killed() {
    let from = 0x7400_0000 + (std::process::id() & 0xffff) as i32 * 2;
    let to = from + 1;
    let open = |key| Channel::open(&options(key), Deadline::Never).expect("a channel");
    let mut reader = open(to).into_consumer().expect("the server role");
    let mut writer = open(from).into_producer(Deadline::Now).expect("a lane");
    let sender = std::thread::spawn(move || {
        for number in 0..COUNT {
            writer.send(&number.to_ne_bytes(), Deadline::Never).expect("room, in the end");
        }
        writer.finish(Deadline::Never).map(drop).expect("a channel");
    });
    let mut child = start(from, to);
    let (mut next, mut again, mut kills) = (0, 0, 0);
    let begin = Instant::now();
    let mut killed = Instant::now();
    while next < COUNT {
        assert!(begin.elapsed() < Duration::from_secs(120), "{next} of {COUNT}");
        if killed.elapsed() > Duration::from_millis(20) && kills < 10 {
            child.kill().expect("running");
            child.wait().expect("a child");
            child = start(from, to);
            (killed, kills) = (Instant::now(), kills + 1);
        }
        let waited = reader.wait(Deadline::after(Duration::from_millis(20)));
        if waited.expect("a channel") != Waited::Ready {
            continue;
        }
        while let Some(record) = reader.next_record().expect("sound rings") {
            let mut bytes = [0; 4];
            record.copy_to(&mut bytes);
            let number = u32::from_ne_bytes(bytes);
            assert!(number <= next, "{number} came after {next}");
            match number == next {
                true => next += 1,
                // It was passed on, and the process killed before it had released it.
                false => again += 1,
            }
        }
        reader.release();
    }
    sender.join().expect("the sender");
    assert!(kills > 0 && again <= kills, "{again} again after {kills} kills");
    // Asked to end, it does.
    terminate(child.id());
    assert!(child.wait().expect("a child").success());
    for key in [from, to] {
        shmdemo::remove(&options(key), true).expect("removed");
    }
}

fn terminate(pid: u32) {
    let status = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    assert!(status.expect("kill").success());
}
