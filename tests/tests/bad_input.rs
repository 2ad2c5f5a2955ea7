//! Command lines that ask for something that there is not.
#![cfg(not(windows))]

use std::{fs, process::Command};

use syncstress_tests::{Finished, Items, on_every_host, program};

const PASSED: i32 = 0;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;

on_every_host! {
    fn an_unknown_name_gets_near_ones(host) {
        let items = Items::of(host);
        let (name, _) = items.tests()[0].split_at(items.tests()[0].len() - 1);
        let typed = format!("{name}X");
        let finished = host.run(&["test", &typed]).exits_with(USAGE);
        assert!(finished.stderr.contains(&typed), "{finished:#?}");
        assert!(finished.stderr.contains(items.tests()[0]), "{finished:#?}");
        let document = host.json(&["test", &typed]);
        assert_eq!(document["verdict"], "usage");
        assert!(document["error"].as_str().is_some_and(|error| error.contains(&typed)));
    }

    fn a_test_is_not_stressed(host) {
        let items = Items::of(host);
        let finished = host.run(&["stress", items.tests()[0]]).exits_with(USAGE);
        assert!(finished.stderr.contains("syncstress test"), "{finished:#?}");
    }

    fn a_value_outside_the_drivers_range_is_refused_with_the_range(host) {
        for setting in [["--param", "seconds=0"], ["--seconds", "1e9"]] {
            let finished = host.run(&[&["stress"], &setting[..]].concat()).exits_with(USAGE);
            assert!(finished.stderr.contains("it goes from 1s to "), "{finished:#?}");
        }
        let finished = host.run(&["stress", "--threads", "1000000"]).exits_with(USAGE);
        assert!(finished.stderr.contains("it goes from "), "{finished:#?}");
    }

    fn an_empty_name_is_not_everything(host) {
        let finished = host.run(&["stress", ""]).exits_with(USAGE);
        assert!(finished.stderr.contains("is named ``"), "{finished:#?}");
    }

    fn a_parameter_that_no_scenario_takes_is_refused(host) {
        let finished = host.run(&["stress", "--param", "second=1"]).exits_with(USAGE);
        assert!(finished.stderr.contains("did you mean `seconds`"), "{finished:#?}");
    }

    fn a_parameter_twice_is_refused(host) {
        let arguments = ["stress", "--threads", "1", "--param", "threads=2"];
        let finished = host.run(&arguments).exits_with(USAGE);
        assert!(finished.stderr.contains("set twice"), "{finished:#?}");
        for length in [["--seconds", "1"], ["--profile", "smoke"]] {
            let finished = host.run(&[&["stress", "--param", "milliseconds=2"], &length[..]].concat());
            let finished = finished.exits_with(USAGE);
            assert!(finished.stderr.contains("`milliseconds` is set"), "{finished:#?}");
        }
    }
}

fn run(arguments: &[&str]) -> Finished {
    let mut command = Command::new(program());
    command.args(arguments);
    Finished::of(command)
}

#[test]
fn help_documents_the_exit_codes() {
    let finished = run(&["--help"]).exits_with(PASSED);
    for text in ["Exit codes:", "bug check", "interrupted", "Examples:"] {
        assert!(finished.stdout.contains(text), "{text}: {finished:#?}");
    }
}

#[test]
fn nonsense_on_the_command_line_is_a_usage_error() {
    for arguments in [
        &[][..],
        &["no-such-command"],
        &["info", "--host", "mars"],
        &["stress", "--seconds", "x"],
        &["sweep", "spinlock", "--threads", "0..8"],
        &["sweep", "spinlock", "--threads", "0"],
        &["sweep", "resource", "--read-share", "101"],
        &["soak", "--hours", "inf"],
        &["soak", "--hours=-1"],
        &["stress", "--seconds", "0"],
        &["stress", "--seconds", "NaN"],
        &["stress", "--seconds=-1"],
        &["stress", "--seconds", "1e300"],
        &["soak", "--hours", "NaN"],
        &["soak", "--hours", "1e300"],
        &["bench", "overhead", "--bound", "NaN"],
        &["bench", "overhead", "--seconds", "0"],
        &["hold", "resource.shared", "--seconds", "0"],
        &["compare", "a.json", "b.json", "--bound", "101"],
    ] {
        assert_eq!(run(arguments).code, Some(USAGE), "{arguments:?}");
    }
}

/// It would look like a sweep over the readers that it was asked for.
#[test]
fn what_no_scenario_takes_is_not_swept_over() {
    let arguments = ["sweep", "spinlock", "--read-share", "50", "--in-process"];
    let finished = run(&arguments).exits_with(USAGE);
    assert!(finished.stderr.contains("`readers`"), "{finished:#?}");
}

#[test]
fn an_image_in_process_is_a_usage_error() {
    let finished = run(&["--in-process", "--driver", "x.sys", "info"]).exits_with(USAGE);
    assert!(finished.stderr.contains("--in-process"), "{finished:#?}");
}

#[test]
fn a_driver_that_is_not_there_is_told_with_the_command_that_builds_it() {
    let finished = run(&["--driver", "no/such.sys", "info"]).exits_with(UNREACHABLE);
    assert!(finished.stderr.contains("no/such.sys"), "{finished:#?}");
    assert!(
        finished.stderr.contains("cargo xtask build"),
        "{finished:#?}"
    );
}

#[test]
fn a_file_that_is_no_image_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("text.sys");
    fs::write(&path, "no image").expect("a file");
    let name = path.to_str().expect("a name");
    let finished = run(&["--driver", name, "--wdfldr", name, "info"]).exits_with(UNREACHABLE);
    assert!(finished.stderr.contains("text.sys"), "{finished:#?}");
}
