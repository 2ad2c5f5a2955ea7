//! The program, and the hosts that it runs the driver on.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::Finished;

/// What the driver runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The driver's code, linked into the program.
    InProcess,
    /// The driver's image in nthost.
    Nthost,
}

impl Host {
    /// The program with this host chosen, and `arguments` after that.
    #[must_use]
    pub fn tool(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        match self {
            Self::InProcess => command.arg("--in-process"),
            Self::Nthost => {
                let (driver, loader) = images();
                command
                    .arg("--driver")
                    .arg(driver)
                    .arg("--wdfldr")
                    .arg(loader)
            }
        };
        command.args(arguments);
        command
    }

    /// Runs the program to its end.
    #[must_use]
    pub fn run(self, arguments: &[&str]) -> Finished {
        Finished::of(self.tool(arguments))
    }

    /// Runs the program to its end and gives its JSON document.
    #[must_use]
    pub fn json(self, arguments: &[&str]) -> serde_json::Value {
        self.run(&[&["--json"], arguments].concat()).json()
    }
}

/// The driver's image and its KMDF runtime's, as the environment names them.
///
/// # Panics
/// If it does not: tests that need them are ignored then.
#[must_use]
pub fn images() -> (PathBuf, PathBuf) {
    let variable = |name| env::var_os(name).map(PathBuf::from).expect(name);
    (variable("SYNCSTRESS_SYS"), variable("SYNCSTRESS_WDFLDR"))
}

/// The program: the one that the environment names, or the one that was built with these tests.
///
/// # Panics
/// If there is neither.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let named = env::var_os("SYNCSTRESS_EXE").map(PathBuf::from);
        let program = named.unwrap_or_else(built_with_these_tests);
        assert!(program.is_file(), "there is no {}", program.display());
        program
    })
}

/// Cargo puts the programs of a package into the directory above that of its tests.
fn built_with_these_tests() -> PathBuf {
    let test = env::current_exe().expect("a running test");
    let directory = test.ancestors().nth(2).expect("target/debug/deps/test");
    directory.join("syncstress-under-test")
}
