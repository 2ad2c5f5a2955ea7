//! The report as a browser lays it out.
#![cfg(not(windows))]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use syncstress_tests::{Finished, SHORT, program};

const CHECK: &str = include_str!("../src/page_check.js");

/// A report of a sweep, with the locks of the driver itself.
fn report(directory: &Path) -> String {
    let driver = env::var_os("SYNCSTRESS_LOCKDEP_SYS").map(PathBuf::from);
    let page = directory.join("report.html");
    let mut command = Command::new(program());
    command
        .arg("--driver")
        .arg(driver.expect("SYNCSTRESS_LOCKDEP_SYS"))
        .args(["sweep", "spinlock", "resource", "timer-accuracy"])
        .args(["--seconds", SHORT, "--threads", "2,4", "--save"])
        .arg(&page);
    let _ = Finished::of(command).exits_with(0);
    fs::read_to_string(page).expect("a page")
}

/// What a browser of this width finds of the page, which it also takes a picture of.
fn look(page: &Path, width: u32, dark: bool) -> Value {
    let browser = env::var_os("SYNCSTRESS_BROWSER").expect("SYNCSTRESS_BROWSER");
    let directory = page.parent().expect("a directory");
    let shades = if dark { "dark" } else { "light" };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let picture = pictures.join(format!("report-{width}-{shades}.png"));
    let mut command = Command::new(&browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
    ]);
    if dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    let profile = directory.join("profile");
    command
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},4000"))
        .arg(format!("--screenshot={}", picture.display()))
        .args(["--dump-dom", &format!("file://{}", page.display())]);
    let page = Finished::of(command).exits_with(0).stdout;
    let answer = page.split("<pre id=\"checked\">").nth(1);
    let answer = answer.and_then(|rest| rest.split("</pre>").next());
    let answer = percent_encoding::percent_decode_str(answer.expect("an answer"));
    serde_json::from_slice(&answer.collect::<Vec<u8>>()).expect("JSON")
}

#[test]
#[cfg_attr(
    not(all(browser, lockdep_image)),
    ignore = "needs a browser and a driver that watches its locks: cargo xtask test"
)]
fn nothing_overlaps_and_every_axis_has_a_unit() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = report(directory.path());
    for section in [
        "not Windows",
        "Throughput against threads",
        "Waits",
        "Timer jitter",
        "Fairness",
        "The driver's locks",
    ] {
        assert!(page.contains(section), "{section}");
    }
    let (before, after) = page.split_once("</body>").expect("a body");
    let checked = directory.path().join("checked.html");
    let page = format!("{before}<script>{{{CHECK}}}</script></body>{after}");
    fs::write(&checked, page).expect("it is written");
    for (width, dark) in [(1280, false), (1280, true), (500, false)] {
        let found = look(&checked, width, dark);
        assert_eq!(
            found["problems"],
            serde_json::json!([]),
            "{width}, dark {dark}: {found:#}"
        );
        assert_eq!(found["width"], width);
        assert_eq!(found["dark"], dark);
        assert!(found["plots"].as_u64() >= Some(4), "{found:#}");
        assert!(found["texts"].as_u64() > Some(100), "{found:#}");
    }
}
