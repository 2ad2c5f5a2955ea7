//! From the start of the process to the end of the first request.

use std::{
    env,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};
use serde::Serialize;
use syncstress_protocol::{VersionReply, ioctl};

use super::Images;
use crate::spread::Spread;

/// What a start takes.
#[derive(Serialize)]
pub struct Start {
    /// Milliseconds from the start of `nthost run` until it has ended, which is after the first request.
    pub whole_run: Spread,
    /// The same with the verifier off.
    pub whole_run_without_verifier: Spread,
}

/// Starts syncstress.sys and asks for its version, so many times.
pub fn measure(images: &Images, rounds: u32) -> Result<Start> {
    let runs = (0..rounds).map(|_| Ok([run(images, "all")?, run(images, "none")?]));
    let runs = runs.collect::<Result<Vec<_>>>()?;
    Ok(Start {
        whole_run: Spread::of(runs.iter().map(|run| run[0])),
        whole_run_without_verifier: Spread::of(runs.iter().map(|run| run[1])),
    })
}

fn run(images: &Images, verifier: &str) -> Result<f64> {
    // Cargo has put the program nthost beside this one.
    let mut command = Command::new(env::current_exe()?.with_file_name("nthost"));
    command
        .args(["run", "--verifier", verifier, "--with"])
        .arg(&images.wdfldr)
        .arg(&images.syncstress)
        .arg("--ioctl")
        .arg(ioctl::QUERY_VERSION.to_string())
        .arg("--out")
        .arg(size_of::<VersionReply>().to_string())
        .stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed();
    ensure!(status.success(), "the first request failed ({status})");
    Ok(time.as_secs_f64() * 1e3)
}
