//! Both directions, nobody killed.

use crate::broker::Broker;
use crate::client::{Came, Client, Numbers};
use crate::{bridge, until, Place};
use shmdemo::{Deadline, Kind, Waited};
use std::time::Duration;

/// Messages that come within a while, by topic, until there are so many.
fn messages(client: &mut Client, count: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    until("the messages", || {
        if let Came::Message(topic, payload) = client.next().expect("the broker") {
            all.push((topic, String::from_utf8(payload).expect("text")));
        }
        all.len() >= count
    });
    all
}

fn counter(status: &str, name: &str) -> u64 {
    let at = status.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {status}"));
    let digits = status[at + name.len() + 3..].chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a number")
}

#[test]
fn out_by_lane_with_will_and_counters() {
    let Some(broker) = Broker::start("") else { return };
    let place = Place::fresh();
    let mut subscriber = Client::connect(broker.port, "subscriber").expect("the broker");
    subscriber.subscribe("board/#").expect("the broker");
    let status = broker.folder().join("status");
    let mut bridge = bridge(
        &place,
        broker.port,
        &[
            "out",
            "-t",
            "board/lane%l",
            "--will",
            "board/state",
            "--status",
            status.to_str().expect("text"),
        ],
    );
    let text = |all: Vec<(String, String)>| {
        all.into_iter().map(|(t, p)| format!("{t} {p}")).collect::<Vec<_>>()
    };
    assert_eq!(text(messages(&mut subscriber, 1)), ["board/state online"]);
    let (mut first, mut second) = (place.producer(), place.producer());
    first.send(b"one", Deadline::Now).expect("room");
    first.send(b"", Deadline::Now).expect("room");
    let slot = first.reserve(3, Deadline::Now).expect("a lane").slot().expect("room");
    slot.commit_end(3);
    assert_eq!(text(messages(&mut subscriber, 2)), ["board/lane0 one", "board/lane0 "]);
    second.send(b"two", Deadline::Now).expect("room");
    assert_eq!(text(messages(&mut subscriber, 1)), ["board/lane1 two"]);
    // All that was sent is acknowledged and released, the End record, too.
    for producer in [&mut first, &mut second] {
        assert_eq!(producer.finish(Deadline::Now).expect("a channel"), Waited::Ready);
    }
    let read = || std::fs::read_to_string(&status).unwrap_or_default();
    until("the counters", || counter(&read(), "acknowledged") == 3);
    let now = read();
    assert!(now.contains("\"connected\":true") && counter(&now, "on_the_way") == 0, "{now}");
    bridge.signal("-TERM");
    let (code, said) = bridge.finish();
    assert_eq!((code, &said[..]), (Some(0), ""));
    assert_eq!(text(messages(&mut subscriber, 1)), ["board/state offline"]);
    assert!(read().contains("\"connected\":false"), "{}", read());
    // Killed, the broker says it in its stead.
    let mut bridge =
        crate::bridge(&place, broker.port, &["out", "-t", "board/out", "--will", "board/state"]);
    assert_eq!(text(messages(&mut subscriber, 1)), ["board/state online"]);
    bridge.kill();
    assert_eq!(text(messages(&mut subscriber, 1)), ["board/state offline"]);
}

#[test]
fn in_waits_for_room_and_tells_what_is_too_long() {
    let Some(broker) = Broker::start("") else { return };
    let place = Place::fresh();
    let status = broker.folder().join("status");
    let mut consumer = place.consumer();
    let mut bridge = bridge(
        &place,
        broker.port,
        &["in", "-t", "to/+", "--keep-alive", "1", "--status", status.to_str().expect("text")],
    );
    let read = || std::fs::read_to_string(&status).unwrap_or_default();
    until("it is connected", || read().contains("\"connected\":true"));
    let mut numbers = Numbers::new(broker.port, "to/board");
    // Many times the ring, while nobody takes any: the broker keeps what has no room.
    until("all is with the broker", || numbers.turn(5000));
    let mut sender = Client::connect(broker.port, "sender").expect("the broker");
    sender.publish("to/board", &[b'x'; 2049], 1).expect("the broker");
    // And one that is longer than what is read at once.
    sender.publish("to/board", &vec![b'y'; 500_000], 3).expect("the broker");
    sender.publish("to/board", b"last", 2).expect("the broker");
    // Longer than the keep-alive: it lives on, full as it is.
    std::thread::sleep(Duration::from_millis(2500));
    let mut got = Vec::new();
    while got.last().map_or(true, |text| text != "last") {
        let waited = consumer.wait(Deadline::after(Duration::from_secs(20))).expect("a channel");
        assert_ne!(waited, Waited::TimedOut, "{} came", got.len());
        while let Some(record) = consumer.next_record().expect("sound rings") {
            assert_eq!(record.kind(), Kind::Data);
            let mut text = vec![0; record.len()];
            record.copy_to(&mut text);
            got.push(String::from_utf8(text).expect("text"));
        }
        consumer.release();
    }
    let wanted: Vec<String> = (0..5000).map(|n| n.to_string()).chain(["last".into()]).collect();
    assert_eq!(got, wanted);
    // Both at once: the bridge writes them down while it goes on.
    until("the counters", || {
        let now = read();
        (counter(&now, "too_long"), counter(&now, "passed")) == (2, 5001)
    });
    assert_eq!(counter(&read(), "connections"), 1);
    bridge.signal("-TERM");
    let (code, said) = bridge.finish();
    assert_eq!(code, Some(0));
    assert!(said.contains("2049 bytes") && said.contains("5000"), "{said}");
}

#[test]
fn a_broker_that_comes_later_and_comes_back() {
    let Some(mut broker) = Broker::start("") else { return };
    let (place, back) = (Place::fresh(), Place::fresh());
    broker.stop();
    let mut producer = place.producer();
    producer.send(b"early", Deadline::Now).expect("room");
    let mut out = bridge(&place, broker.port, &["out", "-t", "loop"]);
    let mut inward = bridge(&back, broker.port, &["in", "-t", "loop"]);
    let mut consumer = back.consumer();
    let mut wait_for = |wanted: &str| {
        until(wanted, || {
            let _ = consumer.wait(Deadline::after(Duration::from_millis(50))).expect("a channel");
            let mut found = false;
            while let Some(record) = consumer.next_record().expect("sound rings") {
                let mut text = vec![0; record.len()];
                record.copy_to(&mut text);
                found |= text == wanted.as_bytes();
            }
            consumer.release();
            found
        });
    };
    std::thread::sleep(Duration::from_millis(300));
    // Without a word of anybody's session: it subscribes again.
    out.signal("-STOP");
    broker.restart();
    std::thread::sleep(Duration::from_millis(1500));
    out.signal("-CONT");
    wait_for("early");
    for _ in 0..3 {
        out.signal("-STOP");
        broker.stop();
        let _ = std::fs::remove_file(broker.folder().join("mosquitto.db"));
        broker.restart();
        std::thread::sleep(Duration::from_millis(1500));
        out.signal("-CONT");
        producer.send(b"again", Deadline::Now).expect("room");
        wait_for("again");
    }
    for bridge in [&mut out, &mut inward] {
        bridge.signal("-TERM");
        let (code, said) = bridge.finish();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("trying again"), "{said}");
    }
}
