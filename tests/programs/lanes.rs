//! Several lanes at once: each has its turn, each of its messages comes out once, whatever cuts the
//! server short.

use crate::support::{in_thread, raw, skipped, until, Channel, Folder, Proc};
use nix::sys::signal::Signal::SIGTERM;
use std::fs::File;
use std::process::Stdio;

/// A channel with rings of 64 KiB, and nobody at work on it.
fn roomy() -> Channel {
    let channel = Channel::new();
    let mut server = channel.running(&["--persist", "--size", "64K"]);
    server.signal(SIGTERM);
    server.finish_with_stdin().expect(0);
    channel
}

/// A client with a lane of its own, held as long as its stdin is open, and `count` lines of 99 bytes
/// and a newline in it, which begin with `name`.
fn filled_lane(channel: &Channel, name: char, count: usize) -> Proc {
    let sent = || channel.status().numbers("sent").iter().sum::<f64>() as usize;
    let before = sent();
    let mut client = Proc::spawn(channel.client(&[]));
    client.write((0..count).map(|n| line(name, n)).collect::<String>().as_bytes());
    until("all lines are in the ring", || sent() == before + count);
    client
}

fn line(name: char, n: usize) -> String {
    format!("{name}{n:0>98}\n")
}

#[test]
fn a_busy_lane_leaves_the_others_their_turn() {
    let channel = roomy();
    let _clients = [filled_lane(&channel, 'a', 570), filled_lane(&channel, 'b', 3)];
    let server = Proc::spawn(channel.server(&[]));
    server.wait_stdout("all lines", |out| out.len() == 573 * 100);
    let out = server.stdout();
    let from_b: Vec<usize> = (0..573).filter(|n| out[n * 100] == b'b').collect();
    assert_eq!(from_b.len(), 3);
    assert!(from_b[2] < 300, "three lines behind 570 of another lane came as {from_b:?}");
}

#[test]
fn a_file_system_that_fills_up_has_each_message_of_each_lane_once() {
    let folder = Folder::new();
    in_thread(|| {
        let small = raw::private_mounts()
            .and_then(|()| raw::mount("tmpfs", &folder.0, "tmpfs", 0, "size=28k"));
        if let Err(error) = small {
            return skipped(&format!("no small file system of one's own: {error}"));
        }
        // The write that fails stops within the second lane's lines, which come between the first
        // 256 of the other lane and its rest.
        let channel = roomy();
        let _clients = [filled_lane(&channel, 'a', 290), filled_lane(&channel, 'b', 60)];
        let into = File::create(folder.0.join("out")).expect("a file");
        let mut server = Proc::spawn_with(channel.server(&[]), Stdio::null(), into.into());
        server.finish_with_stdin().fails(74, &["ENOSPC"]);
        let mut out = std::fs::read(folder.0.join("out")).expect("what was written");
        out.truncate(out.len() / 100 * 100);
        let first = out.len();
        let second_lane = out[256 * 100..].iter().step_by(100).filter(|byte| **byte == b'b');
        assert!((1..60).contains(&second_lane.count()), "cut elsewhere: after {first} bytes");
        let next = channel.running(&[]);
        next.wait_stdout("the rest", |rest| first + rest.len() >= 350 * 100);
        out.extend(next.stdout());
        assert_eq!(out.len(), 350 * 100, "some lines came twice");
        for (name, count) in [('a', 290), ('b', 60)] {
            let lines = out.chunks(100).filter(|line| line[0] == name as u8);
            assert!(lines.eq((0..count).map(|n| line(name, n).into_bytes())), "lane of {name}");
        }
    });
}

#[test]
fn status_tells_the_most_that_a_ring_ever_held() {
    let channel = roomy();
    let mut client = filled_lane(&channel, 'a', 10);
    let server = channel.running(&[]);
    server.wait_stdout("all lines", |out| out.len() == 10 * 100);
    let most = || channel.status().numbers("high_water")[0] as usize;
    let most_of_ten = most();
    // A record is 8 bytes of header and the payload, in whole eights: see the memory map.
    assert_eq!(most_of_ten, 10 * (8 + 104));
    client.write(line('a', 10).as_bytes());
    server.wait_stdout("one more", |out| out.len() == 11 * 100);
    assert_eq!(most(), most_of_ten, "an eleventh message, alone, is not the most");
}
