//! A kernel that one process keeps for others.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{Finished, program};

/// Longer than anything takes that is waited for.
const HANGS_AFTER: Duration = Duration::from_mins(1);

/// A process that keeps the kernel, in a directory with its socket.
pub struct Server {
    /// There until it was told to end.
    process: Option<Child>,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts it with the command line `host`, which says what the driver runs on.
    ///
    /// # Panics
    /// If it does not serve.
    #[must_use]
    pub fn start(mut host: Command) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        host.args(["--json", "serve"]);
        host.arg(&socket).stdout(Stdio::piped());
        let process = host.spawn().expect("the program runs");
        wait_until(|| socket.exists());
        Self {
            process: Some(process),
            directory,
        }
    }

    /// Where it serves.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Ends it, and gives what it has to say.
    ///
    /// # Panics
    /// If it does not end well.
    #[must_use]
    pub fn end(mut self) -> Value {
        let process = self.process.take().expect("it was not told to end");
        let id = i32::try_from(process.id()).expect("an id");
        kill(Pid::from_raw(id), Signal::SIGINT).expect("it is there");
        let output = process.wait_with_output().expect("it ends");
        Finished::new(&output).exits_with(0).json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failure, which is told by then.
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Waits until this is so.
///
/// # Panics
/// If it is not within a minute.
pub fn wait_until(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < HANGS_AFTER, "it does not happen");
        sleep(Duration::from_millis(20));
    }
}

/// A tool that speaks to the kernel of another one.
#[must_use]
pub fn tool(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("--at").arg(socket).args(arguments);
    command
}

/// The same, started, with its output to be read.
///
/// # Panics
/// If it cannot be run.
#[must_use]
pub fn started(socket: &Path, arguments: &[&str]) -> Child {
    let mut command = tool(socket, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}
