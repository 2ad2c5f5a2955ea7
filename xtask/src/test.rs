//! `cargo xtask test`: every test there is.

mod steps;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use steps::Steps;

use crate::{
    arch::Arch,
    bench,
    build::{self, Images, WatchedImages},
    c_driver, exe, lint,
    package::{self, Sign},
    process,
    process::outer_cargo,
    setup, wine,
    workspace::{generated, root},
};

/// Runs them all, and ends with a table.
pub fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.take("setup", || setup::ensure(&setup::Purpose::ALL));
    steps.take("formatting", lint::fmt_check);
    let images = steps.take("images, x64", || build::images(Arch::X64, true));
    let watched = steps.take("images, x64, lockdep", || build::watched(true));
    let under_test = UnderTest { images, watched };
    // Only what compiles goes side by side: it leaves processors idle, and its result depends on no time.
    let ((), package) = steps.side_by_side(
        |steps| compile_tests(steps, &under_test),
        compile_for_windows,
    );
    steps.take("tests", || tests(&under_test));
    steps.take("tests, lockdep and lock_stat", lock_feature_tests);
    steps.take("tests, optimised", || optimised_tests(&under_test));
    steps.take("instructions of the locks", instruction_tests);
    steps.take("tests, debugger extension", || extension_tests(&under_test));
    steps.take("documentation", || lint::doc_in(under_test.cargo()));
    steps.take("Wine", || under_wine(package.as_deref(), &under_test));

    println!("\n{}", steps.table());
    match steps.failures() {
        0 => Ok(()),
        count => bail!("{count} of {} steps failed", steps.count()),
    }
}

/// What is compiled for the host.
fn compile_tests(steps: &mut Steps, under_test: &UnderTest) {
    steps.take("clippy, host", || lint::clippy_in(under_test.cargo()));
    steps.take("compiling tests", || {
        let mut command = host_tests(under_test);
        process::run("compiling tests", command.arg("--no-run"))
    });
    steps.take("compiling tests, optimised", || {
        let mut command = tests_of_nthost(under_test)?;
        process::run("compiling tests", command.arg("--no-run"))
    });
}

/// What is compiled for Windows and not tested on the host. Gives the package for x64.
fn compile_for_windows(steps: &mut Steps) -> Option<PathBuf> {
    steps.take("clippy, driver crates", lint::clippy_on_drivers);
    steps.take("clippy, for Windows", exe::clippy);
    steps.take("syncstress.exe, x64", || exe::build(Arch::X64, true));
    let package = steps.take("package, x64", || package::make(Arch::X64, Sign::Test));
    steps.take("package, ARM64", || package::make(Arch::Arm64, Sign::Test));
    // Again, with the program beside them, which has the driver's name.
    steps.take("images, ARM64", || build::images(Arch::Arm64, true));
    package
}

/// The images, as far as their steps have built them.
struct UnderTest {
    images: Option<Images>,
    watched: Option<WatchedImages>,
}

impl UnderTest {
    /// Cargo, with what there is named in its environment. What is not there has failed to build, and
    /// the tests that need it are shown as ignored.
    ///
    /// The environment decides what of the end-to-end tests is compiled, so every command of the host
    /// has the same.
    fn cargo(&self) -> Command {
        let mut command = outer_cargo();
        if let Some(images) = &self.images {
            name_images(&mut command, images);
        }
        if let Some(watched) = &self.watched {
            command.env("SYNCSTRESS_LOCKDEP_SYS", &watched.driver);
        }
        // What cannot be installed is told by the first step.
        command.envs(setup::browser().map(|browser| ("SYNCSTRESS_BROWSER", browser)));
        command
    }

    fn images(&self) -> Result<&Images> {
        self.images.as_ref().context("there are no images to test")
    }
}

/// Names the images in the environment of tests.
pub fn name_images(command: &mut Command, images: &Images) {
    command
        .env("SYNCSTRESS_SYS", &images.driver)
        .env("NOTICEBOARD_SYS", &images.noticeboard)
        .envs(images.wdfldr.iter().map(|it| ("SYNCSTRESS_WDFLDR", it)));
}

// Which packages a command names decides with which features cargo compiles their dependencies, and
// so whether it compiles them again. The commands of one profile therefore name the same packages, or
// none, and say by the target what is to be run.

/// Everything on the host, the images in nthost too.
fn tests(under_test: &UnderTest) -> Result<()> {
    let mut command = host_tests(under_test);
    process::run("tests on the host", command.arg("--no-fail-fast"))
}

fn host_tests(under_test: &UnderTest) -> Command {
    let mut command = under_test.cargo();
    command.args(["test", "--locked"]);
    command
}

/// What `wdk-sync` and the driver do with the features, and that the locks work with them.
fn lock_feature_tests() -> Result<()> {
    let mut command = outer_cargo();
    command
        .args(["clippy", "--locked", "--all-targets"])
        .args([
            "--features",
            "syncstress-stress/lockdep,syncstress-stress/lock_stat",
        ])
        .args(["--", "-Dwarnings"]);
    process::run("clippy with lockdep and lock_stat", &mut command)?;
    let mut command = outer_cargo();
    command.args(["test", "--locked"]);
    command.args(["--features", "wdk-sync/lockdep,wdk-sync/lock_stat"]);
    for test in [
        "lockdep",
        "lockdep_full",
        "lockdep_hammer",
        "lockdep_locks",
        "lock_stat",
        "spin_locks",
        "thread_locks",
    ] {
        command.args(["--test", test]);
    }
    process::run("tests of lockdep and lock_stat", &mut command)
}

/// nthost as it is used, which is optimised: with the driver in C, with the images when whatever can
/// fail does, and with the behaviour tests linked to it.
fn optimised_tests(under_test: &UnderTest) -> Result<()> {
    let mut command = tests_of_nthost(under_test)?;
    command.args(["--", "--include-ignored"]);
    process::run("tests of nthost, optimised", &mut command)
}

fn tests_of_nthost(under_test: &UnderTest) -> Result<Command> {
    under_test.images()?;
    let mut command = under_test.cargo();
    command
        .args(["test", "--locked", "--release"])
        .args(["--package", "nthost", "--package", "syncstress-stress"])
        .args(["--test", "c_driver", "--test", "campaign"])
        .args(["--test", "behaviour"])
        .env("NTHOST_C_DRIVER", c_driver::build()?);
    Ok(command)
}

fn under_wine(package: Option<&Path>, under_test: &UnderTest) -> Result<()> {
    let wdfldr = under_test.images()?.wdfldr.as_deref();
    let (Some(package), Some(wdfldr)) = (package, wdfldr) else {
        bail!("there is no package to install");
    };
    wine::end_to_end(package, wdfldr)
}

/// The locks beside the raw calls, instruction by instruction.
fn instruction_tests() -> Result<()> {
    let mut command = outer_cargo();
    command
        .args(["test", "--locked"])
        .args(["--test", "instructions", "--", "--ignored"])
        .env("LOCKBENCH_SYS", bench::image()?);
    process::run("comparing instructions", &mut command)
}

/// The debugger's extension, in Node.js, on memory of nthost while each driver holds every pattern.
fn extension_tests(under_test: &UnderTest) -> Result<()> {
    let images = under_test.images()?;
    let Some(watched) = &under_test.watched else {
        bail!("there is no image that watches its locks to look at");
    };
    // `cargo run` would look at its package alone, and compile the dependencies of that again.
    let mut command = under_test.cargo();
    command.args(["build", "--locked", "--bin", "held-memory"]);
    process::run("what takes memory of nthost", &mut command)?;
    let program = env::current_exe()?.with_file_name("held-memory");
    let memory = generated().join("memory");
    for (name, driver) in [("plain", &images.driver), ("lockdep", &watched.driver)] {
        let mut command = Command::new(&program);
        command
            .args([driver, &watched.wdfldr, &memory.join(name)])
            .env("SYNCSTRESS_LOCKDEP_SYS", &watched.driver);
        process::run("memory of nthost", &mut command)?;
    }
    let mut command = Command::new(setup::NODE);
    command
        .args(["--test", "tests/windbg/syncstress.test.mjs"])
        .env("SYNCSTRESS_MEMORY", &memory)
        .current_dir(root());
    process::run("tests of the debugger's extension", &mut command)
}
