//! What is no command line: 64, whatever the words are.

use crate::support::{client, run, server, shm_row, Channel, Random};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

/// Option, value, words of the range.
type Bad<'a> = (&'a str, &'a str, &'a [&'a str]);

#[test]
fn a_bad_value_is_64_and_names_option_value_and_range() {
    let channel = Channel::new();
    let key = channel.key.to_string();
    let missing = "/nonexistent/path,1";
    let (longest, too_long) = ("x".repeat(256), "x".repeat(257));
    let both: &[Bad] = &[
        ("--key", "abc", &["hex"]),
        ("--key", "", &["hex"]),
        ("--key", "0x", &["hex"]),
        ("--key", "0xxyz", &["hex"]),
        ("--key", "0x+12", &["hex"]),
        ("--key", "0", &["IPC_PRIVATE"]),
        ("--key", "0x0", &["IPC_PRIVATE"]),
        ("--key", "4294967296", &["hex"]),
        ("--key", "0x100000000", &["hex"]),
        ("--key", "12 34", &["hex"]),
        ("--ftok", missing, &["ENOENT"]),
        ("--ftok", "/", &["PATH,ID"]),
        ("--ftok", "/,", &["PATH,ID"]),
        ("--ftok", "/,abc", &["PATH,ID"]),
        ("--ftok", "/,0", &["PATH,ID"]),
        ("--ftok", "/,256", &["PATH,ID"]),
        ("--ftok", "/, ", &["PATH,ID"]),
        ("--protocol", "foo", &["ring", "shared_use_st"]),
        ("--owner", "no-such-user-here", &["user", "uid"]),
        ("--owner", "-1", &["uid"]),
        ("--owner", "4294967296", &["uid"]),
        ("--address", "zz", &["hex"]),
        ("--address", "0x", &["hex"]),
        ("--address", "0x10000000000000000", &["hex"]),
    ];
    let server_own: &[Bad] = &[
        ("--lanes", "0", &["1..32"]),
        ("--lanes", "33", &["1..32"]),
        ("--lanes", "-1", &["1..32"]),
        ("--lanes", "many", &["1..32"]),
        ("--lanes", "99999999999999999999", &["1..32"]),
        ("--size", "0", &["bytes", ".."]),
        ("--size", "256", &["at least", "2048"]),
        ("--size", "big", &["bytes", ".."]),
        ("--size", "16X", &["bytes", ".."]),
        ("--size", "K", &["bytes", ".."]),
        ("--size", "-16K", &["bytes", ".."]),
        ("--size", "99999999999999999999", &["bytes", ".."]),
        ("--size", "18446744073709551615M", &["bytes", ".."]),
        ("--size", "4194304M", &["bytes", ".."]),
        ("--max-message", "x", &["1"]),
        ("--max-message", "-1", &["1"]),
        ("--max-message", "99999999999999999999", &["1"]),
        ("--mode", "9", &["octal", "0600..0777", "for the owner"]),
        ("--mode", "0800", &["octal"]),
        ("--mode", "rw", &["octal"]),
        ("--mode", "10000", &["octal"]),
        ("--mode", "-1", &["octal"]),
        ("--group", "no-such-group-here", &["group", "gid"]),
        ("--group", "-1", &["gid"]),
        ("--prefix", &too_long, &["0..256"]),
    ];
    let client_own: &[Bad] = &[
        ("--timeout", "x", &["second"]),
        ("--timeout", "-1", &["second"]),
        ("--timeout", "nan", &["second"]),
        ("--timeout", "", &["second"]),
    ];
    let check = |mut command: Command, (option, value, range): &Bad| {
        if *option != "--key" {
            command.args(["-k", &key]);
        }
        command.arg(format!("{option}={value}"));
        let out = run(command, b"");
        out.fails(64, &[option, value]);
        out.fails(64, range);
        assert_eq!(out.stdout, b"");
    };
    for case in both.iter().chain(server_own) {
        check(server(), case);
    }
    for case in both.iter().chain(client_own) {
        check(client(), case);
    }
    let mut fits = server();
    fits.args(["--prefix", &longest, "--version"]);
    run(fits, b"").expect(0);
    let word = "w".repeat((64 << 10) + 1);
    let with = |word: &str| {
        let mut command = client();
        command.args(["--end-word", word, "--version"]);
        run(command, b"")
    };
    with(&word).fails(64, &["--end-word", "0..64K"]);
    with(&word[1..]).expect(0);
    let commands: &[(&str, Bad)] = &[
        ("status", ("--watch", "x", &["second"])),
        ("status", ("--watch", "-1", &["second"])),
        ("set", ("--mode", "999", &["octal", "0000..0777"])),
        ("set", ("--uid", "no-such-user-here", &["uid"])),
        ("set", ("--gid", "no-such-group-here", &["gid"])),
        ("remove", ("--key", "abc", &["hex"])),
    ];
    for (word, case) in commands {
        let mut command = server();
        command.arg(word);
        check(command, case);
    }
    channel.assert_gone();
}

#[test]
fn unknown_missing_and_stray_are_64() {
    let channel = Channel::new();
    let cases: &[(bool, &[&str], &str)] = &[
        (true, &["--frobnicate"], "--frobnicate"),
        (true, &["-Z"], "-Z"),
        (true, &["stray"], "stray"),
        (true, &["--persist", "stray"], "stray"),
        (true, &["status", "stray"], "stray"),
        (true, &["--persist=yes"], "--persist"),
        (true, &["--", "--persist"], "--persist"),
        (true, &["--lanes"], "--lanes"),
        (true, &["--size"], "--size"),
        (true, &["--mode"], "--mode"),
        (true, &["--key"], "--key"),
        (true, &["-k"], "-k"),
        (true, &["--end-word", "x"], "shared_use_st"),
        (true, &["--foreign-semaphore"], "shared_use_st"),
        (true, &["status", "--foreign-semaphore"], "--foreign-semaphore"),
        (true, &["--timeout", "1"], "--timeout"),
        (true, &["--json"], "--json"),
        (true, &["remove", "--json"], "--json"),
        (true, &["status", "--force"], "--force"),
        (true, &["status", "--lock"], "--lock"),
        (true, &["status", "-0"], "-0"),
        (true, &["status", "--address", "0x50000000"], "--address"),
        (true, &["set"], "nothing to set"),
        (true, &["set", "--mode", "0600", "--null"], "--null"),
        (true, &["set", "--prefix", "x"], "--prefix"),
        (true, &["remove", "--round"], "--round"),
        (true, &["--protocol", "shared_use_st", "--lanes", "2"], "--lanes"),
        (true, &["--protocol", "shared_use_st", "--size", "16K"], "--size"),
        (true, &["--protocol", "shared_use_st", "--max-message", "64"], "--max-message"),
        (false, &["--no-create", "--create-as", "0"], "--create-as"),
        (false, &["--frobnicate"], "--frobnicate"),
        (false, &["-Z"], "-Z"),
        (false, &["stray"], "stray"),
        (false, &["status"], "status"),
        (false, &["--lanes", "2"], "--lanes"),
        (false, &["--prefix", "x"], "--prefix"),
        (false, &["--", "--no-create"], "--no-create"),
        (false, &["--end-word"], "--end-word"),
        (false, &["--timeout"], "--timeout"),
        (false, &["--ftok"], "--ftok"),
    ];
    for (is_server, args, named) in cases {
        let mut command = if *is_server { server() } else { client() };
        // The key goes last or first: an option without its value must be the last.
        let first = args[0].starts_with('-');
        if first {
            command.args(["-k", &channel.key.to_string()]);
        }
        command.args(*args);
        if !first && *is_server {
            command.args(["-k", &channel.key.to_string()]);
        }
        run(command, b"").fails(64, &[named]);
    }
    channel.assert_gone();
}

/// Hundreds of argument lists of good, bad and absurd words. All end, with a code that is documented.
#[test]
fn no_argument_list_makes_them_panic() {
    let channel = Channel::new();
    let _holder = channel.running(&["--persist"]);
    let long = "9".repeat(5_000);
    let words: Vec<&str> = "-0 --null --protocol shared_use_st ring --owner --address 0x50000000 -1 --round \
        --lock -v -q -h -V --lanes --size 16K --max-message 2048 --mode 0600 --group --prefix --persist \
        --no-create --end-word --timeout 0 --json --watch=x -- - = --= --size=8K --lanes=3 -k= -kx \
        status set remove 0x 1e9 nan é % %s \u{1b}[31m --force=x --timeout=0 --mode=0600 -vvq"
        .split_whitespace()
        .chain(["", " ", "\n", &long])
        .collect();
    let mut random = Random(20_000);
    let mut codes = BTreeMap::new();
    let slow = std::env::var_os("SHMDEMO_TEST_SLOW").is_some();
    for round in 0..if slow { 100 } else { 300 } {
        let mut command = if round % 2 == 0 { server() } else { client() };
        command.env("RUST_BACKTRACE", "1").args(["-k", &channel.key.to_string()]);
        for _ in 0..random.below(6) {
            let mut word = words[random.below(words.len())].as_bytes().to_vec();
            if random.below(8) == 0 {
                let mut noise = [0; 4];
                random.fill(&mut noise);
                word.extend(noise.iter().filter(|byte| **byte != 0));
            }
            command.arg(OsString::from_vec(word));
        }
        // The client finds an end of input, the server a role that is taken: each must end by itself.
        let name = format!("{command:?}");
        let out = run(command, b"");
        let known = [0, 64, 69, 73, 74, 75, 76, 77].contains(&out.code());
        assert!(known, "{name}: {} {}", out.code(), out.stderr);
        assert!(out.code() == 0 || !out.stderr.is_empty(), "{name}: {} without a word", out.code());
        *codes.entry(out.code()).or_insert(0) += 1;
    }
    println!("exit codes: {codes:?}");
    assert!(codes.len() > 2 && shm_row(channel.key).is_some());
}
