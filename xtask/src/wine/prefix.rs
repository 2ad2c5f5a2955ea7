//! A Wine of its own for the tests: its folder, its server, and what runs in it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result};

use super::shim::{Exports, ORIGINAL, RANDOM, Shims};
use crate::{
    process::run_quietly,
    workspace::{create_folder, read},
};

/// Where Debian's wine64 has its programs.
const WINE: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";

/// Wine is there.
pub fn is_installed() -> bool {
    [WINE, SERVER]
        .into_iter()
        .all(|program| Path::new(program).is_file())
}

/// A program that has ended, or was ended.
pub struct Finished {
    /// Its exit code; none if it ran out of time.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// A program that runs.
pub struct Started(Child);

impl Started {
    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        let ended = self
            .0
            .try_wait()
            .context("cannot ask for a program's end")?;
        Ok(ended.is_none())
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<()> {
        self.0.wait().context("cannot wait for a program's end")?;
        Ok(())
    }
}

/// A Wine that nobody else uses. Its server, and all that runs in it, end with it.
pub struct Prefix {
    folder: PathBuf,
    /// The functions that drivers find in its kernel.
    pub kernel: Exports,
}

impl Prefix {
    /// Makes one in `folder`, with what Wine lacks, and without what was there before.
    pub fn create(folder: &Path) -> Result<Self> {
        let mut prefix = Self {
            folder: folder.to_owned(),
            kernel: Exports::default(),
        };
        if folder.exists() {
            prefix.end_server();
            fs::remove_dir_all(folder).context("cannot remove an old prefix of Wine")?;
        }
        create_folder(folder)?;
        let mut boot = prefix.wine(120);
        boot.args(["wineboot", "--init"]);
        run_quietly("making a prefix of Wine", &mut boot)?;
        prefix.wait_for_server()?;
        let original = read(&prefix.system_folder().join("ntoskrnl.exe"))?;
        let shims = Shims::make(original, &folder.join("shims"))?;
        prefix.put("ntoskrnl.exe", &read(&shims.kernel)?)?;
        prefix.put(ORIGINAL, &shims.original)?;
        if !prefix.system_folder().join(RANDOM).exists() {
            prefix.put(RANDOM, &read(&shims.random)?)?;
        }
        prefix.kernel = shims.exports;
        Ok(prefix)
    }

    /// Puts a file into the system folder.
    pub fn put(&self, name: &str, contents: &[u8]) -> Result<()> {
        let place = self.system_folder().join(name);
        // What is there may be a link to Wine's own.
        if place.is_symlink() {
            fs::remove_file(&place).with_context(|| format!("cannot replace {name}"))?;
        }
        fs::write(&place, contents).with_context(|| format!("cannot write {name}"))
    }

    /// Runs a program to its end, or for so many seconds.
    pub fn run(&self, program: &Path, arguments: &[&str], seconds: u32) -> Result<Finished> {
        let mut command = self.wine(seconds);
        command.arg(program).args(arguments);
        let output = command.output().context("cannot start Wine")?;
        Ok(Finished::of(&output))
    }

    /// Starts a program, and ends it after so many seconds.
    pub fn start(&self, program: &Path, arguments: &[&str], seconds: u32) -> Result<Started> {
        let mut command = self.wine(seconds);
        command
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().map(Started).context("cannot start Wine")
    }

    /// Ends everything that runs in it, the driver too. What is run next starts Wine again.
    pub fn end_server(&self) {
        // There may be none, which is not what this is asked to change.
        let _ = self.server().arg("-k").output();
        let _ = self.wait_for_server();
    }

    fn wait_for_server(&self) -> Result<()> {
        run_quietly("waiting for Wine's server", self.server().arg("-w"))?;
        Ok(())
    }

    fn system_folder(&self) -> PathBuf {
        self.folder.join("drive_c/windows/system32")
    }

    fn wine(&self, seconds: u32) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &seconds.to_string(), WINE])
            .env("WINEDEBUG", "-all")
            // Neither Mono nor Gecko nor menus; the kernel is ours before Wine's.
            .env(
                "WINEDLLOVERRIDES",
                "ntoskrnl.exe=n,b;mscoree,mshtml,winemenubuilder.exe=",
            );
        self.enter(&mut command);
        command
    }

    fn server(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "30", SERVER]);
        self.enter(&mut command);
        command
    }

    fn enter(&self, command: &mut Command) {
        command
            .env("WINEPREFIX", &self.folder)
            .env("WINEARCH", "win64")
            .env_remove("DISPLAY");
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        self.end_server();
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit code {code}")?,
            None => f.write_str("it did not end")?,
        }
        write!(f, "\n{}{}", self.stdout, self.stderr)
    }
}

impl Finished {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // What `timeout` says of what it had to end.
        let ended = [Some(124), Some(137), None].contains(&output.status.code());
        Self {
            code: output.status.code().filter(|_| !ended),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}
