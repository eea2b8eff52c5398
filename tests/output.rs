//! What stands in the file that a server writes, however its predecessors ended: whole lines.
#![deny(unsafe_code)]

mod common;

use common::{in_thread, raw, run, skipped, Channel, Folder, Proc};
use std::fs::{File, OpenOptions};
use std::process::Stdio;

fn line(n: usize) -> String {
    format!("{n:0>36}\n")
}

fn server_into(channel: &Channel, file: File, args: &[&str]) -> common::Output {
    Proc::spawn_with(channel.server(args), Stdio::null(), file.into()).finish_with_stdin()
}

#[test]
fn a_line_torn_by_a_full_file_system_is_ended_and_comes_again_whole() {
    let folder = Folder::new();
    in_thread(|| {
        let mounted = raw::private_mounts()
            .and_then(|()| raw::mount("tmpfs", &folder.0, "tmpfs", 0, "size=4096"));
        if let Err(error) = mounted {
            return skipped(&format!("no small file system of one's own: {error}"));
        }
        let channel = Channel::new();
        let all: String = (0..200).map(line).collect();
        channel.filled(all.as_bytes());
        let file = folder.0.join("out");
        server_into(&channel, File::create(&file).expect("a file"), &[]).fails(74, &["ENOSPC"]);
        let torn = std::fs::read_to_string(&file).expect("what was written");
        assert!(torn.len() == 4096 && !torn.ends_with('\n'), "{} bytes", torn.len());
        raw::mount("tmpfs", &folder.0, "tmpfs", nix::libc::MS_REMOUNT, "size=65536")
            .expect("a larger file system");
        run(channel.client(&[]), b"end\n").expect(0);
        let more = OpenOptions::new().append(true).open(&file).expect("the file");
        server_into(&channel, more, &[]).expect(0);
        let text = std::fs::read_to_string(&file).expect("all of it");
        let whole = &torn[..torn.rfind('\n').expect("lines") + 1];
        let count = whole.len() / 37;
        let rest: String = (count..200).map(line).collect();
        assert_eq!(text, format!("{torn}\n{rest}"));
    });
}

#[test]
fn a_file_that_ends_with_a_line_gets_no_empty_one() {
    // Begin of the file, its end with >>, a place in its midst; and with NUL as separator.
    let folder = Folder::new();
    let file = folder.0.join("out");
    for (before, args, after) in [
        ("", &[][..], "one\n"),
        ("a line\n", &[], "a line\none\n"),
        ("half a li", &[], "half a li\none\n"),
        ("a\0", &["-0"], "a\0one\0"),
        ("a\n", &["-0"], "a\n\0one\0"),
    ] {
        let channel = Channel::new();
        channel.filled(b"one\nend\n");
        std::fs::write(&file, before).expect("a file");
        let more = OpenOptions::new().append(true).open(&file).expect("the file");
        server_into(&channel, more, args).expect(0);
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), after, "{before:?}");
    }
    // Nothing to print: nothing is written.
    let channel = Channel::new();
    channel.filled(b"end\n");
    std::fs::write(&file, "half").expect("a file");
    let more = OpenOptions::new().append(true).open(&file).expect("the file");
    server_into(&channel, more, &[]).expect(0);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "half");
}
