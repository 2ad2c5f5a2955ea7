//! When and of what the package is made: the commit, so that the same sources make the same package.

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use der::DateTime;

use crate::workspace::root;

/// What the sources are.
#[derive(Debug)]
pub struct Source {
    /// When they were committed, in seconds since 1970.
    pub time: u64,
    /// How many commits there are.
    commits: u16,
    /// The commit's short name, with a plus sign if something is not committed.
    pub name: String,
}

impl Source {
    /// Asks git, and the environment for `SOURCE_DATE_EPOCH`, which has precedence. Without either it
    /// is now.
    pub fn find() -> Result<Self> {
        let set = env::var("SOURCE_DATE_EPOCH").ok();
        let time = match set.or_else(|| git(&["log", "-1", "--format=%ct"])) {
            Some(text) => text
                .parse()
                .with_context(|| format!("{text} are no seconds since 1970"))?,
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
        };
        let commits = git(&["rev-list", "--count", "HEAD"]);
        let name = git(&["describe", "--always", "--dirty=+", "--exclude=*"]);
        Ok(Self {
            time,
            commits: commits.and_then(|it| it.parse().ok()).unwrap_or_default(),
            name: name.unwrap_or_else(|| "no commit".into()),
        })
    }

    /// The day of the commit, in universal time.
    pub fn date(&self) -> Result<DateTime> {
        DateTime::from_unix_duration(Duration::from_secs(self.time))
            .context("the commit is of no day that there is")
    }

    /// The version of the package: the workspace's, and the number of commits.
    pub fn version(&self) -> [u16; 4] {
        let part = |digits: &str| digits.parse().unwrap_or_default();
        [
            part(env!("CARGO_PKG_VERSION_MAJOR")),
            part(env!("CARGO_PKG_VERSION_MINOR")),
            part(env!("CARGO_PKG_VERSION_PATCH")),
            self.commits,
        ]
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !answer.is_empty()).then_some(answer)
}
