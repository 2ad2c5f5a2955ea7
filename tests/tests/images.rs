//! Images that are not as they should be: what the tool says, and that it survives.
#![cfg(not(windows))]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use syncstress_tests::{Finished, images, program};

const FAILED: i32 = 1;
const UNREACHABLE: i32 = 3;
const BUG_CHECK: i32 = 4;

/// An import of the driver, as it stands in the image, and one that no kernel has.
const IMPORT: &[u8] = b"ExAcquireResourceExclusiveLite\0";
const NO_IMPORT: &[u8] = b"ExAcquireResourceExclusiveXyzw\0";

fn run(driver: &Path, loader: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program());
    command
        .arg("--driver")
        .arg(driver)
        .arg("--wdfldr")
        .arg(loader)
        .args(arguments);
    Finished::of(command)
}

/// A copy of the driver in `folder` with its bytes changed.
fn changed(folder: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> PathBuf {
    let bytes = fs::read(images().0).expect("the driver");
    let copy = folder.join("syncstress.sys");
    fs::write(&copy, change(bytes)).expect("a copy");
    copy
}

/// The driver, importing something that no kernel has.
fn with_unknown_import(folder: &Path) -> PathBuf {
    changed(folder, |mut bytes| {
        let at = bytes
            .windows(IMPORT.len())
            .position(|name| name == IMPORT)
            .expect("imported");
        bytes[at..at + IMPORT.len()].copy_from_slice(NO_IMPORT);
        bytes
    })
}

fn unknown_name() -> &'static str {
    std::str::from_utf8(NO_IMPORT)
        .expect("text")
        .trim_end_matches('\0')
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn an_import_that_the_host_lacks_is_named_at_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = with_unknown_import(folder.path());
    let finished = run(&driver, &images().1, &["info"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(finished.stdout.contains(unknown_name()), "{finished:#?}");
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn a_bug_check_is_reported_and_what_ran_before_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = with_unknown_import(folder.path());
    let finished = run(&driver, &images().1, &["test"]).exits_with(BUG_CHECK);
    for text in [
        "BUG CHECK",
        "*** STOP",
        unknown_name(),
        "  passed",
        "did not run",
    ] {
        assert!(finished.stdout.contains(text), "{text}: {finished:#?}");
    }
    let document = run(&driver, &images().1, &["--json", "stress"]).json();
    assert_eq!(document["exit_code"], BUG_CHECK);
    assert!(
        document["bug_check"]["report"]["parameters"].is_array(),
        "{document:#}"
    );
    for list in ["runs", "not_run"] {
        assert!(
            document[list].as_array().is_some_and(|it| !it.is_empty()),
            "{list}: {document:#}"
        );
    }
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn the_stack_of_a_bug_check_has_names_and_lines_from_the_pdb() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = with_unknown_import(folder.path());
    let stack = || {
        let document = run(&driver, &images().1, &["--json", "test"]).json();
        let stack = &document["bug_check"]["report"]["thread"]["stack"];
        stack.as_array().expect("a stack").clone()
    };
    let text = |frame: &serde_json::Value, key: &str| frame[key].as_str().unwrap_or("").to_owned();
    // Without the .pdb there are distances from the beginning of the image.
    for frame in stack() {
        assert_eq!(text(&frame, "line"), "", "{frame}");
        assert!(!text(&frame, "name").contains('!'), "{frame}");
    }
    let symbols = images().0.with_extension("pdb");
    fs::copy(symbols, driver.with_extension("pdb")).expect("the .pdb");
    let stack = stack();
    assert!(!stack.is_empty());
    for frame in &stack {
        assert!(text(frame, "name").starts_with("syncstress!"), "{frame}");
        assert!(text(frame, "line").contains(".rs:"), "{frame}");
    }
    // The innermost has called the import, which is one of the resource's.
    assert!(text(&stack[0], "line").contains("resource"), "{}", stack[0]);
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn a_damaged_image_is_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for keep in [0, 1, 63, 64, 0x200, 0x1000] {
        let driver = changed(folder.path(), |mut bytes| {
            bytes.truncate(keep);
            bytes
        });
        let finished = run(&driver, &images().1, &["info"]).exits_with(UNREACHABLE);
        assert!(
            finished.stderr.contains("syncstress.sys"),
            "{keep}: {finished:#?}"
        );
    }
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn a_driver_without_its_runtime_is_told_what_is_missing() {
    let (driver, _) = images();
    let finished = run(&driver, &driver, &["info"]).exits_with(UNREACHABLE);
    assert!(finished.stderr.contains("WDFLDR"), "{finished:#?}");
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn the_shipped_image_passes_and_nothing_is_missing() {
    let (driver, loader) = images();
    let document = run(&driver, &loader, &["--json", "info"]).json();
    assert_eq!(document["host"]["missing_imports"], serde_json::json!([]));
    assert_eq!(document["host"]["name"], "nthost");
    assert_ne!(document["exit_code"], FAILED);
}
