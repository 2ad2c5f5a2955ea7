//! Several tools on one driver: one keeps the kernel, others run, watch, and are killed.
#![cfg(not(windows))]

use std::{path::Path, thread::sleep, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use syncstress_tests::{
    Finished, Server, on_every_host,
    server::{started, tool, wait_until},
};

const PASSED: i32 = 0;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;

/// The runs that there are.
fn watch(socket: &Path) -> Vec<Value> {
    let watching = ["--json", "watch", "--patience", "0"];
    let mut watching = started(socket, &watching);
    sleep(Duration::from_millis(300));
    let id = i32::try_from(watching.id()).expect("an id");
    if watching.try_wait().expect("a child").is_none() {
        kill(Pid::from_raw(id), Signal::SIGINT).expect("it is there");
    }
    let finished = Finished::new(&watching.wait_with_output().expect("it ends"));
    let document = finished.json();
    document["watched"].as_array().cloned().unwrap_or_default()
}

on_every_host! {
    fn a_killed_tool_leaves_nothing_behind_and_others_go_on(host) {
        let server = Server::start(host.tool(&[]));
        let socket = server.socket();
        let long = ["stress", "mutex", "--seconds", "120"];
        let mut killed = started(&socket, &long);
        wait_until(|| watch(&socket).iter().any(|run| run["acquisitions"].as_u64() > Some(0)));
        let other = started(&socket, &["--json", "stress", "spinlock", "--seconds", "2"]);
        killed.kill().expect("it is there");
        killed.wait().expect("it ends");
        let other = Finished::new(&other.wait_with_output().expect("it ends"));
        let other = other.exits_with(PASSED).json();
        assert_eq!(other["runs"][0]["outcome"], "passed", "{other:#}");
        assert_eq!(other["leaks"], Value::Null, "the driver is not this tool's to unload");
        wait_until(|| watch(&socket).is_empty());
        let document = server.end();
        assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
        let gone = Finished::of(tool(&socket, &["info"])).exits_with(UNREACHABLE);
        assert!(gone.stderr.contains("syncstress serve"), "{gone:#?}");
    }

    fn a_run_is_watched_until_it_ends(host) {
        let server = Server::start(host.tool(&[]));
        let socket = server.socket();
        let run = started(&socket, &["--json", "stress", "resource", "--seconds", "2"]);
        let seen = Finished::of(tool(&socket, &["--json", "watch"])).exits_with(PASSED).json();
        let run = Finished::new(&run.wait_with_output().expect("it ends")).json();
        let (seen, run) = (&seen["watched"][0], &run["runs"][0]);
        assert_eq!(seen["name"], "resource");
        assert_eq!(seen["workers"], run["worker_count"]);
        assert!(seen["acquisitions"].as_u64() > Some(0), "{seen:#}");
        assert!(seen["acquisitions"].as_u64() <= run["acquisitions"].as_u64(), "{seen:#}");
        assert_eq!(server.end()["leaks"], serde_json::json!([]));
    }

    fn where_nothing_runs_there_is_nothing_to_watch(host) {
        let finished = host.run(&["watch", "--patience", "0"]).exits_with(USAGE);
        assert!(finished.stderr.contains("syncstress serve SOCKET"), "{finished:#?}");
    }
}
