//! The driver that watches its own locks: what `syncstress lockdep` and `lock-stat` show of it.
#![cfg(not(windows))]

use std::{env, path::PathBuf, process::Command};

use serde_json::Value;
use syncstress_tests::{
    Finished, SHORT, Server, on_every_host, program,
    server::{self, started, wait_until},
};

/// The driver that was built to watch its locks, in nthost.
fn tool(arguments: &[&str]) -> Finished {
    let mut command = with_driver();
    command.args(arguments);
    Finished::of(command)
}

fn with_driver() -> Command {
    let driver = env::var_os("SYNCSTRESS_LOCKDEP_SYS").map(PathBuf::from);
    let driver = driver.expect("SYNCSTRESS_LOCKDEP_SYS");
    let mut command = Command::new(program());
    command.arg("--driver").arg(driver);
    command
}

fn json(arguments: &[&str]) -> Value {
    tool(&[&["--json"], arguments].concat()).json()
}

fn array<'v>(document: &'v Value, pointer: &str) -> &'v Vec<Value> {
    let found = document.pointer(pointer).and_then(Value::as_array);
    found.unwrap_or_else(|| panic!("{pointer}: {document:#}"))
}

#[test]
#[cfg_attr(
    not(lockdep_image),
    ignore = "needs the driver of: cargo xtask build --lockdep"
)]
fn an_order_that_can_deadlock_is_reported_although_nobody_waited() {
    let document = json(&["lockdep", "deadly-embrace", "--seconds", SHORT]);
    assert_eq!(document["exit_code"], 1, "{document:#}");
    assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
    let reports = array(&document, "/lockdep/reports");
    assert_eq!(reports.len(), 1, "{document:#}");
    assert_eq!(reports[0]["problem"], "cycle");
    let chain = array(&reports[0], "/chain");
    assert_eq!(chain.len(), 2, "{document:#}");
    for link in chain {
        for at in ["held_at", "asked_at"] {
            let file = link[at]["file"].as_str().expect("a file");
            assert!(file.ends_with("deadly_embrace.rs"), "{link:#}");
        }
    }
    let classes = array(&document, "/lockdep/classes");
    let kind = |link: &Value, end: &str| {
        let number = link[end].as_u64().and_then(|it| usize::try_from(it).ok());
        classes[number.expect("a number")]["kind"].clone()
    };
    let mut kinds = [kind(&chain[0], "held"), kind(&chain[0], "asked")];
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["FAST_MUTEX", "KMUTEX"]);
    assert_eq!(kind(&chain[0], "asked"), kind(&chain[1], "held"));
    assert_eq!(kind(&chain[1], "asked"), kind(&chain[0], "held"));

    let shown = tool(&["lockdep", "deadly-embrace", "--seconds", SHORT]).exits_with(1);
    for text in [
        "report 1: cycle",
        "FAST_MUTEX",
        "KMUTEX",
        "deadly_embrace.rs:",
        "IRQL 1",
    ] {
        assert!(shown.stdout.contains(text), "{text}: {shown:#?}");
    }
}

#[test]
#[cfg_attr(
    not(lockdep_image),
    ignore = "needs the driver of: cargo xtask build --lockdep"
)]
fn the_driver_takes_its_own_locks_in_order() {
    let document = json(&["lockdep", "*", "--seconds", SHORT, "--threads", "8"]);
    assert_eq!(document["exit_code"], 0, "{document:#}");
    assert!(
        array(&document, "/lockdep/classes").len() >= 8,
        "{document:#}"
    );
    assert!(
        array(&document, "/lockdep/reports").is_empty(),
        "{document:#}"
    );
    assert!(
        array(&document, "/lockdep/full_tables").is_empty(),
        "{document:#}"
    );
}

#[test]
#[cfg_attr(
    not(lockdep_image),
    ignore = "needs the driver of: cargo xtask build --lockdep"
)]
fn the_locks_that_were_wanted_most_come_first() {
    let arguments = ["lock-stat", "mutex", "spinlock", "--seconds", "1"];
    let document = json(&arguments);
    assert_eq!(document["exit_code"], 0, "{document:#}");
    let classes = array(&document, "/lock_stat/classes");
    let contentions: Vec<u64> = classes
        .iter()
        .filter_map(|class| class["contentions"].as_u64())
        .collect();
    assert!(contentions.is_sorted_by(|a, b| a >= b), "{document:#}");
    assert!(contentions[0] > 0, "{document:#}");
    for kind in ["KMUTEX", "KSPIN_LOCK"] {
        let class = classes.iter().find(|it| it["class"]["kind"] == kind);
        let class = class.unwrap_or_else(|| panic!("{kind}: {document:#}"));
        assert!(class["acquisitions"].as_u64() > Some(0), "{class:#}");
        assert!(class["hold"]["longest_ns"].as_u64() >= class["hold"]["average_ns"].as_u64());
        assert!(class["hold"]["average_ns"].as_u64() >= class["hold"]["shortest_ns"].as_u64());
    }
    let shown = tool(&arguments).exits_with(0);
    for text in ["contended", "acquired", "KMUTEX", "KSPIN_LOCK", ".rs:"] {
        assert!(shown.stdout.contains(text), "{text}: {shown:#?}");
    }
}

#[test]
#[cfg_attr(
    not(lockdep_image),
    ignore = "needs the driver of: cargo xtask build --lockdep"
)]
fn locks_are_shown_with_those_who_hold_them() {
    let server = Server::start(with_driver());
    let socket = server.socket();
    let holds = [
        "stress",
        "mutex",
        "--seconds",
        "120",
        "--param",
        "hold=1000",
    ];
    let mut run = started(&socket, &holds);
    let look = || Finished::of(server::tool(&socket, &["--json", "locks"])).json();
    let held = |document: &Value| {
        let held = document["held_locks"].as_array().expect("a list");
        let held = held
            .iter()
            .find(|it| it["class"]["kind"] == "KMUTEX" && it["thread"].is_u64());
        held.cloned()
    };
    wait_until(|| held(&look()).is_some());
    let document = look();
    assert_eq!(document["watched"][0]["name"], "mutex", "{document:#}");
    assert!(
        document["watched"][0]["contention"].as_f64() > Some(0.0),
        "{document:#}"
    );
    let counted = array(&document, "/lock_stat/classes");
    assert!(
        counted.iter().any(|it| it["class"]["kind"] == "KMUTEX"),
        "{document:#}"
    );
    let shown = Finished::of(server::tool(&socket, &["locks"])).exits_with(0);
    for text in [
        "runs that use them now (1)",
        "held at this moment",
        "KMUTEX",
        "contended",
    ] {
        assert!(shown.stdout.contains(text), "{text}: {shown:#?}");
    }
    run.kill().expect("it is there");
    run.wait().expect("it ends");
    assert_eq!(server.end()["leaks"], serde_json::json!([]));
}

on_every_host! {
    fn without_them_only_runs_are_shown(host) {
        let finished = host.run(&["locks"]).exits_with(0);
        assert!(finished.stdout.contains("runs that use them now (0)"), "{finished:#?}");
        assert!(finished.stdout.contains("cargo xtask build --release --lockdep"), "{finished:#?}");
    }

    fn a_driver_without_says_how_one_with_is_built(host) {
        for command in ["lockdep", "lock-stat"] {
            let finished = host.run(&[command, "mutex"]).exits_with(2);
            assert!(finished.stderr.contains("was built without lock"), "{finished:#?}");
            assert!(finished.stderr.contains("cargo xtask build --release --lockdep"));
            assert!(!finished.stdout.contains("acquired"), "nothing ran: {finished:#?}");
        }
    }
}
