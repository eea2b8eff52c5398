//! The examples of the library, run.

use crate::support::{find_program, run, skipped, Channel, Proc};
use std::process::Command;

/// An example: where cargo puts them, else like the two programs.
fn example(name: &str, channel: &Channel, args: &[&str]) -> Option<Command> {
    let test = std::env::current_exe().expect("path of this test");
    let beside = test.ancestors().nth(2).map(|profile| profile.join("examples").join(name));
    let found = beside.filter(|file| file.is_file()).or_else(|| find_program(name));
    let Some(found) = found else {
        skipped(&format!("the example {name} is not here"));
        return None;
    };
    let mut command = Command::new(found);
    command.arg(channel.key.to_string()).args(args);
    Some(command)
}

#[test]
fn producer_and_consumer() {
    let channel = Channel::new();
    let Some(producer) = example("producer", &channel, &["hello", "", "board"]) else { return };
    let Some(consumer) = example("consumer", &channel, &[]) else { return };
    run(producer, b"").expect(0);
    let consumer = Proc::spawn(consumer);
    channel.await_holder(&consumer);
    run(channel.client(&[]), b"from the client\nend\n").expect(0);
    let text = consumer.finish().expect(0).text();
    assert_eq!(text, "lane 0: hello\nlane 0: \nlane 0: board\nlane 0: from the client\n");
    channel.assert_gone();
}

#[test]
fn zero_copy() {
    let channel = Channel::new();
    let Some(zero_copy) = example("zero_copy", &channel, &["10001"]) else { return };
    assert_eq!(run(zero_copy, b"").expect(0).text(), "10001 messages, 10241024 bytes\n");
    channel.assert_gone();
}

#[test]
fn timeouts() {
    let channel = Channel::new();
    let Some(timeouts) = example("timeouts", &channel, &[]) else { return };
    let text = run(timeouts, b"").expect(0).text();
    assert_eq!(
        text,
        "no channel in 50 ms\nno free lane\nlane 0 is full after 2 messages\ntold to stop waiting\n"
    );
    channel.assert_gone();
}

#[test]
fn without_arguments_they_say_how_they_are_called() {
    for name in ["producer", "consumer", "zero_copy", "timeouts"] {
        let channel = Channel::new();
        let Some(with_key) = example(name, &channel, &[]) else { return };
        run(Command::new(with_key.get_program()), b"").fails(64, &["usage:", name]);
    }
}
