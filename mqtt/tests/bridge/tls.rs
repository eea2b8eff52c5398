//! To a broker outside that wants TLS: by a broker on the board, with the settings that the document has.

use crate::broker::Broker;
use crate::client::Client;
use crate::{bridge, until, Place, Process};
use shmdemo::{Deadline, Waited};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../../doc/off-the-board.md");

/// The document's settings, for a broker at that port of this machine.
fn settings(port: u16, authority: &str) -> String {
    let block = DOCUMENT.split("```conf\n").nth(1).expect("a block of settings");
    let block = block.split("```").next().expect("its end");
    let set = |block: String, from: &str, to: &str| {
        assert!(block.contains(from), "{from} in {block}");
        block.replace(from, to)
    };
    let block = set(block.into(), "BROKER:8883", &format!("127.0.0.1:{port}"));
    let block = set(block, "/etc/ssl/certs/ca-certificates.crt", authority);
    // It tries again after 5 to 30 s.
    block + "restart_timeout 1\n"
}

/// An authority and a broker's certificate, in a folder that goes with the value.
struct Certificates(PathBuf);

impl Certificates {
    fn fresh() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("shmdemo-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let fresh = Self(folder);
        let script = "set -e; cd \"$1\"; key='-newkey rsa:2048 -nodes -days 2'; \
            openssl req -x509 $key -keyout ca.key -out ca.crt -subj /CN=authority; \
            openssl req $key -keyout broker.key -out broker.csr -subj /CN=localhost; \
            echo subjectAltName=IP:127.0.0.1 >names; openssl x509 -req -in broker.csr \
            -CA ca.crt -CAkey ca.key -CAcreateserial -out broker.crt -extfile names -days 2";
        let made =
            Command::new("sh").args(["-c", script, "sh"]).arg(&fresh.0).output().expect("sh");
        if !made.status.success() {
            println!("skipped: no openssl: {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        Some(fresh)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// mosquitto's own client of the broker outside.
fn client(program: &str, broker: &Broker, authority: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &broker.port.to_string(),
        "--cafile",
        authority,
        "-q",
        "1",
    ]);
    command.args(args);
    command
}

#[test]
fn by_a_broker_on_the_board_nothing_is_lost_while_the_one_outside_is_away() {
    let Some(certificates) = Certificates::fresh() else { return };
    let authority = certificates.file("ca.crt");
    let keys = ["certfile", "broker.crt", "keyfile", "broker.key"];
    let [certfile, certificate, keyfile, key] = keys;
    let tls = format!(
        "cafile {authority}\n{certfile} {}\n{keyfile} {}",
        certificates.file(certificate),
        certificates.file(key)
    );
    let Some(mut outside) = Broker::start(&tls) else { return };
    let board = Broker::start(&settings(outside.port, &authority)).expect("mosquitto, as before");

    // What is retained comes once its reader has subscribed.
    let begin = ["-t", "out/begin", "-m", "begin", "-r"];
    let told = client("mosquitto_pub", &outside, &authority, &begin).status();
    assert!(told.expect("mosquitto_pub").success());
    let mut reader =
        client("mosquitto_sub", &outside, &authority, &["-t", "out/#", "-i", "reader", "-c"]);
    let mut reader = Process(reader.stdout(Stdio::piped()).spawn().expect("mosquitto_sub"));
    let out = BufReader::new(reader.0.stdout.take().expect("a pipe"));
    let (put, lines) = mpsc::channel();
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).try_for_each(|line| put.send(line))
    });
    let line = || lines.recv_timeout(Duration::from_secs(120));
    assert_eq!(line().expect("the begin"), "begin");

    let place = Place::fresh();
    let _out = bridge(&place, board.port, &["out", "-t", "out/pump", "-q"]);
    let mut producer = place.producer();
    let mut send = |numbers: Range<u32>| {
        for number in numbers {
            producer
                .send(number.to_string().as_bytes(), Deadline::Never)
                .expect("room, in the end");
        }
    };
    // Some come twice, `begin` too; and in another order, where a broker connects anew.
    let take = |numbers: Range<u32>| {
        let mut missing: BTreeSet<u32> = numbers.collect();
        while !missing.is_empty() {
            let Ok(line) = line() else { panic!("missing: {missing:?}") };
            if let Ok(number) = line.parse() {
                missing.remove(&number);
            }
        }
    };
    send(0..1000);
    take(0..1000);
    outside.stop();
    send(1000..3000);
    outside.restart();
    take(1000..3000);

    // And in: the broker outside keeps it for the one on the board.
    let place = Place::fresh();
    let mut consumer = place.consumer();
    let _in = bridge(&place, board.port, &["in", "-t", "in/#", "-q"]);
    // Nothing is kept for it before it has subscribed.
    let mut first = Client::connect(board.port, "probe").expect("the broker");
    until("the bridge has subscribed", || {
        first.publish("in/pump", b"0", 1).expect("the broker");
        consumer.next_record().expect("a record").is_some()
    });
    let mut writer = client("mosquitto_pub", &outside, &authority, &["-t", "in/pump", "-l"]);
    let mut writer = Process(writer.stdin(Stdio::piped()).spawn().expect("mosquitto_pub"));
    let text = (0..1000).map(|number| number.to_string() + "\n").collect::<String>();
    writer.0.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("all of it");
    let mut next = 1;
    while next < 1000 {
        let deadline = Deadline::after(Duration::from_secs(30));
        assert!(
            !matches!(consumer.wait(deadline).expect("a wait"), Waited::TimedOut),
            "{next} is missing"
        );
        while let Some(record) = consumer.next_record().expect("a record") {
            let mut text = vec![0; record.len()];
            record.copy_to(&mut text);
            let number: u32 = String::from_utf8(text).expect("text").parse().expect("a number");
            assert!(number <= next, "{number} came, {next} is missing");
            next += u32::from(number == next);
        }
        consumer.release();
    }
}
