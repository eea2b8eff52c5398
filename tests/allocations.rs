//! Neither program allocates per message: the number of heap allocations in a whole run is the
//! same for 1 000 as for 200 000 messages. This test runs itself as server and as client, with an
//! allocator that counts.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{until, Channel, Proc};

/// Set to `server` or `client`: be that program.
const ROLE: &str = "SHMDEMO_TEST_ROLE";

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter takes no part.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn program(role: &str, channel: &Channel) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("path of this test"));
    command.env(ROLE, role).arg("-k").arg(channel.key.to_string());
    command
}

/// The count that the program said at its end.
fn count(mut program: Proc) -> u64 {
    let out = program.finish_with_stdin();
    out.expect(0);
    let line = out.stderr.lines().find_map(|line| line.strip_prefix("allocations "));
    line.expect("a count").parse().expect("a number")
}

/// Allocations of server and client for so many messages.
fn pair(messages: usize) -> (u64, u64) {
    let channel = Channel::new();
    let server = Proc::spawn_with(program("server", &channel), Stdio::null(), Stdio::null());
    until("the server made the segment", || support::shm_row(channel.key).is_some());
    let mut client = Proc::spawn(program("client", &channel));
    let lines: Vec<String> = (0..messages).map(|n| format!("message number {n}\n")).collect();
    client.feed((lines.concat() + "end\n").into_bytes());
    (count(client), count(server))
}

fn main() -> ExitCode {
    let code = match std::env::var(ROLE).as_deref() {
        Ok("server") => shmdemo::program::server(),
        Ok("client") => shmdemo::program::client(),
        _ => {
            let (few, many) = (pair(1_000), pair(200_000));
            println!("\nrunning 1 test");
            println!("(client, server) allocations: {few:?} for 1 000, {many:?} for 200 000");
            assert!(few.0 > 0 && few.1 > 0, "the allocator counts");
            assert_eq!(few, many, "allocations for 1 000 and for 200 000 messages");
            println!("test no_allocation_per_message ... ok");
            println!("\ntest result: ok. 1 passed; 0 failed; 0 ignored\n");
            return ExitCode::SUCCESS;
        }
    };
    eprintln!("allocations {}", COUNT.load(Ordering::Relaxed));
    code
}
