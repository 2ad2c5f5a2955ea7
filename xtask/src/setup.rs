//! `cargo xtask setup`: finds out what the builds lack, and installs it.

mod rustup;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, anyhow, bail};

use crate::{
    arch::Arch,
    exe, kit,
    llvm::Llvm,
    package::SIGNING_TOOLS,
    process::{run_quietly, showing_progress},
    rust::Rust,
    wine,
};

/// What is to be possible afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Build the driver images.
    Images(Arch),
    /// Run clippy on the driver crates.
    Clippy,
    /// Build syncstress.exe.
    Program(Arch),
    /// Sign a package.
    Signing,
    /// Look at a report.
    Browser,
    /// Install a package under Wine.
    Wine,
    /// Test the debugger's extension.
    Scripts,
}

impl Purpose {
    /// Everything that there is.
    pub const ALL: [Self; 9] = [
        Self::Images(Arch::X64),
        Self::Images(Arch::Arm64),
        Self::Clippy,
        Self::Program(Arch::X64),
        Self::Program(Arch::Arm64),
        Self::Signing,
        Self::Browser,
        Self::Wine,
        Self::Scripts,
    ];
}

/// Something that is not there.
struct Need {
    what: String,
    /// The Debian packages that have it.
    packages: &'static [&'static str],
}

/// The program that runs JavaScript.
pub const NODE: &str = "node";

/// The browser, as Debian calls the package and the program.
const BROWSER: &str = "chromium";

/// Debian's Rust that comes with its own source. It stands beside a rustup toolchain.
const DEBIAN_RUST: &[&str] = &["cargo-web", "rustc-web", "rust-web-src"];

/// Installs whatever is missing for any command.
pub fn run() -> Result<()> {
    rustup::forget_failures()?;
    ensure(&Purpose::ALL)?;
    println!("Everything that the builds need is installed.");
    Ok(())
}

/// Installs what is missing for the purposes. Says what, and nothing when all is there.
pub fn ensure(purposes: &[Purpose]) -> Result<()> {
    for target in targets(purposes) {
        if !Rust::in_use(target).is_some_and(|rust| rust.is_complete()) {
            rustup::try_add(target)?;
        }
    }
    let needs = missing(purposes);
    if needs.is_empty() {
        return Ok(());
    }
    install(purposes, &needs)?;
    if missing(purposes).is_empty() {
        return Ok(());
    }
    bail!(
        "the packages were installed, and still: {}",
        what_is_missing(purposes)
    );
}

/// Names what is missing for the purposes, and the command that installs it.
pub fn what_is_missing(purposes: &[Purpose]) -> String {
    let needs = missing(purposes);
    let what: Vec<_> = needs
        .iter()
        .map(|need| format!("\n  {}", need.what))
        .collect();
    format!(
        "not installed:{}\nOn Debian, `cargo xtask setup` as root or with sudo installs it, as does\n  {}",
        what.concat(),
        apt_get(&needs).join(" "),
    )
}

fn targets(purposes: &[Purpose]) -> Vec<&'static str> {
    let target = |purpose: &Purpose| match purpose {
        Purpose::Images(arch) => Some(arch.target()),
        Purpose::Program(arch) => Some(exe::target(*arch)),
        Purpose::Clippy
        | Purpose::Signing
        | Purpose::Browser
        | Purpose::Wine
        | Purpose::Scripts => None,
    };
    purposes.iter().filter_map(target).collect()
}

fn missing(purposes: &[Purpose]) -> Vec<Need> {
    let mut needs = Vec::new();
    let images = purposes
        .iter()
        .any(|purpose| matches!(purpose, Purpose::Images(_)));
    let llvm = images || purposes.contains(&Purpose::Program(Arch::Arm64));
    if llvm && Llvm::find().is_none() {
        needs.push(Need {
            what: "clang, lld, llvm-lib, llvm-dlltool and libclang".into(),
            packages: &["clang-19", "libclang1-19", "lld-19", "llvm-19"],
        });
    }
    if images && !kit::has_headers() {
        needs.push(Need {
            what: "the DDK headers of mingw-w64".into(),
            packages: &["mingw-w64-common"],
        });
    }
    for target in targets(purposes) {
        if Rust::find(target).is_none() {
            needs.push(Need {
                what: format!("Rust's standard library for {target}, or its source"),
                packages: DEBIAN_RUST,
            });
        }
    }
    if purposes.contains(&Purpose::Clippy)
        && Rust::find(Arch::X64.target()).is_none_or(|rust| !rust.has_clippy())
    {
        needs.push(Need {
            what: "clippy for the driver crates".into(),
            packages: &["rust-web-clippy"],
        });
    }
    if purposes.contains(&Purpose::Program(Arch::X64)) && on_path(exe::LINKER).is_none() {
        needs.push(Need {
            what: format!("the linker {}", exe::LINKER),
            packages: &["gcc-mingw-w64-x86-64-win32"],
        });
    }
    if purposes.contains(&Purpose::Signing)
        && SIGNING_TOOLS.iter().any(|tool| on_path(tool).is_none())
    {
        needs.push(Need {
            what: SIGNING_TOOLS.join(" and "),
            packages: &SIGNING_TOOLS,
        });
    }
    if purposes.contains(&Purpose::Browser) && browser().is_none() {
        needs.push(Need {
            what: "the browser Chromium".into(),
            packages: &[BROWSER],
        });
    }
    if purposes.contains(&Purpose::Wine) && !wine::is_installed() {
        needs.push(Need {
            what: "Wine".into(),
            packages: &["wine64"],
        });
    }
    if purposes.contains(&Purpose::Scripts) && on_path(NODE).is_none() {
        needs.push(Need {
            what: "Node.js, in which the debugger's extension is tested".into(),
            packages: &["nodejs"],
        });
    }
    needs
}

/// The browser in which reports are tested.
pub fn browser() -> Option<PathBuf> {
    on_path(BROWSER)
}

fn apt_get(needs: &[Need]) -> Vec<&'static str> {
    let mut command = vec![
        "apt-get",
        "install",
        "-y",
        "--no-install-recommends",
        "--no-remove",
    ];
    let mut packages: Vec<_> = needs
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    packages.sort_unstable();
    packages.dedup();
    command.extend(packages);
    command
}

fn install(purposes: &[Purpose], needs: &[Need]) -> Result<()> {
    let install = apt_get(needs);
    let root = is_root();
    if on_path("apt-get").is_none() || !root && on_path("sudo").is_none() {
        bail!("{}", what_is_missing(purposes));
    }
    for need in needs {
        println!(
            "missing: {} (Debian: {})",
            need.what,
            need.packages.join(", ")
        );
    }
    // A machine's package lists may be old, or absent: they are read anew only if that is needed.
    let attempt = || apt("installing packages", root, &install);
    let done = attempt().or_else(|_| {
        apt("reading the package lists", root, &["apt-get", "update"])?;
        attempt()
    });
    done.map_err(|error| anyhow!("{error:#}\n\nThat leaves, {}", what_is_missing(purposes)))
}

fn apt(what: &str, root: bool, words: &[&str]) -> Result<()> {
    let words: Vec<_> = if root {
        words.to_vec()
    } else {
        [&["sudo"], words].concat()
    };
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive");
    println!("running: {}", words.join(" "));
    showing_progress(what, || run_quietly(what, &mut command))?;
    Ok(())
}

#[cfg(unix)]
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| {
        use std::os::unix::fs::MetadataExt as _;
        process.uid() == 0
    })
}

#[cfg(not(unix))]
const fn is_root() -> bool {
    false
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file: &PathBuf| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::{DEBIAN_RUST, Need, apt_get};

    #[test]
    fn packages_are_named_once_and_none_is_removed_for_them() {
        let needs = [
            Need {
                what: "one".into(),
                packages: DEBIAN_RUST,
            },
            Need {
                what: "another".into(),
                packages: &["a-package"],
            },
            Need {
                what: "a third".into(),
                packages: DEBIAN_RUST,
            },
        ];
        let command = apt_get(&needs);
        let (options, packages) = command.split_at(5);
        assert!(options.contains(&"--no-remove"), "{command:?}");
        assert_eq!(
            packages,
            ["a-package", "cargo-web", "rust-web-src", "rustc-web"]
        );
    }
}
