//! `--protocol shared_use_st` with C programs as courses, tutorials and board vendors have them
//! (tests/c/classic.c): each kind writes to ours, and reads what ours writes.

use crate::support::raw::{self, View};
use crate::support::{
    find_program, numbered, run, sem_row, shm_row, skipped, until, Channel, Folder, Proc,
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const DEMO: [&str; 2] = ["--protocol", "shared_use_st"];
const SEMAPHORE: [&str; 3] = ["--protocol", "shared_use_st", "--foreign-semaphore"];

/// The C program, compiled with and without optimisation: found like the others, else made here.
struct Classic {
    programs: Vec<PathBuf>,
    _folder: Folder,
}

impl Classic {
    fn here() -> Option<Classic> {
        let folder = Folder::new();
        let mut programs = Vec::new();
        for (name, level) in [("classic", "-O2"), ("classic-O0", "-O0")] {
            if let Some(program) = find_program(name) {
                programs.push(program);
                continue;
            }
            let file = folder.0.join("classic.c");
            std::fs::write(&file, include_str!("../c/classic.c")).expect("the source");
            let program = folder.0.join(name);
            let mut cc = Command::new("cc");
            cc.args([level, "-Wall", "-Wextra", "-Werror", "-Wno-stringop-truncation", "-o"]);
            let Ok(out) = cc.arg(&program).arg(&file).output() else {
                skipped(&format!("no {name} beside the tests, and no cc to make it"));
                return None;
            };
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            programs.push(program);
        }
        Some(Classic { programs, _folder: folder })
    }

    fn command(program: &PathBuf, role: &str, channel: &Channel, traits: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg(role).arg(channel.key.to_string()).args(traits);
        command
    }
}

/// What a kind of C program does, and what is said to ours for it.
struct Kind {
    traits: Vec<&'static str>,
    both: Vec<&'static str>,
    client: Vec<&'static str>,
    /// The text that ends both, and a line that begins with it and passes, if one does.
    end: &'static str,
    passes: Option<&'static str>,
    /// Longest line that it writes, and that it reads.
    longest: [usize; 2],
}

impl Kind {
    fn new(traits: &[&'static str]) -> Kind {
        Kind {
            traits: traits.to_vec(),
            both: Vec::new(),
            client: Vec::new(),
            end: "end",
            passes: None,
            longest: [2046; 2],
        }
    }

    fn sized(traits: &[&'static str], text: usize) -> Kind {
        Kind { longest: [text - 2; 2], ..Kind::new(traits) }
    }

    /// Where ours makes the segment, it has to know the size.
    fn size_for(&self, args: &mut Vec<&str>, ours_first: bool) {
        let size = self.traits.iter().find_map(|name| name.strip_prefix("text="));
        if let (Some(size), true, false) = (size, ours_first, args.contains(&"--text-size")) {
            args.extend(["--text-size", size]);
        }
    }

    fn ends(traits: &[&'static str], word: &'static str, option: &'static str) -> Kind {
        let both = vec![option];
        Kind { end: word, both, ..Kind::new(traits) }
    }
}

fn kinds() -> Vec<Kind> {
    let mut kinds = vec![
        Kind::new(&[]),
        Kind::sized(&["text=256"], 256),
        Kind::sized(&["text=1024"], 1024),
        Kind::sized(&["text=4096"], 4096),
        Kind::sized(&["text=16384"], 16_384),
        // The segment's size does not tell which bytes at its end are padding.
        Kind { both: vec!["--text-size", "2018"], ..Kind::sized(&["text=2018"], 2018) },
        Kind { longest: [256, 254], ..Kind::new(&["text=256", "full"]) },
        Kind {
            both: vec!["--text-size", "2018"],
            longest: [2018, 2016],
            ..Kind::new(&["text=2018", "full"])
        },
        Kind::new(&["bare"]),
        Kind::new(&["busy"]),
        Kind::new(&["slow"]),
        Kind::new(&["keep"]),
        Kind::ends(&["end=quit"], "quit", "--end-word=quit"),
        Kind::ends(&["end=exit", "bare"], "exit", "--end-word=exit"),
        Kind::ends(&["end=-1"], "-1", "--end-word=-1"),
        Kind {
            client: vec!["--end-whole"],
            passes: Some("endless"),
            ..Kind::new(&["end=end", "whole"])
        },
    ];
    for traits in [&["semaphore"][..], &["semaphore", "busy"], &["semaphore", "keep"]] {
        kinds.push(Kind { both: vec!["--foreign-semaphore"], ..Kind::new(traits) });
    }
    for (size, text) in [("text=256", 256), ("text=1024", 1024), ("text=4096", 4096)] {
        let kind = Kind::sized(&["semaphore", size], text);
        kinds.push(Kind { both: vec!["--foreign-semaphore"], ..kind });
    }
    let both = vec!["--foreign-semaphore", "--text-size", "2018"];
    kinds.push(Kind { both, ..Kind::sized(&["semaphore", "text=2018"], 2018) });
    let traits = ["semaphore", "text=2018", "full", "bare", "end=quit"];
    let both = vec!["--foreign-semaphore", "--text-size", "2018", "--end-word=quit"];
    kinds.push(Kind { both, end: "quit", longest: [2018, 2016], ..Kind::new(&traits) });
    kinds
}

fn lines(kind: &Kind, longest: usize) -> String {
    let all = ["one", "", &"l".repeat(longest), kind.passes.unwrap_or("two"), "three"];
    all.map(|line| format!("{line}\n")).concat()
}

#[test]
fn every_kind_writes_to_our_server() {
    let Some(classic) = Classic::here() else { return };
    for kind in kinds() {
        for (program, ours_first) in classic.programs.iter().zip([true, false]) {
            let what = format!("{:?}, ours first: {ours_first}", kind.traits);
            let channel = Channel::new();
            let ours = || {
                let mut args = [&DEMO[..], &kind.both].concat();
                kind.size_for(&mut args, ours_first);
                let server = Proc::spawn(channel.server(&args));
                if !kind.traits.contains(&"semaphore") && ours_first {
                    until("our segment", || shm_row(channel.key).is_some());
                }
                server
            };
            let early = ours_first.then(ours);
            let sent = lines(&kind, kind.longest[0]);
            let mut writer =
                Proc::spawn(Classic::command(program, "write", &channel, &kind.traits));
            writer.feed(format!("{sent}{}\n", kind.end).into_bytes());
            if !ours_first {
                until("a text is there", || {
                    shm_row(channel.key).is_some_and(|row| raw::shm_bytes(row.id)[0] == 1)
                });
            }
            let server = early.unwrap_or_else(ours);
            writer.finish_with_stdin().expect(0);
            assert!(server.finish().expect(0).text() == sent, "{what}");
            assert_eq!(shm_row(channel.key), None, "{what}");
            // What is theirs stays.
            let theirs = kind.traits.contains(&"semaphore");
            assert_eq!(raw::sem_id(channel.key).is_some(), theirs, "{what}");
        }
    }
}

#[test]
fn every_kind_reads_what_our_client_writes() {
    let Some(classic) = Classic::here() else { return };
    for kind in kinds() {
        for (program, ours_first) in classic.programs.iter().zip([false, true]) {
            let what = format!("{:?}, ours first: {ours_first}", kind.traits);
            let semaphore = kind.traits.contains(&"semaphore");
            let channel = Channel::new();
            let sent = lines(&kind, kind.longest[1]);
            let mut reader = None;
            let mut start = || {
                reader =
                    Some(Proc::spawn(Classic::command(program, "read", &channel, &kind.traits)));
            };
            if !ours_first {
                start();
                until("their segment", || shm_row(channel.key).is_some());
            }
            let mut args = [&DEMO[..], &kind.both, &kind.client].concat();
            kind.size_for(&mut args, ours_first);
            let mut client = Proc::spawn(channel.client(&args));
            client.feed(format!("{sent}{}\n", kind.end).into_bytes());
            if ours_first {
                if !semaphore {
                    until("our first text", || {
                        shm_row(channel.key).is_some_and(|row| raw::shm_bytes(row.id)[0] == 1)
                    });
                }
                start();
            }
            client.finish_with_stdin().expect(0);
            let wanted = format!("{sent}{}\n", kind.end);
            let wanted: Vec<_> =
                wanted.lines().map(|line| format!("You wrote: {line}\n")).collect();
            let out = reader.expect("a reader").finish();
            assert!(out.expect(0).text() == wanted.concat(), "{what}");
            let keeps = kind.traits.contains(&"keep");
            assert_eq!(shm_row(channel.key).is_some(), keeps, "{what}");
        }
    }
}

/// Several texts one after the other: which one is meant, the segment does not tell.
#[test]
fn a_program_with_an_array_of_texts_is_refused_and_left_alone() {
    let Some(classic) = Classic::here() else { return };
    for program in &classic.programs {
        for role in ["read", "write"] {
            let channel = Channel::new();
            let peer = Proc::spawn(Classic::command(program, role, &channel, &["slots=10"]));
            until("its segment", || shm_row(channel.key).is_some());
            let before = channel.bytes();
            let told = ["array of texts of 2048 bytes", "--text-size"];
            run(channel.server(&DEMO), b"").fails(76, &told);
            run(channel.client(&DEMO), b"x\n").fails(76, &told);
            assert!(channel.bytes() == before, "{role}");
            peer.signal(SIGTERM);
        }
    }
}

#[test]
fn a_semaphore_of_the_c_programs_is_named_and_left_alone() {
    let channel = Channel::new();
    let id = raw::sem_create(channel.key, 1, 0o666);
    let view = View::attach(raw::shm_create(channel.key, 2052, 0o666));
    let told = ["semaphore set", "number of semaphores is 1", "--foreign-semaphore"];
    run(channel.server(&DEMO), b"").fails(76, &told);
    run(channel.client(&DEMO), b"x\n").fails(76, &told);
    let status = run(channel.sub("status", &DEMO), b"");
    assert!(status.expect(0).text().contains("shared_use_st"));
    run(channel.sub("set", &[&DEMO[..], &["--mode", "0660"]].concat()), b"").expect(0);
    assert_eq!(channel.segment().perms, 0o660);
    assert_eq!(sem_row(channel.key).map(|row| row.perms), Some(0o666));
    drop(view);
    until("nobody is attached", || run(channel.sub("remove", &DEMO), b"").code() == 0);
    assert_eq!(shm_row(channel.key), None);
    assert_eq!(raw::sem_id(channel.key), Some(id));
    let nothing = run(channel.sub("remove", &DEMO), b"");
    nothing.fails(69, &["no segment"]);
    // Neither two of them nor a counting one is what these programs have.
    raw::sem_set(id, 0, 2);
    run(channel.server(&SEMAPHORE), b"").fails(76, &["value of the semaphore is 2"]);
    raw::sem_remove(id);
    raw::sem_create(channel.key, 2, 0o666);
    let out = run(channel.server(&SEMAPHORE), b"");
    out.fails(76, &["number of semaphores is 2", "expected 1"]);
    run(channel.client(&["--foreign-semaphore"]), b"").fails(64, &["shared_use_st"]);
}

/// While a C program is between its P and its V, nothing is read, written or given back, and ours is
/// still to be stopped.
#[test]
fn the_semaphore_is_waited_for_and_given_back() {
    let channel = Channel::new();
    let set = || {
        let id = raw::sem_create(channel.key, 1, 0o666);
        raw::sem_set(id, 0, 1);
        id
    };
    // None yet: whoever waits for it can be stopped.
    let mut server = Proc::spawn(channel.server(&SEMAPHORE));
    server
        .wait_stderr("that it waits", |err| err.contains("until a C program makes the semaphore"));
    std::thread::sleep(Duration::from_millis(100)); // several looks, one word
    server.signal(SIGTERM);
    let said = server.finish_with_stdin().expect(0).stderr.clone();
    assert_eq!(said.matches("until a C program makes").count(), 1, "{said}");
    run(channel.client(&[&SEMAPHORE[..], &["--timeout", "0.1"]].concat()), b"x\n")
        .fails(75, &["until a C program makes", "ETIMEDOUT", "--foreign-semaphore"]);
    assert_eq!(shm_row(channel.key), None);

    let id = set();
    let view = View::attach(raw::shm_create(channel.key, 2052, 0o666));
    let mut server = Proc::spawn(channel.server(&SEMAPHORE));
    until("the server", || channel.segment().attached >= 2);
    raw::sem_add(id, 0, -1);
    view.write(4, b"one\n\0");
    view.write(0, &1_i32.to_ne_bytes());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((view.word(0), server.stdout()), (1, Vec::new()), "P is respected");
    raw::sem_add(id, 0, 1);
    server.wait_stdout("the text", |out| out == b"one\n");
    until("it is taken", || view.word(0) == 0);
    until("V", || raw::sem_get(id, 0) == 1);

    // A C program that begins sets it to 1 again, whoever has it: it never grows beyond.
    for number in 0..200 {
        view.write(4, format!("{number}\n\0").as_bytes());
        view.write(0, &1_i32.to_ne_bytes());
        let begin = Instant::now();
        while view.word(0) != 0 && begin.elapsed() < Duration::from_secs(10) {
            raw::sem_set(id, 0, 1);
        }
        assert!(raw::sem_get(id, 0) <= 1, "after {number}");
    }
    // One that ends removes it, another one makes it anew.
    raw::sem_remove(id);
    view.write(4, b"last\n\0");
    view.write(0, &1_i32.to_ne_bytes());
    std::thread::sleep(Duration::from_millis(100)); // looked for in vain
    let id = set();
    server.wait_stdout("the last text", |out| out.ends_with(b"\nlast\n"));
    until("it is taken", || view.word(0) == 0);
    // It is kept: ours still ends.
    raw::sem_add(id, 0, -1);
    view.write(0, &1_i32.to_ne_bytes());
    server.signal(SIGTERM);
    let out = server.finish_with_stdin();
    assert!(out.expect(0).text().ends_with("\nlast\n"));
    assert_eq!(raw::sem_get(id, 0), 0);
}

/// Killed at any moment, ours leaves the semaphore to the C program, which goes on.
#[test]
fn kill_9_never_keeps_the_semaphore() {
    let Some(classic) = Classic::here() else { return };
    let channel = Channel::new();
    let traits = ["semaphore"];
    let mut writer =
        Proc::spawn(Classic::command(&classic.programs[0], "write", &channel, &traits));
    let all = numbered(300);
    writer.feed([&all[..], b"end\n"].concat());
    until("their segment", || shm_row(channel.key).is_some());
    let mut got = Vec::new();
    let mut kills = 0;
    while kills < 12 {
        let mut server = Proc::spawn(channel.server(&SEMAPHORE));
        server.wait_stdout("some lines", |out| out.len() > 5);
        server.signal(SIGKILL);
        got.extend(server.finish_with_stdin().text().lines().map(String::from));
        kills += 1;
    }
    let server = Proc::spawn(channel.server(&SEMAPHORE));
    got.extend(server.finish().expect(0).text().lines().map(String::from));
    writer.finish_with_stdin().expect(0);
    // The line in hand may come again, after a kill.
    let before = got.len();
    got.dedup();
    assert!(before - got.len() <= kills);
    assert!(got.join("\n").into_bytes() == all[..all.len() - 1]);
}
