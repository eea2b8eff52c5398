//! What `--help` says.

pub(super) const COMMON_HELP: &str = "\
  -k, --key KEY        IPC key, decimal or 0x hex, not 0 [default: 1234]
      --ftok PATH,ID   key made by ftok(3) of an existing PATH and ID, a
                       character or 1..255, instead of --key
  -0, --null           messages end with NUL instead of newline
      --protocol NAME  ring, or shared_use_st: the C demo's segment, a flag and
                       a text, for its unchanged C programs [default: ring]
      --text-size BYTES
                       (shared_use_st) size of the text, 1..64K [default: what
                       the segment has; 2048 for a new one]
      --foreign-semaphore
                       (shared_use_st) wait for the C programs' own binary
                       semaphore under the key, and use it as they do
      --owner USER     also accept a segment of this user, name or uid
                       [default: own euid and root]
      --address HEX    attach at this address [default: the kernel's choice]
      --round          round --address down to a multiple of SHMLBA (SHM_RND)
      --lock           keep the segment out of swap (SHM_LOCK)
      --syslog         log to syslog instead of stderr
  -v, --verbose        log more: each step; twice: details
  -q, --quiet          log less: errors only; twice: nothing
  -h, --help           this text
  -V, --version        name and version
";

pub(super) const SERVER_HELP: &str = "\
shmdemo-server: prints the messages that clients send through System V shared
memory. Creates or joins the segment; end, SIGTERM or SIGINT remove it.

Usage: shmdemo-server [OPTIONS]
       shmdemo-server status [--json] [--watch SECONDS] [OPTIONS]
       shmdemo-server set [--mode OCTAL] [--uid USER] [--gid GROUP] [OPTIONS]
       shmdemo-server remove [--force] [OPTIONS]
       shmdemo-server relay ...

Server (sizes count when it creates the segment):
      --lanes N        clients there can be at once, 1..32 [default: 4]
      --size BYTES     each lane's ring, 256..16M, K and M suffix, rounded up
                       to a power of two [default: 16K, or what --max-message
                       needs]
      --max-message BYTES
                       longest message, 1..64K [default: 2048]
      --mode OCTAL     mode of segment and semaphores, 0600..0777; given, it
                       is set on those that are there, too [default: 0600]
      --group GROUP    their group, name or gid; likewise
      --prefix TEXT    printed before each message, up to 256 bytes; the C
                       demo's was 'You wrote: '
      --end-word WORD  (shared_use_st) the text that stops the server, as the
                       C program has it; empty: none does [default: end]
      --persist        service: end does not stop the server, and stopping
                       leaves the segment and what is in it

relay: passes messages on to other segments; what it knows: relay --help

status: what the segment, the roles and the lanes are (changes nothing)
      --json           one JSON object a line
      --watch SECONDS  again and again, 0.1..86400

set: owner, group, mode of segment and semaphores (IPC_SET)
      --mode OCTAL     new mode, 0000..0777
      --uid USER       new owner, name or uid
      --gid GROUP      new group, name or gid

remove: removes segment and semaphores (IPC_RMID), unless somebody uses them
      --force          even if somebody does, or if they are damaged

Both programs (status, set and remove know no -0, --address, --round, --lock,
nor --text-size, nor --foreign-semaphore):
";

#[cfg(feature = "relay")]
pub(super) const RELAY_HELP: &str = "\
shmdemo-server relay: takes messages from one segment, passes them on to
others, and lets go of each when all have it. Whoever is killed, none is lost;
some may come twice. end is passed on, and ends the relay.

Usage: shmdemo-server relay --from KEY --to KEY [--to KEY ...] [OPTIONS]

      --from KEY       where messages are taken from, as their server does; a
                       KEY is decimal or 0x hex, with :shared_use_st behind it
                       where the segment is the C demo's
      --to KEY         where they go, as a client's do; 8 times at the most
      --foreign-semaphore
                       (of the --from or --to before it) the C programs have
                       a binary semaphore under the key: use it as they do
      --when-full HOW  (of the --to before it) wait, or drop the message, which
                       status counts as refused [default: wait]
      --skip-too-long  a message that can't go to a target is left out there,
                       counted and told, instead of ending the relay (65)
      --end-word WORD  what ends the C programs [default: end]
      --end-whole      they compare whole lines with it: send those that begin
                       with WORD and are longer
      --persist        service: end does not stop the relay, nor pass
      --owner USER     also accept segments of this user, name or uid
      --syslog         log to syslog instead of stderr
  -v, --verbose        log more: each step; twice: details
  -q, --quiet          log less: errors only; twice: nothing
  -h, --help           this text
  -V, --version        name and version
";

pub(super) const CLIENT_HELP: &str = "\
shmdemo-client: sends each line of stdin as one message through System V
shared memory to shmdemo-server. Messages sent before a server runs are kept.

Usage: shmdemo-client [OPTIONS]

      --no-create      wait for the server's segment, do not create it
      --end-word WORD  a line equal to WORD stops client and server; empty:
                       no line does [default: end]
      --end-whole      (shared_use_st) send lines that begin with WORD and are
                       longer: the C program compares whole lines
      --timeout SECONDS
                       longest wait for the segment, a free lane or room;
                       0: never wait [default: forever]
      --mode OCTAL     mode of what is created, 0600..0777; 0666 also accepts
                       a segment that everybody can write [default: 0600]
      --group GROUP    group of what is created, name or gid
      --create-as USER owner of what is created, name or uid; also accepted,
                       as with --owner: for root, before the service's server

Both programs:
";

pub(super) const EXIT_HELP: &str = "
Exit codes: 0 done; 64 usage; 65 message too long; 69 no System V IPC, no
segment, or removed while in use; 73 cannot create; 74 input or output; 75 busy
or timed out; 76 not ours or damaged; 77 permission; 129, 130, 143 stopped by a
signal
";

#[cfg(test)]
mod tests {
    use super::*;

    /// The document shows the memory map of `segment/layout.rs`, to the letter.
    #[test]
    fn memory_map_is_in_step() {
        let page = include_str!("../../doc/memory-map.md");
        let source = include_str!("../segment/layout.rs");
        let mut rows = 0;
        for row in source.lines().filter_map(|l| l.strip_prefix("//! |")) {
            let row = row.replace("[`", "`").replace("`]", "`");
            assert!(page.contains(&format!("|{row}\n")), "memory map: |{row}");
            rows += 1;
        }
        assert!(rows >= 30, "the memory map has {rows} rows");
    }

    /// The README names options that there are, and every exit code.
    #[test]
    fn readme_is_in_step() {
        let readme = include_str!("../../README.md");
        let help = [SERVER_HELP, CLIENT_HELP, COMMON_HELP].concat();
        let table = readme.split("| option | program |").nth(1).expect("the table of options");
        let (table, _) = table.split_once("\n\n").expect("its end");
        let cells = table.split('`').skip(1).step_by(2);
        let options = cells.map(|cell| cell.split(' ').next().unwrap());
        let mut named = 0;
        for option in options.filter(|option| option.starts_with('-')) {
            assert!(
                help.contains(&format!("{option} ")) || help.contains(&format!("{option},")),
                "{option}"
            );
            named += 1;
        }
        assert!(named >= 14, "the README names {named} options");
        for code in EXIT_HELP.split(|c: char| !c.is_ascii_digit()).filter(|code| !code.is_empty()) {
            let rows = [
                format!("\n| {code} |"),
                format!("\n| {code},"),
                format!(", {code} |"),
                format!(" {code},"),
            ];
            assert!(rows.iter().any(|row| readme.contains(row)), "exit code {code}");
        }
    }

    /// Every test that the security page names exists.
    #[test]
    fn security_page_is_in_step() {
        let files = [
            ("aside.rs", include_str!("../../tests/programs/aside.rs")),
            ("commands.rs", include_str!("../../tests/programs/commands.rs")),
            ("exchange.rs", include_str!("../../tests/programs/exchange.rs")),
            ("rules.rs", include_str!("../../tests/programs/rules.rs")),
            ("trust.rs", include_str!("../../tests/programs/trust.rs")),
            ("owners.rs", include_str!("../../tests/programs/owners.rs")),
            ("src/ring/tests.rs", include_str!("../ring/tests.rs")),
        ];
        let page = include_str!("../../doc/security.md");
        let words: Vec<&str> = page.split('`').collect();
        let mut named = 0;
        for three in words.windows(3) {
            let Some((file, text)) = files.iter().find(|(name, _)| *name == three[0]) else {
                continue;
            };
            named += 1;
            let test = three[2];
            assert!(text.contains(&format!("#[test]\nfn {test}()")), "{file} has no test {test}");
        }
        assert!(named > 12, "the page names {named} tests");
    }
}
