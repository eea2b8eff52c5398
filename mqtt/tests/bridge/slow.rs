//! A slow line between the bridge and a real broker.

use crate::broker::Broker;
use crate::client::Client;
use crate::{bridge, until, Place, Process};
use shmdemo::{Channel, Deadline, Geometry, Waited};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Bytes that come through at once, and how often.
const PIECE: usize = 1 << 10;
const EVERY: Duration = Duration::from_millis(60);

/// Passes connections on to a broker, and what that says slowly. The port to connect to.
fn slow_line(broker: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(("127.0.0.1", broker))) else {
                continue;
            };
            let pass = |mut from: TcpStream, mut to: TcpStream, pause: Duration| {
                std::thread::spawn(move || {
                    let mut piece = [0; PIECE];
                    while let Ok(length @ 1..) = from.read(&mut piece) {
                        if to.write_all(&piece[..length]).is_err() {
                            break;
                        }
                        std::thread::sleep(pause);
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            };
            let (again, back) = (near.try_clone().expect("dup"), far.try_clone().expect("dup"));
            pass(near, far, Duration::ZERO);
            pass(back, again, EVERY);
        }
    });
    port
}

/// A message that takes longer than the keep-alive: the broker's answers to pings are behind it.
#[test]
fn a_long_message_over_a_slow_line_is_no_silence() {
    let Some(broker) = Broker::start("") else { return };
    let place = Place::fresh();
    let longest = 64 * PIECE; // 4 s
    let geometry = Geometry { lanes: 2, ring_bytes: 256 << 10, max_message: longest as u32 };
    let options = place.options().geometry(geometry);
    let channel = Channel::open(&options, Deadline::Never).expect("a channel");
    let mut consumer = channel.into_consumer().expect("the server role");
    let status = broker.folder().join("status");
    let args = ["in", "-t", "to/+", "--keep-alive", "1", "--status"];
    let args = [&args[..], &[status.to_str().expect("text")]].concat();
    let _bridge: Process = bridge(&place, slow_line(broker.port), &args);
    let read = || std::fs::read_to_string(&status).unwrap_or_default();
    until("it is connected", || read().contains("\"connected\":true"));
    let mut sender = Client::connect(broker.port, "sender").expect("the broker");
    let begin = Instant::now();
    sender.publish("to/board", &vec![b'x'; longest], 1).expect("the broker");
    let mut came = None;
    while came.is_none() {
        let waited = consumer.wait(Deadline::after(Duration::from_secs(30))).expect("a channel");
        assert_ne!(waited, Waited::TimedOut, "{}", read());
        came = consumer.next_record().expect("sound rings").map(|record| record.len());
    }
    assert_eq!(came, Some(longest));
    assert!(begin.elapsed() > Duration::from_secs(3), "not slow: {:?}", begin.elapsed());
    assert!(read().contains("\"connections\":1,"), "{}", read());
}
