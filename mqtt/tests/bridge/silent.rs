//! Brokers that are not reached, or say nothing: signals and signs of life do not wait for them.

use crate::{bridge, command, until, Place, Process};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// What the manual promises of SIGTERM.
const SOON: Duration = Duration::from_secs(2);

/// Connections to it neither come about nor fail, as to a host that is switched off: the queue of those it
/// has not accepted is full.
struct Unreached {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
    port: u16,
}

impl Unreached {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its number");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queue: Vec<_> = std::iter::from_fn(connect).collect();
        assert!(!queue.is_empty());
        Self { _listener: listener, _queue: queue, port: address.port() }
    }
}

/// Accepts, and says nothing.
struct Silent(TcpListener);

impl Silent {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("its number").port()
    }
}

/// Is a connection to that port in this state? SYN_SENT is 2, ESTABLISHED 1: proc_net_tcp, in the kernel's
/// documents.
fn is_connecting(port: u16, state: &str) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("proc(5)");
    let to = format!(":{port:04X}");
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() > 3 && words[2].ends_with(&to) && words[3] == state
    })
}

fn ends_soon(mut bridge: Process, what: &str) {
    let begin = Instant::now();
    bridge.signal("-TERM");
    let (code, said) = bridge.finish();
    assert_eq!(code, Some(0), "{what}: {said}");
    assert!(begin.elapsed() < SOON, "{what}: {:?}", begin.elapsed());
}

#[test]
fn sigterm_does_not_wait_for_a_broker_that_is_not_reached() {
    for direction in ["out", "in"] {
        let place = Place::fresh();
        let broker = Unreached::new();
        let bridge = bridge(&place, broker.port, &[direction, "-t", "any"]);
        until("it connects", || is_connecting(broker.port, "02"));
        ends_soon(bridge, direction);
    }
}

#[test]
fn sigterm_does_not_wait_for_a_broker_that_says_nothing() {
    for direction in ["out", "in"] {
        let place = Place::fresh();
        let broker = Silent::new();
        let bridge = bridge(&place, broker.port(), &[direction, "-t", "any"]);
        until("it is connected", || is_connecting(broker.port(), "01"));
        ends_soon(bridge, direction);
    }
}

/// The manager asks for a sign each 0.4 s; 2 s without one are a failure here, and so much passes in one
/// attempt to connect, or in one wait for the answer.
fn gives_signs_of_life(port: u16, direction: &str) {
    let place = Place::fresh();
    let name = format!("shmdemo-mqtt-{}-{direction}-{port}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a time");
    let mut command = command(&place, port, &[direction, "-t", "any"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let bridge = Process(command.spawn().expect("the bridge"));
    let begin = Instant::now();
    let mut signs = 0;
    while begin.elapsed() < Duration::from_secs(4) {
        let mut word = [0; 256];
        let length = socket.recv(&mut word).expect("a sign of life");
        signs += usize::from(&word[..length] == b"WATCHDOG=1");
    }
    assert!(signs >= 8, "{direction}: {signs}");
    ends_soon(bridge, direction);
    std::fs::remove_file(&path).expect("the socket");
}

#[test]
fn signs_of_life_go_on_while_the_broker_is_silent() {
    let unreached = Unreached::new();
    let silent = Silent::new();
    std::thread::scope(|threads| {
        for port in [unreached.port, silent.port()] {
            for direction in ["out", "in"] {
                threads.spawn(move || gives_signs_of_life(port, direction));
            }
        }
    });
}
