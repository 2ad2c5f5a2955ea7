//! A WDM driver in C, as mingw-w64 builds it with what its headers have inline: `tests/c/sample.c`.
//!
//! `cargo xtask test` builds it and names it in `NTHOST_C_DRIVER`.
#![cfg(not(windows))]

use std::{
    env,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use nthost::{File, Kernel, Leaks, Stop};
use serde_json::Value;

/// The image.
fn image() -> PathBuf {
    env::var_os("NTHOST_C_DRIVER")
        .map(PathBuf::from)
        .expect("NTHOST_C_DRIVER names the driver")
}

/// The code of a request of the driver.
const fn code(number: u32) -> u32 {
    0x22_2000 + 4 * number
}

/// What the driver answers.
fn ask(file: &File, number: u32) -> Vec<u64> {
    let mut output = [0; 64];
    let length = file
        .ioctl(code(number), &[], &mut output)
        .expect("the driver answers");
    let (words, _) = output[..length].as_chunks::<8>();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// The names of locks or frames of a report.
fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    let text = |item: &Value| {
        item["place"]
            .as_str()
            .or_else(|| item["name"].as_str())
            .map(str::to_owned)
    };
    list.iter().filter_map(text).collect()
}

/// Runs the program with the driver, and gives its JSON document.
fn run(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_nthost"))
        .args(["run", "--json"])
        .arg(image())
        .args(arguments)
        .output()
        .expect("the program runs");
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn what_headers_have_inline_works() -> Result<(), Stop> {
    let kernel = Kernel::get();
    let driver = kernel.load(image())?;
    assert_eq!(driver.missing_imports(), [""; 0]);
    assert_eq!(
        driver.open_names(),
        [r"\??\csample", r"\Device\CSample"],
        "the link comes first"
    );
    let file = kernel.open(r"\\.\CSample")?;

    assert_eq!(ask(&file, 0), [0, 1, 2, 0], "the IRQL in CR8");
    assert_eq!(ask(&file, 1), [1, 1, 1], "thread and processor behind GS");
    assert_eq!(ask(&file, 3), [1], "every lock");
    assert_eq!(ask(&file, 4), [2], "the IRQL of the timer's DPC");

    let clocks = ask(&file, 2);
    let [ticks, read, called, major, multiplier] = clocks[..] else {
        panic!("five numbers: {clocks:?}");
    };
    assert!(ticks <= read / 156_250 && read <= called, "{clocks:?}");
    assert!(called - read < 10_000_000, "{clocks:?}");
    assert_eq!((major, multiplier), (10, 0x0FA0_0000));

    file.close()?;
    driver.unload()?;
    assert_eq!(kernel.leaks(), Leaks::default());
    Ok(())
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn many_threads_send_requests() {
    let request = format!("{}", code(3));
    let document = run(&["--ioctl", &request, "--threads", "8", "--repeat", "100"]);
    assert_eq!(document["exit_code"], 0, "{document:#}");
    assert_eq!(document["requests"][0]["times"], 800, "{document:#}");
    let printed = document["debug_output"].as_str().expect("a text");
    assert!(
        printed.starts_with(r"csample: loaded as \Registry\Machine"),
        "{printed}"
    );
    assert!(printed.ends_with("csample: unloaded\n"), "{printed}");
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn a_field_of_the_shared_data_that_is_not_there_is_named() {
    let request = format!("0x{:X}", code(7));
    let document = run(&["--ioctl", &request, "--out", "8"]);
    assert_eq!(document["exit_code"], 188, "{document:#}");
    let rule = document["bug_check"]["rule"].as_str().expect("a rule");
    assert!(
        rule.starts_with("KUSER_SHARED_DATA+0x2D8 cannot be read."),
        "{rule}"
    );
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn a_deadlock_is_told_with_every_thread_and_its_stack() {
    let request = format!("{}", code(5));
    let start = Instant::now();
    let document = run(&["--ioctl", &request, "--threads", "2"]);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "it takes a second"
    );
    assert_eq!(document["exit_code"], 188, "{document:#}");
    let report = &document["bug_check"];
    let mut held = Vec::new();
    for thread in [&report["thread"], &report["others"][0]] {
        let (holds, waits_for) = (names(&thread["holds"]), names(&thread["waits_for"]));
        assert_ne!(holds, waits_for, "{report:#}");
        assert_eq!((holds.len(), waits_for.len()), (1, 1), "{report:#}");
        held.extend(holds);
        let stack = names(&thread["stack"]);
        assert!(stack[0].starts_with("csample!TakeBoth+0x"), "{report:#}");
        assert!(stack[1].starts_with("csample!Control+0x"), "{report:#}");
        let line = thread["stack"][0]["line"].as_str().expect("a line");
        assert!(line.contains("sample.c:"), "{line}");
    }
    held.sort();
    assert_eq!(held, ["csample!MutexA", "csample!MutexB"]);
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn the_locks_at_the_end_are_those_of_the_bug_check() {
    let request = format!("{}", code(6));
    let document = run(&["--ioctl", &request, "--at-end", "locks"]);
    assert_eq!(document["exit_code"], 188, "{document:#}");
    let locks = document["at_end"]["locks"].as_str().expect("a text");
    let lines: Vec<_> = locks.lines().collect();
    assert_eq!(lines[1], "KD: Scanning for held locks.");
    assert!(
        lines[3].starts_with("Resource @ csample!Resource (0x"),
        "{locks}"
    );
    assert!(lines[3].ends_with(")    Exclusively owned"), "{locks}");
    assert!(
        lines[4].starts_with("     Threads: ") && lines[4].ends_with("-01<*>"),
        "{locks}"
    );
    assert_eq!(lines[6], "1 total locks, 1 locks currently held");
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn every_allocation_that_fails_is_taken_well() {
    let (locks, alarm) = (format!("{}", code(3)), format!("{}", code(4)));
    let campaign = run(&[
        "--ioctl",
        &locks,
        "--ioctl",
        &alarm,
        "--fault",
        "alloc=each",
    ]);
    assert_eq!(campaign["findings"], serde_json::json!([]), "{campaign:#}");
    // The device, its symbolic link, and the block of pool of the second request.
    assert_eq!(campaign["runs"], 3, "{campaign:#}");
    assert_eq!(campaign["exit_code"], 0, "{campaign:#}");
    let document = run(&["--ioctl", &locks, "--ioctl", &alarm, "--fault", "alloc=3"]);
    assert_eq!(
        document["requests"][1]["status_name"], "STATUS_INSUFFICIENT_RESOURCES",
        "{document:#}"
    );
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn late_timers_and_threads_do_no_harm() {
    let (locks, alarm) = (format!("{}", code(3)), format!("{}", code(4)));
    let arguments = [
        "--ioctl",
        &locks,
        "--ioctl",
        &alarm,
        "--threads",
        "4",
        "--repeat",
        "10",
    ];
    let document = run(&[&arguments[..], &["--fault", "time", "--seed", "7"]].concat());
    assert_eq!(document["exit_code"], 0, "{document:#}");
}

/// A planted bug of the driver, and what finding it says: one of these.
fn is_found_by(policy: &str, number: u32, says: &[&str]) {
    let request = format!("{}", code(number));
    let explore = format!("--explore={policy}");
    // What the order of locks alone would tell is not asked for: the schedule is to show it.
    let arguments = [
        "--ioctl",
        &request,
        "--threads",
        "2",
        "--verifier",
        "none",
        &explore,
    ];
    let search = run(&[&arguments[..], &["--schedules", "500"]].concat());
    assert_eq!(search["exit_code"], 1, "{search:#}");
    let what = search["what"].as_str().expect("a finding");
    assert!(says.iter().any(|words| what.contains(words)), "{what}");

    let seed = search["seed"].to_string();
    let again = [&arguments[..], &["--seed", &seed]].concat();
    let replays = [run(&again), run(&again)];
    for replay in replays {
        let report = &replay["bug_check"];
        let found = &search["document"]["bug_check"];
        assert_eq!(report["code"], found["code"], "{report:#}");
        assert_eq!(
            names(&report["thread"]["stack"]),
            names(&found["thread"]["stack"])
        );
        assert_eq!(report["thread"]["id"], found["thread"]["id"], "{report:#}");
    }
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn schedules_find_a_lost_wake_up() {
    is_found_by("random", 8, &["Nothing can run any more"]);
    is_found_by("pct", 8, &["Nothing can run any more"]);
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn schedules_find_two_locks_in_either_order() {
    is_found_by("random", 9, &["Threads wait for each other"]);
    is_found_by("pct", 9, &["Threads wait for each other"]);
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn schedules_find_what_is_freed_in_use() {
    // What was freed looks like a lock that somebody holds, or like one that nobody does.
    let says = ["Nothing can run any more", "spin lock"];
    is_found_by("random", 10, &says);
    is_found_by("pct", 10, &says);
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn schedules_of_what_is_right_find_nothing() {
    let (locks, alarm) = (format!("{}", code(3)), format!("{}", code(4)));
    for policy in ["random", "pct"] {
        let explore = format!("--explore={policy}");
        let arguments = [
            "--ioctl",
            &locks,
            "--ioctl",
            &alarm,
            "--threads",
            "3",
            &explore,
        ];
        let search = run(&[&arguments[..], &["--schedules", "20"]].concat());
        assert_eq!(search["schedules"], 20, "{search:#}");
        assert_eq!(search["what"], Value::Null, "{search:#}");
    }
}
