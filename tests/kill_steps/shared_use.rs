//! The C demo's protocol: whatever instruction ours is killed at, no text is lost or torn, and the C
//! program at the other end can go on: the flag says whose turn it is, and the C programs' semaphore,
//! where they have one, is free.

use crate::support::raw::{self, View};
use crate::support::Channel;
use crate::torture::ground::options;
use crate::torture::places::kill_everywhere;
use crate::torture::trace::{mark, Tracee};
use crate::torture::{chance, fresh, on_stage, pipe, read_now};
use shmdemo::shared_use::{End, SharedUseSegment};
use shmdemo::{Deadline, Waited};
use std::fs::File;
use std::io::Write;

/// Kills spread over a window, beside those around every change.
const SPREAD: usize = 300;

/// A segment as the C programs make it, with a text in it or not, and their semaphore or not.
fn lay(text: Option<&[u8]>, semaphore: bool) -> Channel {
    let channel = Channel::new();
    let view = View::attach(raw::shm_create(channel.key, 2052, 0o666));
    if let Some(text) = text {
        view.write(4, text);
        view.write(0, &1_i32.to_ne_bytes());
    }
    if semaphore {
        raw::sem_set(raw::sem_create(channel.key, 1, 0o666), 0, 1);
    }
    channel
}

fn open(channel: &Channel, end: End, semaphore: bool) -> SharedUseSegment {
    let options = options(channel).foreign_semaphore(semaphore);
    SharedUseSegment::open(&options, end, Deadline::Now).expect("open")
}

/// What the C program sees: the flag, with the semaphore held as it does, and the text.
fn look(channel: &Channel, semaphore: bool) -> (u32, Vec<u8>) {
    if semaphore {
        let id = raw::sem_id(channel.key).expect("the semaphore");
        assert_eq!(raw::sem_get(id, 0), 1, "somebody dead holds the semaphore");
    }
    let bytes = raw::shm_bytes(channel.segment().id);
    let text = bytes[4..].split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    (u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), text)
}

/// A fresh server takes what there is, or finds nothing.
fn successor(channel: &Channel, semaphore: bool) -> Vec<u8> {
    fresh(|| {
        let server = open(channel, End::Server, semaphore);
        let mut text = vec![0; server.text_bytes()];
        if server.wait(true, Deadline::Now).expect("wait") != Waited::Ready {
            return Vec::new();
        }
        let len = server.read(&mut text);
        assert_eq!(server.taken().expect("taken"), Waited::Ready);
        text.truncate(len);
        text
    })
}

#[test]
fn a_reader_killed_at_any_instruction_lets_the_c_program_go_on() {
    on_stage(|| {
        let mut random = chance();
        for semaphore in [false, true] {
            let start = || {
                let channel = lay(Some(b"from C\n\0"), semaphore);
                let (from, to) = pipe();
                let tracee = Tracee::fork(|| {
                    let mut to = File::from(to);
                    let mut text = [0; 2049];
                    mark();
                    let server = open(&channel, End::Server, semaphore);
                    assert_eq!(server.wait(true, Deadline::Now).expect("wait"), Waited::Ready);
                    let len = server.read(&mut text);
                    text[len] = b'\n';
                    to.write_all(&text[..=len]).expect("write");
                    assert_eq!(server.taken().expect("taken"), Waited::Ready);
                    drop(server);
                    mark();
                });
                (channel, from, tracee)
            };
            let name = format!("take a text of a C program, semaphore: {semaphore}");
            kill_everywhere(&name, SPREAD, 2, &mut random, start, |channel, mut from| {
                let printed = read_now(&mut from);
                let (flag, text) = look(&channel, semaphore);
                assert_eq!(text, b"from C\n");
                match (flag, printed.as_slice()) {
                    // Twice at the most, never not at all.
                    (1, b"" | b"from C\n") => assert_eq!(successor(&channel, semaphore), b"from C"),
                    (0, b"from C\n") => assert_eq!(successor(&channel, semaphore), b""),
                    (flag, printed) => panic!("flag {flag}, printed {printed:?}"),
                }
                u32::from(!printed.is_empty()) + u32::from(flag == 0)
            });
        }
    });
}

#[test]
fn a_writer_killed_at_any_instruction_lets_the_c_program_go_on() {
    on_stage(|| {
        let mut random = chance();
        for semaphore in [false, true] {
            let start = || {
                let channel = lay(None, semaphore);
                let tracee = Tracee::fork(|| {
                    mark();
                    let client = open(&channel, End::Client, semaphore);
                    assert_eq!(client.wait(false, Deadline::Now).expect("wait"), Waited::Ready);
                    client.write(b"from ours").expect("write");
                    drop(client);
                    mark();
                });
                (channel, (), tracee)
            };
            let name = format!("write a text for a C program, semaphore: {semaphore}");
            kill_everywhere(&name, SPREAD, 1, &mut random, start, |channel, ()| {
                let (flag, text) = look(&channel, semaphore);
                match flag {
                    0 => assert_eq!(successor(&channel, semaphore), b""),
                    1 => {
                        assert_eq!(text, b"from ours\n");
                        assert_eq!(successor(&channel, semaphore), b"from ours");
                    }
                    other => panic!("flag {other}"),
                }
                flag
            });
        }
    });
}
