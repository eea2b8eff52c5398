//! mosquitto, with a folder and a port of its own.

use crate::Process;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Broker {
    pub port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Broker {
    /// `None`, with a word: there is no mosquitto here.
    pub fn start(more: &str) -> Option<Self> {
        if Command::new("mosquitto").arg("-h").output().is_err() {
            println!("skipped: no mosquitto");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let folder =
            std::env::temp_dir().join(format!("shmdemo-mqtt-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut config = format!(
            "listener {port} 127.0.0.1\nuser root\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nmax_inflight_messages 0\n{more}\n",
            folder.display()
        );
        if !more.contains("allow_anonymous") {
            config += "allow_anonymous true\n";
        }
        if !more.contains("autosave") {
            // At every change that it counts: what is queued, not what is on the way.
            config += "autosave_on_changes true\nautosave_interval 1\n";
        }
        std::fs::write(folder.join("mosquitto.conf"), config).expect("a file");
        let mut broker = Self { port, folder, process: None };
        broker.restart();
        Some(broker)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    pub fn restart(&mut self) {
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.folder.join("mosquitto.conf"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process(command.spawn().expect("mosquitto")));
        crate::until("mosquitto listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Saves what it has, as at `autosave_interval`, and goes on.
    pub fn save(&self) {
        let file = self.folder.join("mosquitto.db");
        let written = || std::fs::metadata(&file).and_then(|file| file.modified()).ok();
        let before = written();
        self.process.as_ref().expect("running").signal("-USR1");
        crate::until("mosquitto has saved", || written() != before);
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.process.take().expect("running").kill();
    }

    /// It saves what it has, and ends.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("running");
        process.signal("-TERM");
        process.finish();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
