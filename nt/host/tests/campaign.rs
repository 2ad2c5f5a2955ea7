//! The drivers of this workspace, with every allocation failing once, and with late timers: while they start,
//! answer requests and stop.
//!
//! `cargo xtask test` builds them and names them in the environment.
#![cfg(not(windows))]

use std::{env, process::Command};

use serde_json::Value;

/// Allocations that fail in one campaign, at most: a few seconds' worth.
const MOST_RUNS: u64 = 200;

/// A control request of syncstress.sys, by its number (`driver/protocol/src/ioctl.rs`).
const fn syncstress(function: u32) -> u32 {
    0x22_E000 | function << 2
}

/// A request: code, words of input, bytes of output.
type Request<'a> = (u32, &'a [u32], u32);

/// The requests around a run of an item, the first run of the driver: what it can do, the run's start, what there
/// is to know of it meanwhile, and its end, which the closed file brings about if it has not ended by itself.
const fn requests_of_a_run(item: &[u32; 2]) -> [Request<'_>; 10] {
    const RUN: &[u32] = &[1, 0];
    const PAGE: &[u32] = &[1, 0, 0, 0];
    const WAITS: &[u32] = &[1, 0, 0, 1, 0, 0];
    [
        (syncstress(0), &[], 64),
        (syncstress(1), &[0, 0], 4096),
        (syncstress(2), &[1, 0], 4096),
        (syncstress(3), item, 8),
        (syncstress(4), RUN, 64),
        (syncstress(7), PAGE, 4096),
        (syncstress(8), WAITS, 4096),
        (syncstress(9), PAGE, 4096),
        (syncstress(5), RUN, 0),
        (syncstress(6), RUN, 4096),
    ]
}

/// Those of noticeboard.sys (`tests/wdm/noticeboard/src/interface.rs`): post, count, wait for what is not there,
/// read.
const NOTICES: [Request<'_>; 4] = [
    (0x22_A000, &[7, 5, 0, 0, 0, 0, 0, 0], 0),
    (0x22_600C, &[], 12),
    (0x22_6008, &[8, 3], 32),
    (0x22_6004, &[7], 32),
];

fn image(name: &str) -> std::ffi::OsString {
    env::var_os(name).expect("the environment names the images")
}

/// nthost with syncstress.sys and its runtime.
fn nthost_with_syncstress() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nthost"));
    command
        .args(["run", "--json", "--with"])
        .arg(image("SYNCSTRESS_WDFLDR"))
        .arg(image("SYNCSTRESS_SYS"));
    command
}

fn add_requests(command: &mut Command, requests: &[Request<'_>]) {
    for (code, input, size) in requests {
        command.arg("--ioctl").arg(code.to_string());
        if !input.is_empty() {
            let digits = input
                .iter()
                .map(|word| format!("{:08X}", word.swap_bytes()));
            command.arg("--in").arg(digits.collect::<Vec<_>>().concat());
        }
        command.arg("--out").arg(size.to_string());
    }
}

/// Runs the program, and gives its JSON document.
fn document(command: &mut Command) -> Value {
    let output = command.output().expect("the program runs");
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

/// Has each allocation fail, as far as the time allows, and says which functions failed.
fn campaign(mut command: Command) -> Vec<String> {
    command
        .args(["--fault", "alloc=each", "--most-runs"])
        .arg(MOST_RUNS.to_string());
    let campaign = document(&mut command);
    let number = |name: &str| campaign[name].as_u64().expect("a number");
    println!(
        "{} of {} allocations failed: {}",
        number("runs"),
        number("allocations"),
        campaign["functions"]
    );
    assert_eq!(campaign["findings"], serde_json::json!([]), "{campaign:#}");
    // A run in which threads contend may need fewer of them than the one in which they were counted.
    let runs = number("allocations").min(MOST_RUNS);
    assert!(number("runs") > runs * 3 / 4, "{campaign:#}");
    let functions = campaign["functions"].as_object().expect("functions");
    functions.keys().cloned().collect()
}

fn syncstress_campaign(item: u32) -> Vec<String> {
    let mut command = nthost_with_syncstress();
    add_requests(&mut command, &requests_of_a_run(&[item, 0]));
    campaign(command)
}

#[test]
#[ignore = "needs the driver's images: cargo xtask test"]
fn syncstress_takes_every_failure_well_with_threads_that_contend() {
    const RESOURCE: u32 = 4;
    let functions = syncstress_campaign(RESOURCE);
    for function in ["PsCreateSystemThread", "IoCreateDevice"] {
        assert!(
            functions.iter().any(|failed| failed == function),
            "{functions:?}"
        );
    }
}

#[test]
#[ignore = "needs the driver's images: cargo xtask test"]
fn syncstress_takes_every_failure_well_with_timers() {
    const TIMER: u32 = 6;
    syncstress_campaign(TIMER);
}

#[test]
#[ignore = "needs the driver's images: cargo xtask test"]
fn noticeboard_takes_every_failure_well() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nthost"));
    command
        .args(["run", "--json"])
        .arg(image("NOTICEBOARD_SYS"));
    add_requests(&mut command, &NOTICES);
    let functions = campaign(command);
    for function in ["IoCreateSymbolicLink", "IoAllocateWorkItem"] {
        assert!(
            functions.iter().any(|failed| failed == function),
            "{functions:?}"
        );
    }
}

#[test]
#[ignore = "needs the driver's images: cargo xtask test"]
fn late_timers_and_threads_do_no_harm() {
    for seed in 0..8 {
        let mut command = nthost_with_syncstress();
        command.args(["--fault", "time", "--seed", &seed.to_string()]);
        let document = document(&mut command);
        assert_eq!(document["exit_code"], 0, "{document:#}");
    }
}
