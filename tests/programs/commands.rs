//! `status`, `set`, `remove`; keys by ftok; attach addresses; the log.

use crate::support::{raw, run, sem_row, shm_row, until, Channel, Folder, Json, Proc};
use nix::sys::signal::Signal::SIGTERM;
use nix::unistd::{getegid, geteuid};

/// A sum over the lanes, by a part of the name.
fn sum(status: &Json, part: &str) -> f64 {
    let numbers = status.numbers(part);
    assert!(!numbers.is_empty(), "nothing named {part} in {status:?}");
    numbers.iter().sum()
}

#[test]
fn status_says_what_is_there_as_text() {
    let channel = Channel::new();
    let server = channel.running(&["--mode", "0640"]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"one\n");
    server.wait_stdout("the line", |out| out == b"one\n");
    let out = run(channel.sub("status", &[]), b"");
    let text = out.expect(0).text().to_lowercase();
    let segment = channel.segment();
    for wanted in [segment.id.to_string(), "0640".into(), segment.size.to_string()] {
        assert!(text.contains(&wanted), "no {wanted} in {text}");
    }
    for wanted in [segment.cpid, server.pid(), client.pid()] {
        assert!(text.contains(&wanted.to_string()), "no {wanted} in {text}");
    }
    let key = [channel.key.to_string(), format!("{:x}", channel.key)];
    assert!(key.iter().any(|key| text.contains(key)), "no key in {text}");
    for word in ["owner", "attach", "version", "generation", "server", "lane", "high"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    assert!(
        !text.contains("free") || !text.lines().any(|l| l.contains("server") && l.contains("free"))
    );
    client.finish().expect(0);
    server.signal(nix::sys::signal::Signal::SIGKILL);
    drop(server);
    let out = run(channel.sub("status", &[]), b"");
    let text = out.expect(0).text().to_lowercase();
    let free = text.lines().any(|line| line.contains("server") && line.contains("free"));
    assert!(free, "the server's role is free: {text}");
}

#[test]
fn status_as_json_counts_exactly() {
    let channel = Channel::new();
    channel.filled(b"one\n\nthree\n");
    let status = channel.status();
    let segment = channel.segment();
    let numbers = [segment.id.into(), segment.size as i64, i64::from(segment.uid), segment.cpid];
    for number in numbers {
        assert!(status.holds(number), "no {number} in {status:?}");
    }
    assert_eq!((sum(&status, "sent"), sum(&status, "received")), (3.0, 0.0));
    assert!(sum(&status, "queued") >= 8.0 && sum(&status, "high") >= 8.0, "{status:?}");
    assert_eq!(status.numbers("capacity").len(), 4, "four lanes: {status:?}");
    assert_eq!(crate::support::server_pid(&status).unwrap_or(0), 0, "no server yet");
    let server = channel.running(&["--persist"]);
    server.wait_stdout("all", |out| out == b"one\n\nthree\n");
    until("all are received", || sum(&channel.status(), "received") == 3.0);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"four\n");
    until("four are received", || sum(&channel.status(), "received") == 4.0);
    let status = channel.status();
    assert_eq!((sum(&status, "sent"), sum(&status, "queued")), (4.0, 0.0));
    assert!(status.holds(client.pid()), "the lane's holder: {status:?}");
    run(channel.client(&[]), &[b'x'; 3000]).expect(65);
    assert_eq!(sum(&channel.status(), "long"), 1.0);
}

#[test]
fn a_refused_message_is_counted() {
    let channel = Channel::new();
    let full = run(channel.client(&["--timeout", "0"]), &[b'\n'; 100_000]);
    full.expect(75);
    let status = channel.status();
    assert_eq!(sum(&status, "refused"), 1.0, "{status:?}");
    let queued = sum(&status, "queued");
    let capacity = status.numbers("capacity")[0];
    assert!(queued <= capacity && queued == sum(&status, "high"), "{status:?}");
    let server = channel.running(&[]);
    run(channel.client(&[]), b"end\n").expect(0);
    assert_eq!(server.finish().expect(0).stdout.len() as f64, sum(&status, "sent"));
}

#[test]
fn status_never_changes_the_segment() {
    let channel = Channel::new();
    channel.filled(b"one\ntwo\n");
    let (before, set) = (channel.bytes(), sem_row(channel.key));
    for args in [&[][..], &["--json"], &["-v"], &["-q"]] {
        run(channel.sub("status", args), b"").expect(0);
        assert_eq!(
            (channel.bytes() == before, sem_row(channel.key)),
            (true, set.clone()),
            "{args:?}"
        );
    }
    // A child that another test has just made may have the attach of `bytes`, until it execs.
    until("nobody is attached", || channel.segment().attached == 0);
}

/// What is told at each level: a step, what is to be known, why it ends.
#[test]
fn each_v_and_each_q_is_one_level() {
    let channel = Channel::new();
    let text = raw::View::attach(raw::shm_create(channel.key, 2052, 0o666));
    for (args, told) in [
        (&["-v"][..], [true, true, true]),
        (&[], [false, true, true]),
        (&["-v", "-q"], [false, true, true]),
        (&["-q"], [false, false, true]),
        (&["-v", "-qq"], [false, false, true]),
        (&["-qq"], [false, false, false]),
        (&["-qqq", "-vv"], [false, true, true]),
    ] {
        text.write(0, &[0; 4]); // nobody takes the second line
        let usual = ["--protocol", "shared_use_st", "--timeout", "0"];
        let out = run(channel.client(&[&usual, args].concat()), b"one\ntwo\n");
        out.expect(75);
        let words = ["client: attached", "client: warning: ", "client: error: "];
        assert_eq!(words.map(|word| out.stderr.contains(word)), told, "{args:?}: {}", out.stderr);
    }
}

/// Checks a value against the part of JSON Schema that `doc/status.schema.json` uses.
fn check_schema(schema: &Json, value: &Json, path: &str) {
    let member = |json: &Json, name: &str| match json {
        Json::Object(all) => all.iter().position(|(n, _)| n == name),
        _ => None,
    };
    let get = |name: &str| match schema {
        Json::Object(all) => member(schema, name).map(|at| &all[at].1),
        _ => panic!("{path}: no schema"),
    };
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(n) if n.fract() == 0.0 => "integer",
        Json::Number(_) => "number",
        Json::Text(_) => "string",
        Json::List(_) => "array",
        Json::Object(_) => "object",
    };
    let allowed = match get("type").expect("a type") {
        Json::List(kinds) => kinds.contains(&Json::Text(kind.into())),
        one => *one == Json::Text(kind.into()),
    };
    assert!(allowed, "{path} is a {kind}");
    match value {
        Json::Object(members) => {
            let Some(Json::Object(known)) = get("properties") else { panic!("{path}") };
            let Some(Json::List(required)) = get("required") else { panic!("{path}") };
            assert_eq!(get("additionalProperties"), Some(&Json::Bool(false)));
            let mut wanted: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
            let mut found: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(required.len(), wanted.len(), "{path}: all of it is always there");
            wanted.sort();
            found.sort();
            assert_eq!(found, wanted, "{path}");
            for (name, value) in members {
                let schema = &known.iter().find(|(n, _)| n == name).expect("compared above").1;
                check_schema(schema, value, &format!("{path}.{name}"));
            }
        }
        Json::List(values) => {
            for value in values {
                check_schema(get("items").expect("items"), value, &format!("{path}[]"));
            }
        }
        _ => {}
    }
}

#[test]
fn status_json_is_what_its_schema_says() {
    let schema = Json::parse(include_str!("../../doc/status.schema.json")).expect("the schema");
    let channel = Channel::new();
    channel.filled(b"one\n");
    check_schema(&schema, &channel.status(), "status");
    let _server = channel.running(&[]);
    check_schema(&schema, &channel.status(), "status");
}

#[test]
fn the_log_does_not_grow_with_the_messages() {
    let lines = |messages: u32| {
        let channel = Channel::new();
        let server = channel.running(&["-v"]);
        let input = [crate::support::numbered(messages), b"end\n".to_vec()].concat();
        let client = run(channel.client(&["-v"]), &input);
        let server = server.finish();
        client.expect(0).stderr.lines().count() + server.expect(0).stderr.lines().count()
    };
    let few = lines(1);
    assert!(few > 4, "-v says what it does: {few} lines");
    assert_eq!(lines(20_000), few);
}

#[test]
fn without_a_segment_they_are_69() {
    let channel = Channel::new();
    let key = channel.key.to_string();
    let hex = format!("{:x}", channel.key);
    for (word, args) in [
        ("status", &[][..]),
        ("status", &["--json"]),
        ("set", &["--mode", "0600"]),
        ("remove", &[]),
        ("remove", &["--force"]),
    ] {
        let out = run(channel.sub(word, args), b"");
        out.expect(69);
        let said = out.stderr.to_lowercase();
        assert!(said.contains(&key) || said.contains(&hex), "{word} does not name the key: {said}");
    }
    channel.assert_gone();
}

#[test]
fn set_changes_mode_and_owner_of_segment_and_semaphores() {
    let channel = Channel::new();
    channel.filled(b"kept\n");
    let bytes = channel.bytes();
    run(channel.sub("set", &["--mode", "0640"]), b"").expect(0);
    let modes =
        || (channel.segment().perms & 0o777, sem_row(channel.key).expect("a set").perms & 0o777);
    assert_eq!(modes(), (0o640, 0o640));
    let (uid, gid) = (geteuid().to_string(), getegid().to_string());
    run(channel.sub("set", &["--uid", &uid, "--gid", &gid]), b"").expect(0);
    assert_eq!(modes(), (0o640, 0o640), "what is not named stays");
    if geteuid().is_root() {
        run(channel.sub("set", &["--uid", "54321", "--gid", "54323", "--mode", "0600"]), b"")
            .expect(0);
        let (segment, set) = (channel.segment(), sem_row(channel.key).expect("a set"));
        assert_eq!((segment.uid, segment.gid, set.uid, set.gid), (54_321, 54_323, 54_321, 54_323));
        assert_eq!(modes(), (0o600, 0o600));
    }
    assert_eq!(channel.bytes(), bytes);
}

#[test]
fn remove_refuses_while_a_role_is_held() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    run(channel.sub("remove", &[]), b"").fails(75, &[&server.pid().to_string()]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"x\n");
    server.wait_stdout("the line", |out| out == b"x\n");
    drop(server);
    run(channel.sub("remove", &[]), b"").fails(75, &[&client.pid().to_string()]);
    client.finish().expect(0);
    run(channel.sub("remove", &[]), b"").expect(0);
    channel.assert_gone();
}

#[test]
fn remove_takes_what_a_killed_pair_left() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let client = Proc::spawn(channel.client(&[]));
    until("both are attached", || channel.segment().attached == 2);
    client.kill();
    server.kill();
    run(channel.sub("remove", &[]), b"").expect(0);
    channel.assert_gone();
}

#[test]
fn ftok_makes_the_key() {
    let folder = Folder::new();
    let file = folder.0.join("key");
    std::fs::write(&file, "").expect("a file");
    let (name, key) = (format!("{},66", file.display()), raw::ftok(&file, 66));
    let channel = Channel::with_key(key).expect("a fresh file's key is free");
    let mut client = crate::support::client();
    client.args(["--ftok", &name]);
    run(client, b"by path\n").expect(0);
    assert!(shm_row(key).is_some());
    let mut status = crate::support::server();
    status.args(["status", "--ftok", &name]);
    run(status, b"").expect(0);
    let hex = format!("{key:#x}");
    let mut server = crate::support::server();
    server.args(["--key", &hex]);
    let mut server = Proc::spawn(server);
    server.wait_stdout("the message", |out| out == b"by path\n");
    run(channel.client(&[]), b"end\n").expect(0);
    server.finish_with_stdin().expect(0);
    channel.assert_gone();
}

/// Where the segment is in the process's memory.
fn attached_at(server: &Proc) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("its maps");
    let segments = maps.lines().filter(|line| line.contains("/SYSV"));
    segments.map(|line| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_attach_address_is_the_one_asked_for() {
    let channel = Channel::new();
    let server = channel.running(&["--address", "0x50000000", "--persist"]);
    assert_eq!(attached_at(&server), [0x5000_0000]);
    let mut client = Proc::spawn(channel.client(&["--address", "60000000"]));
    client.write(b"hello\n");
    server.wait_stdout("the line", |out| out == b"hello\n");
    assert_eq!(attached_at(&client), [0x6000_0000]);
    client.finish().expect(0);
    server.signal(SIGTERM);
    server.finish().expect(0);
    let out = run(channel.server(&["--address", "0x50001234"]), b"");
    assert_ne!(out.code(), 0, "not a page's address, and no --round");
    out.fails(out.code(), &["--address", "EINVAL"]);
    let server = channel.running(&["--address", "0x50001234", "--round"]);
    let at = attached_at(&server);
    assert!(at == [0x5000_1000] || at == [0x5000_0000], "rounded down (SHMLBA): {at:x?}");
}

#[test]
fn lock_locks_the_segment() {
    const SHM_LOCKED: u32 = 0o2000;
    let channel = Channel::new();
    let server = channel.running(&["--lock", "--persist"]);
    assert_eq!(channel.segment().perms & SHM_LOCKED, SHM_LOCKED);
    server.signal(SIGTERM);
    server.finish().expect(0);
    let channel = Channel::new();
    channel.filled(b"x\n");
    assert_eq!(channel.segment().perms & SHM_LOCKED, 0, "not asked for");
    run(channel.client(&["--lock"]), b"x\n").expect(0);
    assert_eq!(channel.segment().perms & SHM_LOCKED, SHM_LOCKED);
}

#[test]
fn verbose_tells_each_step() {
    let channel = Channel::new();
    let server = channel.running(&["-v"]);
    let id = channel.segment().id.to_string();
    let address = format!("{:x}", attached_at(&server)[0]);
    let client = run(channel.client(&["-v"]), b"end\n");
    let server = server.finish();
    server.fails(0, &[&id, "attached", &address, "server role", "detach", "remov"]);
    client.fails(0, &[&id, "attached", "lane 0", "detach"]);
    assert_eq!(client.stdout, b"");
}

#[test]
fn a_good_run_needs_no_words() {
    let channel = Channel::new();
    for args in [&[][..], &["-q"]] {
        let server = channel.running(args);
        assert_eq!(run(channel.client(args), b"x\nend\n").expect(0).stderr, "");
        assert_eq!(server.finish().expect(0).stderr, "");
    }
}
