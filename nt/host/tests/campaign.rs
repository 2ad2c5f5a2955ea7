//! The drivers of this workspace, with every allocation failing once, and with late timers.
//!
//! `cargo xtask test` builds them and names them in the environment.

use std::{env, process::Command};

use serde_json::Value;

/// Runs the program with syncstress.sys and its runtime, and gives its JSON document.
fn run(arguments: &[&str]) -> Value {
    let image = |name| env::var_os(name).expect("the environment names the images");
    let output = Command::new(env!("CARGO_BIN_EXE_nthost"))
        .args(["run", "--json", "--with"])
        .arg(image("SYNCSTRESS_WDFLDR"))
        .arg(image("SYNCSTRESS_SYS"))
        .args(arguments)
        .output()
        .expect("the program runs");
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

#[test]
#[ignore = "needs the driver's images: cargo xtask test"]
fn every_allocation_that_fails_is_taken_well() {
    let campaign = run(&["--fault", "alloc=each"]);
    assert_eq!(campaign["findings"], serde_json::json!([]), "{campaign:#}");
    assert!(campaign["runs"].as_u64() > Some(10), "{campaign:#}");
}

#[test]
#[ignore = "needs the driver's images: cargo xtask test"]
fn late_timers_and_threads_do_no_harm() {
    for seed in 0..8 {
        let document = run(&["--fault", "time", "--seed", &seed.to_string()]);
        assert_eq!(document["exit_code"], 0, "{document:#}");
    }
}
