//! What a broker will not take.

use crate::broker::Broker;
use crate::client::{Came, Client};
use crate::{bridge, until, Place};
use shmdemo::Deadline;
use std::os::unix::fs::PermissionsExt;

/// Closed at one message each time: that one is let go of, in time, and the others arrive.
#[test]
fn a_message_that_the_broker_never_takes_does_not_hold_up_the_others() {
    let Some(broker) = Broker::start("max_packet_size 500") else { return };
    let place = Place::fresh();
    let mut subscriber = Client::connect(broker.port, "subscriber").expect("the broker");
    subscriber.subscribe("out").expect("the broker");
    let refused = broker.folder().join("refused");
    let mut producer = place.producer();
    producer.send(b"before", Deadline::Now).expect("room");
    let long = [b'x'; 1000];
    producer.send(&long, Deadline::Now).expect("room");
    producer.send(b"after", Deadline::Now).expect("room");
    let mut bridge = bridge(
        &place,
        broker.port,
        &["out", "-t", "out", "--refused", refused.to_str().expect("text")],
    );
    let mut got: Vec<Vec<u8>> = Vec::new();
    until("what is behind it", || {
        if let Came::Message(_, text) = subscriber.next().expect("the broker") {
            got.push(text);
        }
        got.iter().any(|text| text == b"after")
    });
    assert_eq!(got[0], b"before");
    assert!(got.iter().all(|text| text == b"before" || text == b"after"));
    assert_eq!(std::fs::read(&refused).expect("the file"), [&long[..], b"\n"].concat());
    bridge.signal("-TERM");
    let (code, said) = bridge.finish();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1000 bytes") && said.contains("refused"), "{said}");
}

#[test]
fn a_wrong_password_is_77_and_a_right_one_gets_in() {
    let Some(broker) = Broker::start("") else { return };
    let users = broker.file("users", "");
    let mut command = std::process::Command::new("mosquitto_passwd");
    let made = command.args(["-b", users.to_str().expect("text"), "board", "secret"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return println!("skipped: no mosquitto_passwd");
    }
    let Some(broker) =
        Broker::start(&format!("allow_anonymous false\npassword_file {}", users.display()))
    else {
        return;
    };
    let login = |name: &str, text: &str| {
        let path = broker.file(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    };
    let place = Place::fresh();
    for (file, code) in
        [(login("wrong", "board\nguess\n"), Some(77)), (login("right", "board\nsecret\n"), None)]
    {
        let mut bridge = bridge(
            &place,
            broker.port,
            &["out", "-t", "x", "-v", "--login", file.to_str().expect("text")],
        );
        if code.is_none() {
            let mut producer = place.producer();
            producer.send(b"text", Deadline::Now).expect("room");
            until("it is acknowledged", || {
                producer.finish(Deadline::Now).is_ok() && {
                    let status = shmdemo::Status::read(&place.options()).expect("status");
                    status.lanes.iter().all(|lane| lane.sent == lane.received)
                }
            });
            bridge.signal("-TERM");
        }
        let (ended, said) = bridge.finish();
        assert_eq!(ended, code.or(Some(0)), "{said}");
        assert_eq!(said.contains("--login"), code.is_some(), "{said}");
    }
    // A file that others can read is not taken.
    let open = broker.file("open", "board\nsecret\n");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let mut bridge =
        bridge(&place, broker.port, &["out", "-t", "x", "--login", open.to_str().expect("text")]);
    let (code, said) = bridge.finish();
    assert!(code == Some(64) && said.contains("chmod 0600"), "{said}");
}
