//! Processes that keep every processor, its caches and the kernel busy.

use crate::pair;
use anyhow::Result;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, ForkResult, Pid};
use std::io::{Read, Seek, Write};

/// Ended when dropped.
pub struct Load(Vec<Pid>);

impl Load {
    /// Two processes for each processor: one walks through memory, one makes system calls.
    pub fn start(cpus: &[usize]) -> Result<Self> {
        let mut load = Self(Vec::new());
        for cpu in cpus {
            for job in [walk, call] {
                // SAFETY: this process has one thread.
                match unsafe { fork() }? {
                    ForkResult::Child => {
                        pair::end_with_parent();
                        let _ = pair::pin(*cpu);
                        job();
                        std::process::exit(1);
                    }
                    ForkResult::Parent { child } => load.0.push(child),
                }
            }
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for pid in &self.0 {
            // Own children, not waited for yet.
            let _ = kill(*pid, Signal::SIGKILL);
            let _ = waitpid(*pid, None);
        }
    }
}

/// More than a cache holds.
const MEMORY: usize = 48 << 20;

fn walk() {
    let mut memory = vec![0_u8; MEMORY];
    let mut at = 0_usize;
    loop {
        memory[at] = memory[at].wrapping_add(1);
        at = (at + 4160) % MEMORY;
        std::hint::black_box(&memory);
    }
}

fn call() {
    let path = std::env::temp_dir().join(format!("shmdemo-load-{}", std::process::id()));
    let options = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let Ok(mut file) = options else { return };
    let _ = std::fs::remove_file(&path);
    let mut block = vec![1; 256 << 10];
    loop {
        let moved = file.rewind().and_then(|()| file.write_all(&block));
        if moved.and_then(|()| file.rewind()).and_then(|()| file.read_exact(&mut block)).is_err() {
            return;
        }
        // Fresh pages each time.
        block = block.clone();
    }
}
