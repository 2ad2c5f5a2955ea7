//! Ctrl-C while a scenario runs.
#![cfg(not(windows))]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use syncstress_tests::{Finished, Host, Items, on_every_host};

/// Longer than any of these tests takes.
const SECONDS: &str = "120";
const INTERRUPTED: i32 = 5;

/// The program in the middle of a long scenario, and what it printed so far.
fn started(host: Host, scenario: &str) -> (Child, String) {
    let mut command = host.tool(&["stress", scenario, "--seconds", SECONDS]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut heading = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut heading).expect("a heading");
    // No more than the heading comes for some seconds, so the reader holds nothing back.
    child.stdout = Some(reader.into_inner());
    sleep(Duration::from_secs(1));
    (child, heading)
}

fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).expect("an id");
    kill(Pid::from_raw(id), signal).expect("the program is there");
}

on_every_host! {
    fn the_first_stops_the_run_and_keeps_its_result(host) {
        let items = Items::of(host);
        let scenario = items.scenarios()[0];
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let (child, heading) = started(host, scenario);
            assert!(heading.contains("not Windows"), "{heading}");
            let asked = Instant::now();
            send(&child, signal);
            let finished = Finished::new(&child.wait_with_output().expect("it ends"));
            assert!(asked.elapsed() < Duration::from_secs(20), "{finished:#?}");
            let finished = finished.exits_with(INTERRUPTED);
            for text in [scenario, "stopped", "INTERRUPTED", "nothing left behind at unload"] {
                assert!(finished.stdout.contains(text), "{text}: {finished:#?}");
            }
        }
    }

    fn the_second_ends_the_program_at_once(host) {
        let items = Items::of(host);
        let (mut child, _) = started(host, items.scenarios()[0]);
        send(&child, Signal::SIGINT);
        // Two signals that are pending at the same time are one.
        sleep(Duration::from_millis(20));
        let asked = Instant::now();
        if child.try_wait().expect("a child").is_none() {
            send(&child, Signal::SIGINT);
        }
        let finished = Finished::new(&child.wait_with_output().expect("it ends"));
        assert!(asked.elapsed() < Duration::from_secs(5), "{finished:#?}");
        let _ = finished.exits_with(INTERRUPTED);
    }

    fn what_did_not_run_is_named(host) {
        let mut command = host.tool(&["--json", "stress", "--seconds", SECONDS]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        sleep(Duration::from_secs(4));
        send(&child, Signal::SIGINT);
        let mut stdout = String::new();
        child.stdout.take().expect("it is piped").read_to_string(&mut stdout).expect("text");
        let status = child.wait().expect("it ends");
        let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(status.code(), Some(INTERRUPTED), "{document:#}");
        assert_eq!(document["interrupted"], true);
        assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
        let not_run = document["not_run"].as_array().expect("names");
        let run = document["runs"].as_array().expect("runs");
        let items = Items::of(host);
        assert_eq!(not_run.len() + run.len(), items.tests().len() + items.scenarios().len());
        assert!(!not_run.is_empty());
    }
}
