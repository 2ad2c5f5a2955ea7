//! The locks of wdk-sync beside the raw calls in lockbench.sys: the same instructions, or a difference
//! that is explained.
//!
//! `cargo xtask test` builds the driver and names it in `LOCKBENCH_SYS`.

use std::{env, process::Command};

#[test]
#[ignore = "needs lockbench.sys: cargo xtask test"]
fn a_difference_is_explained() {
    let driver = env::var_os("LOCKBENCH_SYS").expect("LOCKBENCH_SYS names the driver");
    // The table that it prints is for who runs the tests, too.
    let status = Command::new(env!("CARGO_BIN_EXE_lockbench-host"))
        .arg("--driver")
        .arg(driver)
        .args(["asm", "--brief"])
        .status()
        .expect("the program starts");
    assert!(status.success(), "{status}");
}
