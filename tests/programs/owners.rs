//! Whose segment is used, and who may use it: other users, groups, user namespaces.

use crate::support::raw;
use crate::support::{run, sem_row, skipped, Channel, Folder, Proc};
use crate::trust::{joiners, refused};
use nix::sys::signal::Signal::SIGTERM;
use nix::unistd::geteuid;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The two programs where another user can run them, and two uids that are nobody's here.
struct Others {
    folder: Folder,
}

pub const ANNE: u32 = 54_321;
const BEN: u32 = 54_322;
const THEIR_GROUP: u32 = 54_323;

impl Others {
    fn here() -> Option<Others> {
        if !geteuid().is_root() {
            skipped("only root can run programs as other users");
            return None;
        }
        let folder = Folder::new();
        std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        for name in ["shmdemo-server", "shmdemo-client"] {
            let program = crate::support::find_program(name).expect("the programs");
            std::fs::copy(program, folder.0.join(name)).expect("a copy for others");
        }
        Some(Others { folder })
    }

    /// The same command, run by this user.
    fn run_as(&self, uid: u32, gid: u32, command: Command) -> Command {
        let name = std::path::Path::new(command.get_program()).file_name().expect("its name");
        let mut theirs = Command::new(self.folder.0.join(name));
        theirs.args(command.get_args()).uid(uid).gid(gid);
        theirs
    }
}

#[test]
fn a_client_never_changes_a_channel_that_is_there() {
    let channel = Channel::new();
    run(channel.client(&["--mode", "0640"]), b"one\n").expect(0);
    let (segment, set) = (channel.segment(), sem_row(channel.key));
    assert_eq!(segment.perms & 0o777, 0o640, "what it creates has its mode");
    let group = if geteuid().is_root() { "1".into() } else { segment.gid.to_string() };
    for args in [&["--mode", "0600"][..], &["--mode", "0666", "--group", &group]] {
        run(channel.client(args), b"two\n").expect(0);
        let now = channel.segment();
        assert_eq!((now.perms, now.gid), (segment.perms, segment.gid), "{args:?}");
        assert_eq!(sem_row(channel.key), set, "{args:?}");
    }
    // A server may, and says so; where nothing changes, there is nothing to say.
    for said in [true, false] {
        let server = channel.running(&["--mode", "0660", "--persist"]);
        assert_eq!(channel.segment().perms & 0o777, 0o660);
        server.signal(SIGTERM);
        let out = server.finish();
        out.expect(0);
        assert_eq!(out.said().contains("they were 0640"), said, "{}", out.stderr);
    }
}

/// Owner, creator and root may change what is there, and a server that is none of them joins it as it is.
#[test]
fn a_server_changes_a_channel_that_it_may_change() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    let make = channel.client(&["--mode", "0660"]);
    run(others.run_as(ANNE, THEIR_GROUP, make), b"").expect(0);
    let mode = || {
        let set = sem_row(channel.key).expect("a set");
        assert_eq!(set.perms & 0o777, channel.segment().perms & 0o777);
        set.perms & 0o777
    };
    let serves = |uid, group, owner: u32, asked, becomes| {
        let owner = owner.to_string();
        let client = channel.client(&["--owner", &owner]);
        run(others.run_as(uid, group, client), b"a line\n").expect(0);
        let server = channel.server(&["--owner", &owner, "--persist", "--mode", asked]);
        let server = Proc::spawn(others.run_as(uid, group, server));
        server.wait_stdout("the line", |out| out == b"a line\n");
        assert_eq!(mode(), becomes, "{asked} by {uid}");
        server.signal(SIGTERM);
        server.finish().expect(0);
    };
    serves(BEN, THEIR_GROUP, ANNE, "0640", 0o660); // of the group alone
    serves(ANNE, ANNE, ANNE, "0640", 0o640); // owner and creator
    serves(0, 0, ANNE, "0660", 0o660);
    raw::shm_give(channel.segment().id, BEN, 0o660);
    raw::sem_give(sem_row(channel.key).expect("a set").id, BEN, 0o660);
    serves(BEN, BEN, ANNE, "0640", 0o640); // its owner, not its creator
    serves(ANNE, ANNE, BEN, "0660", 0o660); // its creator, not its owner
}

#[test]
fn whose_owner_is_accepted_and_whose_mode_is_closed_is_told_what_helps() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    run(channel.client(&[]), b"from root\n").expect(0);
    for mut joiner in joiners(&channel) {
        for args in [&[][..], &["--owner", "root"]] {
            joiner.args(args);
            let again = || {
                let mut again = Command::new(joiner.get_program());
                again.args(joiner.get_args());
                again
            };
            let out = run(others.run_as(ANNE, ANNE, again()), b"x\n");
            let out = out.fails(
                77,
                &[
                    "uid 0",
                    "not --owner",
                    "0600",
                    "let uid 54321 in",
                    "set --uid USER",
                    "set --mode 0660",
                ],
            );
            assert!(!out.said().contains("here: --owner"), "{}", out.stderr);
        }
    }
    // What it says helps.
    run(channel.sub("set", &["--uid", &ANNE.to_string()]), b"").expect(0);
    let server = others.run_as(ANNE, ANNE, channel.server(&["--persist"]));
    let server = crate::support::Proc::spawn(server);
    server.wait_stdout("the line", |out| out == b"from root\n");
    server.signal(SIGTERM);
    server.finish().expect(0);
}

#[test]
fn root_creates_for_the_services_user() {
    let Some(others) = Others::here() else { return };
    for protocol in ["ring", "shared_use_st"] {
        let channel = Channel::new();
        let args = ["--protocol", protocol, "--create-as", &ANNE.to_string()];
        run(channel.client(&args), b"before the server\n").expect(0);
        let (segment, set) = (channel.segment(), sem_row(channel.key).expect("a set"));
        assert_eq!((segment.uid, segment.cuid, set.uid), (ANNE, 0, ANNE));
        assert_eq!((segment.perms & 0o777, set.perms & 0o777), (0o600, 0o600));
        let mut server = channel.server(&["--protocol", protocol]);
        server = others.run_as(ANNE, ANNE, server);
        let server = crate::support::Proc::spawn(server);
        server.wait_stdout("the line", |out| out == b"before the server\n");
        run(channel.client(&args), b"and after\nend\n").expect(0);
        assert_eq!(server.finish().expect(0).text(), "before the server\nand after\n");
        channel.assert_gone();
    }
}

/// In a user namespace that has no number for a user, all such are shown as one.
#[test]
fn a_stranger_without_a_number_here_is_not_taken_for_oneself() {
    let Some(others) = Others::here() else { return };
    if crate::support::find_program("unshare").is_none() {
        return skipped("no unshare");
    }
    let channel = Channel::new();
    let stranger = channel.client(&["--mode", "0660"]);
    run(others.run_as(BEN, THEIR_GROUP, stranger), b"bait\n").expect(0);
    let bytes = channel.bytes();
    let apart = |command: Command| {
        let name = std::path::Path::new(command.get_program()).file_name().expect("its name");
        let mut unshare = Command::new("unshare");
        unshare.arg("--user").arg(others.folder.0.join(name)).args(command.get_args());
        unshare.uid(ANNE).gid(THEIR_GROUP);
        unshare
    };
    let mut version = Command::new("shmdemo-server");
    version.arg("--version");
    if run(apart(version), b"").code() != 0 {
        return skipped("no user namespaces");
    }
    for mut joiner in joiners(&channel) {
        for owner in [&[][..], &["--owner", "65534"]] {
            joiner.args(owner);
            let mut again = Command::new(joiner.get_program());
            again.args(joiner.get_args());
            let out = run(apart(again), b"a secret\n");
            let out = out.fails(77, &["uid 65534", "user namespace", "uid_map"]);
            assert!(!out.said().contains("--owner"), "{}", out.stderr);
        }
    }
    assert_eq!(channel.bytes(), bytes);
}

/// Nor can anything be given to such a one: that is said, and not that the channel is gone.
#[test]
fn a_user_without_a_number_here_is_not_taken_for_a_channel_that_is_gone() {
    if crate::support::find_program("unshare").is_none() {
        return skipped("no unshare");
    }
    let apart = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--ipc", "sh", "-c", script, "sh"]);
        for name in ["shmdemo-client", "shmdemo-server"] {
            unshare.arg(crate::support::find_program(name).expect("both programs"));
        }
        run(unshare, b"a line\n")
    };
    if apart("true").code() != 0 {
        return skipped("no user namespaces");
    }
    for (script, call) in [
        (r#""$1" && "$2" set --uid 70000 --mode 0660"#, "semctl(IPC_SET)"),
        (r#""$1" && "$2" set --gid 70000"#, "semctl(IPC_SET)"),
        (
            r#""$1" --protocol shared_use_st --timeout 0; "$2" set --protocol shared_use_st --uid 70000"#,
            "semctl(IPC_SET)",
        ),
        (r#""$1" --create-as 70000"#, "semctl(IPC_SET)"),
        (r#""$1" --mode 0660 --group 70000"#, "semctl(IPC_SET)"),
    ] {
        let out = apart(script);
        out.fails(73, &[call, "EINVAL", "user namespace", "uid_map"]);
        assert!(!out.said().contains("EIDRM"), "{}", out.stderr);
    }
    // What could not be given to its user is not there.
    let out = apart(r#""$1" --create-as 70000; exec "$2" status"#);
    out.fails(69, &["ENOENT"]);
}

#[test]
fn another_users_segment_is_77_unless_its_owner_is_accepted() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    run(others.run_as(ANNE, ANNE, channel.client(&[])), b"from anne\n").expect(0);
    let made = channel.segment();
    assert_eq!((made.uid, made.cuid, made.perms & 0o777), (ANNE, ANNE, 0o600));
    let (uid, size) = (format!("uid {ANNE}"), made.size.to_string());
    refused(&channel, 77, &[&uid, "0600", &size]);
    for joiner in joiners(&channel) {
        // Ben may not even open it: the kernel says EACCES.
        let out = run(others.run_as(BEN, BEN, joiner), b"x\n");
        out.fails(77, &[&uid, "0600", &size, "--owner"]);
        assert!(!out.said().contains("not --owner"), "that would be next: {}", out.said());
    }
    let bytes = channel.bytes();
    run(channel.client(&["--owner", &BEN.to_string()]), b"x\n").fails(77, &[&uid]);
    assert_eq!(channel.bytes(), bytes);
    let owner = ANNE.to_string();
    run(channel.sub("status", &["--owner", &owner]), b"").expect(0);
    run(channel.client(&["--owner", &owner]), b"from root\nend\n").expect(0);
    let out = run(channel.server(&["--owner", &owner]), b"");
    let mut lines: Vec<_> = out.expect(0).text().lines().map(String::from).collect();
    lines.sort();
    assert_eq!(lines, ["from anne", "from root"]);
    channel.assert_gone();
}

#[test]
fn semaphores_that_are_closed_to_who_may_use_the_segment_are_named() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    let make = channel.client(&["--mode", "0660"]);
    run(others.run_as(ANNE, THEIR_GROUP, make), b"").expect(0);
    raw::sem_give(sem_row(channel.key).expect("a set").id, ANNE, 0o600);
    let client = channel.client(&["--owner", &ANNE.to_string(), "--timeout", "5"]);
    let out = run(others.run_as(BEN, THEIR_GROUP, client), b"x\n");
    out.fails(77, &["semaphore set", "EACCES", "uid 54321", "0600"]);
}

#[test]
fn a_segment_given_away_or_taken_over_is_77() {
    let Some(others) = Others::here() else { return };
    // Made by root, owned by Anne since: for root, its owner is another.
    let channel = Channel::new();
    channel.filled(b"x\n");
    raw::shm_give(channel.segment().id, ANNE, 0o600);
    refused(&channel, 77, &[&format!("uid {ANNE}"), "0600"]);
    // Made by Anne, owned by Ben since: for Ben, its creator is another.
    let channel = Channel::new();
    run(others.run_as(ANNE, ANNE, channel.client(&[])), b"x\n").expect(0);
    raw::shm_give(channel.segment().id, BEN, 0o600);
    let bytes = channel.bytes();
    for joiner in joiners(&channel) {
        run(others.run_as(BEN, BEN, joiner), b"x\n").fails(77, &[&ANNE.to_string()]);
        assert_eq!(channel.bytes(), bytes);
    }
}

#[test]
fn roots_channel_for_a_group_serves_its_members() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    let server = channel.running(&["--mode", "0660", "--group", &THEIR_GROUP.to_string()]);
    let segment = channel.segment();
    assert_eq!((segment.perms & 0o777, segment.gid), (0o660, THEIR_GROUP));
    let outside = others.run_as(ANNE, ANNE, channel.client(&["--timeout", "5"]));
    run(outside, b"x\n").fails(77, &["uid 0", "0660"]);
    let member = others.run_as(BEN, THEIR_GROUP, channel.client(&[]));
    run(member, b"from a member\nend\n").expect(0);
    assert_eq!(server.finish().expect(0).text(), "from a member\n");
    channel.assert_gone();
}

/// It claims all roles, is not allowed to remove (EPERM), and gives them back.
#[test]
fn who_may_not_remove_a_channel_leaves_it_as_it_was() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    let server =
        channel.running(&["--persist", "--mode", "0660", "--group", &THEIR_GROUP.to_string()]);
    server.signal(SIGTERM);
    server.finish().expect(0);
    let set = raw::sem_id(channel.key).expect("a set");
    // The server role, and how many lanes are free.
    let roles = || [raw::sem_get(set, 1), raw::sem_get(set, 2)];
    let before = roles();
    let remove = others.run_as(BEN, THEIR_GROUP, channel.sub("remove", &[]));
    run(remove, b"").fails(77, &["EPERM"]);
    assert_eq!((roles(), before), ([0, 4], [0, 4]));
}

#[test]
fn status_needs_no_more_than_to_read() {
    let Some(others) = Others::here() else { return };
    let channel = Channel::new();
    let gid = THEIR_GROUP.to_string();
    let server = channel.running(&["--mode", "0640", "--group", &gid]);
    let look = others.run_as(BEN, THEIR_GROUP, channel.sub("status", &["--json"]));
    let status = run(look, b"");
    let status = crate::support::Json::parse(&status.expect(0).text()).expect("JSON");
    assert_eq!(crate::support::server_pid(&status), Some(server.pid()));
    let write = others.run_as(BEN, THEIR_GROUP, channel.client(&["--timeout", "5"]));
    run(write, b"x\n").fails(77, &["EACCES"]);
    let alter = others.run_as(BEN, THEIR_GROUP, channel.sub("set", &["--mode", "0666"]));
    run(alter, b"").expect(77);
    let remove = others.run_as(BEN, THEIR_GROUP, channel.sub("remove", &["--force"]));
    run(remove, b"").expect(77);
    assert_eq!(channel.segment().perms & 0o777, 0o640);
}
