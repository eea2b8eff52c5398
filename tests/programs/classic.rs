//! `--protocol shared_use_st`: what C programs of the classic demonstration do beside the plain
//! exchange of `demo.rs`, and what is said where it can't work.

use crate::support::raw::{self, Meddler, View};
use crate::support::{numbered, run, shm_row, skipped, until, Channel, Folder, Proc};
use nix::sys::signal::Signal::SIGTERM;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const DEMO: [&str; 2] = ["--protocol", "shared_use_st"];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&DEMO, args].concat()
}

/// A segment as a C program makes it, and leaves it when it dies.
fn segment(channel: &Channel) -> View {
    View::attach(raw::shm_create(channel.key, 2052, 0o666))
}

#[test]
fn a_nul_inside_a_line_is_65_and_names_line_and_place() {
    let channel = Channel::new();
    let server = Proc::spawn(channel.server(&DEMO));
    let out = run(channel.client(&DEMO), b"one\nab\0cd\nthree\n");
    out.fails(65, &["line 2", "NUL", "byte 3", "EILSEQ"]);
    server.wait_stdout("the line before", |out| out == b"one\n");
    // A message ended by NUL has none inside.
    run(channel.client(&with(&["-0"])), b"two\0").expect(0);
    server.wait_stdout("and one after", |out| out == b"one\ntwo\n");
}

#[test]
fn a_line_that_would_end_the_c_program_is_65() {
    let channel = Channel::new();
    let server = Proc::spawn(channel.server(&DEMO));
    let out = run(channel.client(&DEMO), b"one\nendless\n");
    out.fails(65, &["line 2", "'end'", "--end-whole"]);
    run(channel.client(&with(&["--end-word", "quit"])), b"ended\nquitting\n")
        .fails(65, &["line 2", "'quit'"]);
    run(channel.client(&with(&["--end-whole"])), b"endless\n").expect(0);
    run(channel.client(&with(&["--end-word", ""])), b"ending\n").expect(0);
    let wanted = b"one\nended\nendless\nending\n";
    server.wait_stdout("what was let through", |out| out == wanted);
    run(channel.client(&["--end-whole"]), b"").fails(64, &["--end-whole", "shared_use_st"]);
    // The end word itself ends as ever.
    run(channel.client(&DEMO), b"end\n").expect(0);
    server.finish().expect(0);
}

#[test]
fn the_other_protocol_is_named_by_everything_that_looks() {
    let channel = Channel::new();
    let view = segment(&channel);
    let before = view.bytes();
    let wrong = ["shared_use_st", "2052", "--protocol shared_use_st", "EPROTOTYPE"];
    run(channel.server(&["--mode", "0666"]), b"").fails(76, &wrong);
    run(channel.client(&["--mode", "0666"]), b"lost\n").fails(76, &wrong);
    for (word, args) in [("status", &[][..]), ("set", &["--mode", "0600"]), ("remove", &[])] {
        run(channel.sub(word, args), b"").fails(76, &wrong);
    }
    assert!(view.bytes() == before, "something of it was changed");
    let status = run(channel.sub("status", &with(&["--json"])), b"");
    assert!(status.expect(0).text().contains(r#""protocol":"shared_use_st","written_by_you":0"#));

    let channel = Channel::new();
    run(channel.client(&[]), b"kept\n").expect(0);
    let wrong = ["a channel", "--protocol ring", "EPROTOTYPE"];
    run(channel.server(&DEMO), b"").fails(76, &wrong);
    run(channel.client(&DEMO), b"lost\n").fails(76, &wrong);
    for (word, args) in [("status", &[][..]), ("set", &["--mode", "0600"]), ("remove", &[])] {
        run(channel.sub(word, &with(args)), b"").fails(76, &wrong);
    }
    let status = run(channel.sub("status", &["--json"]), b"");
    assert!(status.expect(0).text().contains(r#""protocol":"ring""#));
    let status = run(channel.sub("status", &[]), b"");
    assert!(status.expect(0).text().contains("\nprotocol    ring, layout version "));
}

#[test]
fn remove_does_not_take_a_segment_from_under_programs_that_know_no_roles() {
    let channel = Channel::new();
    let view = segment(&channel);
    run(channel.sub("remove", &DEMO), b"").fails(75, &["other attach", "EBUSY", "--force"]);
    drop(view);
    // Programs that other tests start have it until their exec(2).
    until("nobody is attached", || run(channel.sub("remove", &DEMO), b"").code() == 0);
    channel.assert_gone();

    let view = segment(&channel);
    run(channel.sub("remove", &with(&["--force"])), b"").expect(0);
    assert!(shm_row(channel.key).is_none());
    drop(view);
}

#[test]
fn a_server_that_ends_says_who_was_still_attached() {
    let channel = Channel::new();
    let view = segment(&channel);
    let mut server = Proc::spawn(channel.server(&with(&["-v"])));
    server.wait_stderr("it serves", |err| err.contains("attached segment"));
    let later = View::attach(channel.segment().id);
    view.write(4, b"end\0");
    view.write(0, &1_i32.to_ne_bytes());
    let out = server.finish_with_stdin();
    out.fails(0, &["warning", "other attach", ", the last by pid ", "nobody reads"]);
    drop((view, later));
    // Nobody.
    let channel = Channel::new();
    let mut server = Proc::spawn(channel.server(&with(&["-v"])));
    server.wait_stderr("it serves", |err| err.contains("attached segment"));
    server.signal(SIGTERM);
    let said = server.finish_with_stdin().expect(0).stderr.clone();
    assert!(!said.contains("nobody reads"), "{said}");
    // A client that has sent what was printed, and has more.
    let mut server = Proc::spawn(channel.server(&DEMO));
    let mut client = Proc::spawn(channel.client(&DEMO));
    client.write(b"one\n");
    server.wait_stdout("the line", |out| out == b"one\n");
    server.signal(SIGTERM);
    server.finish_with_stdin().fails(0, &["nobody reads"]);
    client.write(b"two\n");
    client.finish_with_stdin().fails(69, &["removed", "line 2 was not sent:"]);
}

#[test]
fn a_text_that_waited_since_before_the_server_is_explained() {
    let channel = Channel::new();
    let view = segment(&channel);
    view.write(4, b"left by a crash\n\0");
    view.write(0, &1_i32.to_ne_bytes());
    drop(view);
    let mut server = Proc::spawn(channel.server(&with(&["-v"])));
    server.wait_stdout("the text", |out| out == b"left by a crash\n");
    server.signal(SIGTERM);
    server.finish_with_stdin().fails(0, &["earlier run", "waiting"]);
}

/// Writes one text after the other, as soon as the flag is taken back, until it is dropped.
fn flood(segment: i32) -> Meddler {
    let mut number = 0_u32;
    Meddler::of(segment, move |view| {
        if view.word(0) == 0 {
            view.write(4, format!("text {number}\n\0").as_bytes());
            view.write(0, &1_i32.to_ne_bytes());
            number += 1;
        } else {
            std::thread::yield_now(); // the one processor of a small board
        }
    })
}

#[test]
fn sigterm_ends_the_server_under_a_flood_and_what_it_took_is_printed() {
    for persist in [&[][..], &["--persist"]] {
        let channel = Channel::new();
        let id = raw::shm_create(channel.key, 2052, 0o666);
        let view = View::attach(id);
        let mut server = Proc::spawn(channel.server(&with(persist)));
        let flood = flood(id);
        server.wait_stdout("a flood", |out| out.len() > 2_000);
        let begin = Instant::now();
        server.signal(SIGTERM);
        // While it goes on, and at once: a tenth of a second where nothing else runs.
        let out = server.finish_with_stdin();
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        drop(flood);
        let text = out.expect(0).text();
        for (number, line) in text.lines().enumerate() {
            assert_eq!(line, format!("text {number}"));
        }
        assert!(text.ends_with('\n'), "a torn line");
        // The next text stands where it was written, if the flag says so.
        assert!(view.word(0) <= 1);
    }
}

/// What a C program with `char some_text[text]` makes.
fn segment_of(channel: &Channel, text: usize) -> View {
    View::attach(raw::shm_create(channel.key, (4 + text + 3) & !3, 0o666))
}

#[test]
fn the_size_of_the_text_is_that_of_the_segment() {
    // The last is no multiple of 4: what C puts behind it for padding is not written.
    for (text, longest) in [(256, 254), (1024, 1022), (4096, 4094), (16_384, 16_382), (2018, 2015)]
    {
        let channel = Channel::new();
        let view = segment_of(&channel, text);
        let server = Proc::spawn(channel.server(&DEMO));
        let line = "x".repeat(longest);
        run(channel.client(&DEMO), format!("{line}\n").as_bytes()).expect(0);
        server.wait_stdout("the longest line", |out| out == format!("{line}\n").as_bytes());
        let out = run(channel.client(&DEMO), format!("{line}y\n").as_bytes());
        out.fails(65, &["line 1", &longest.to_string(), "--text-size"]);
        // A full buffer without NUL, as strncpy(3) leaves it.
        let full = if text % 16 == 0 { text } else { longest + 2 };
        view.write(4, &vec![b'z'; full]);
        view.write(0, &1_i32.to_ne_bytes());
        let wanted = format!("{line}\n{}\n", "z".repeat(full));
        server.wait_stdout("all of it", |out| out == wanted.as_bytes());
        run(channel.client(&DEMO), b"end\n").expect(0);
        server.finish().expect(0);
    }
}

#[test]
fn a_size_that_is_given_counts_and_has_to_fit() {
    let sized = |bytes| with(&["--text-size", bytes]);
    for (text, bytes) in [("1", 8), ("2", 8), ("100", 104), ("2018", 2024), ("64K", 65_540)] {
        let channel = Channel::new();
        let server = Proc::spawn(channel.server(&sized(text)));
        until("a segment", || shm_row(channel.key).is_some_and(|row| row.size == bytes));
        run(channel.client(&sized(text)), b"\n").expect(0);
        server.wait_stdout("an empty line fits everywhere", |out| out == b"\n");
        server.signal(SIGTERM);
        server.finish().expect(0);
    }
    // Larger than needed, as by a program that asks for whole pages.
    let channel = Channel::new();
    let view = View::attach(raw::shm_create(channel.key, 8192, 0o666));
    let line = "w".repeat(2016);
    let server = Proc::spawn(channel.server(&sized("2018")));
    run(channel.client(&sized("2018")), format!("{line}\n").as_bytes()).expect(0);
    server.wait_stdout("the longest line", |out| out == format!("{line}\n").as_bytes());
    server.signal(SIGTERM);
    server.finish().expect(0);
    drop(view);

    let view = segment_of(&channel, 256);
    let before = view.bytes();
    for program in [channel.server(&sized("257")), channel.client(&sized("257"))] {
        run(program, b"x\n").fails(76, &["size", "260", "264"]);
    }
    assert!(view.bytes() == before);
    run(channel.client(&["--text-size", "9"]), b"").fails(64, &["--text-size", "shared_use_st"]);
    for text in ["0", "65537", "many"] {
        run(channel.client(&sized(text)), b"").fails(64, &["--text-size", "1..64K"]);
    }
}

#[test]
fn an_array_of_texts_is_refused_unless_it_is_said_to_be_one() {
    let channel = Channel::new();
    let _view = segment_of(&channel, 10 * 2048);
    let told = ["array of texts of 2048 bytes", "--text-size", "begins with 00", "an int"];
    run(channel.server(&DEMO), b"").fails(76, &told);
    run(channel.client(&DEMO), b"x\n").fails(76, &["array of texts of 2048 bytes"]);
    run(channel.client(&with(&["--text-size", "20480"])), b"x\n").expect(0);
}

/// The two C programs, compiled for a text of that size; where there is a compiler.
fn c_programs(folder: &Folder, text: usize, optimise: &[&str]) -> Option<[PathBuf; 2]> {
    let sources = [
        ("demo_server", include_str!("../c/demo_server.c")),
        ("demo_client", include_str!("../c/demo_client.c")),
    ];
    let mut programs = Vec::new();
    for (name, source) in sources {
        let file = folder.0.join(format!("{name}.c"));
        std::fs::write(&file, source).expect("the source");
        let program = folder
            .0
            .join(format!("{name}-{text}{}", optimise.concat().replace([' ', '(', ')'], "")));
        let mut cc = Command::new("cc");
        cc.args(optimise).args(["-Wall", "-Werror", &format!("-DTEXT_SZ={text}"), "-o"]);
        let Ok(out) = cc.arg(&program).arg(&file).output() else {
            skipped("no cc (C programs with texts of several sizes)");
            return None;
        };
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        programs.push(program);
    }
    programs.try_into().ok()
}

#[test]
fn c_programs_with_texts_of_other_sizes_read_and_write() {
    let folder = Folder::new();
    let sizes = [256, 1024, 2018, 4096, 16_384];
    for (text, optimise) in sizes.into_iter().flat_map(|text| [(text, "-O0"), (text, "-O2")]) {
        let Some([server, client]) = c_programs(&folder, text, &[optimise]) else { return };
        let longest = "l".repeat(text - 4);
        let lines = format!("one\n\n{longest}\n");
        let channel = Channel::new();
        let c = |program: &PathBuf| {
            let mut command = Command::new(program);
            command.arg(channel.key.to_string());
            command
        };
        // Ours reads, and the segment is as large as theirs.
        let mut writer = Proc::spawn(c(&client));
        writer.feed(format!("{lines}end\n").into_bytes());
        until("their segment", || shm_row(channel.key).is_some());
        let reader = Proc::spawn(channel.server(&DEMO));
        writer.finish_with_stdin().expect(0);
        assert_eq!(reader.finish().expect(0).text(), lines, "{text} {optimise}");
        // Ours writes.
        let view = segment_of(&channel, text);
        view.write(0, &2_i32.to_ne_bytes());
        let reader = Proc::spawn(c(&server));
        until("their server has begun", || view.word(0) == 0);
        drop(view);
        run(channel.client(&DEMO), format!("{lines}end\n").as_bytes()).expect(0);
        let lines = format!("{lines}end\n");
        let wanted: Vec<_> = lines.lines().map(|line| format!("You wrote: {line}\n")).collect();
        assert_eq!(reader.finish().expect(0).text(), wanted.concat());
    }
}

/// C programs that look at the flag all the time, which take a processor of their own.
/// `SHMDEMO_LINES=N`: lines each way (default 500).
#[test]
fn busy_c_programs_lose_nothing_and_hold_nobody_up() {
    let folder = Folder::new();
    let busy = ["-O2", "-DPAUSE()=(void)0"];
    let Some([server, client]) = c_programs(&folder, 2048, &busy) else { return };
    let one =
        matches!(nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN), Ok(Some(1)));
    // On one processor each turn is a whole slice of the scheduler's, and beside much other work on any.
    let lines = if one { 100 } else { 500 };
    let lines = std::env::var("SHMDEMO_LINES").ok().map_or(lines, |n| n.parse().expect("a number"));
    let text = numbered(lines);
    let channel = Channel::new();
    let c = |program: &PathBuf| {
        let mut command = Command::new(program);
        command.arg(channel.key.to_string());
        command
    };
    let reader = Proc::spawn(channel.server(&DEMO));
    until("our segment", || shm_row(channel.key).is_some());
    let begin = std::time::Instant::now();
    let mut writer = Proc::spawn(c(&client));
    writer.feed([&text[..], b"end\n"].concat());
    writer.finish_with_stdin().expect(0);
    assert!(reader.finish().expect(0).stdout == text, "from a busy writer");
    println!("{lines} lines from a busy writer: {:?}", begin.elapsed());
    let view = segment_of(&channel, 2048);
    view.write(0, &2_i32.to_ne_bytes());
    let reader = Proc::spawn(c(&server));
    until("their server has begun", || view.word(0) == 0);
    drop(view);
    let begin = std::time::Instant::now();
    run(channel.client(&DEMO), &[&text[..], b"end\n"].concat()).expect(0);
    let wanted: Vec<_> = (1..=lines).map(|n| format!("You wrote: {n}\n")).collect();
    let wanted = wanted.concat() + "You wrote: end\n";
    assert!(reader.finish().expect(0).text() == wanted, "to a busy reader");
    println!("{lines} lines to a busy reader: {:?}", begin.elapsed());
}

/// Text first, several flags, another struct: what stands there is shown, so that one sees why.
#[test]
fn what_a_segment_of_another_kind_begins_with_is_shown() {
    let channel = Channel::new();
    let view = segment_of(&channel, 3 * 2048);
    view.write(0, b"hello, \x01");
    for program in [channel.server(&DEMO), channel.client(&DEMO)] {
        run(program, b"x\n").fails(76, &["68656c6c6f2c2001", "'hello,..'"]);
    }
    assert_eq!(&view.bytes()[..5], b"hello");
}

/// A mode that is narrower than the C programs' 0666 is as good, where the owner is one's own.
#[test]
fn leftovers_of_a_narrower_mode_are_taken() {
    let channel = Channel::new();
    drop(segment_of(&channel, 2048));
    run(channel.sub("set", &with(&["--mode", "0600"])), b"").expect(0);
    let server = Proc::spawn(channel.server(&with(&["-v"])));
    server.wait_stderr("it serves", |err| err.contains("attached segment"));
    run(channel.client(&DEMO), b"one\nend\n").expect(0);
    let out = server.finish();
    assert_eq!(out.expect(0).text(), "one\n");
    assert!(!out.stderr.contains("everybody can write"), "{}", out.stderr);
}

#[test]
fn a_segment_that_everybody_may_write_is_warned_of_by_who_makes_it() {
    for (mode, open) in [("0600", false), ("0664", false), ("0602", true), ("0666", true)] {
        let channel = Channel::new();
        let mut client = channel.client(&DEMO);
        client.args(["--mode", mode]);
        let out = run(client, b"one\n");
        assert_eq!(out.expect(0).stderr.contains("everybody can write"), open, "{mode}");
    }
}
