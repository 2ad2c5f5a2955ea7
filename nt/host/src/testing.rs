//! For tests of the kernel: code that must end in a bug check.

use core::{any::type_name, panic::Location, time::Duration};
use std::{
    env,
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Instant,
};

use crate::{
    Config,
    bugcheck::{self, BugCheckReport},
};

/// Says which expectation a child process is to meet, by its place in the source.
const VARIABLE: &str = "NTHOST_EXPECT_BUG_CHECK";

/// Begins the line on which a child process reports.
const MARK: &str = "nthost bug check: ";

/// A child process that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs `body`, a closure of a `#[test]` function, in a child process, and returns the report of the bug
/// check that it ends in.
///
/// There is one kernel per process, and a bug check is its end. So the test binary is started again to run
/// the same test alone; the call to this function there that stands in the same place runs `body`. A test
/// may expect several bug checks, in several places.
///
/// # Panics
///
/// If `body` ends in any other way, or takes longer than a minute.
#[track_caller]
pub fn expect_bug_check<F: FnOnce()>(body: F) -> BugCheckReport {
    expect_bug_check_with(Config::default(), body)
}

/// As [`expect_bug_check`], on a kernel that the child process boots with `config`.
///
/// # Panics
///
/// As [`expect_bug_check`], and if `config` is not possible.
#[track_caller]
pub fn expect_bug_check_with<F: FnOnce()>(config: Config, body: F) -> BugCheckReport {
    let place = Location::caller().to_string();
    if env::var(VARIABLE).is_ok_and(|wanted| wanted == place) {
        run_child(config, body);
    }
    report_of(test_name::<F>(), &place)
}

/// As [`expect_bug_check_with`], for each of `cases`: `body` gets one, in a child process of its own.
///
/// # Panics
///
/// As [`expect_bug_check_with`].
#[track_caller]
pub fn expect_bug_checks<C, F: Fn(&C)>(
    config: Config,
    cases: &[C],
    body: F,
) -> Vec<BugCheckReport> {
    let location = Location::caller();
    let places: Vec<_> = (0..cases.len())
        .map(|number| format!("{location} case {number}"))
        .collect();
    if let Ok(wanted) = env::var(VARIABLE)
        && let Some(number) = places.iter().position(|place| *place == wanted)
    {
        run_child(config, || body(&cases[number]));
    }
    let report = |place: &String| report_of(test_name::<F>(), place);
    places.iter().map(report).collect()
}

/// The report of the child process that meets the expectation at a place.
fn report_of(test: &str, place: &str) -> BugCheckReport {
    let (status, output) = run_test(test, place);
    let Some(report) = output.lines().find_map(|line| line.split_once(MARK)) else {
        panic!("no bug check at {place}: the child process ended with {status} and said\n{output}");
    };
    serde_json::from_str(report.1).expect("the child process writes a report")
}

/// The name that the test harness knows a test by, from the type of a closure in it.
fn test_name<F>() -> &'static str {
    let closure = type_name::<F>();
    let function = closure.split("::{{closure}}").next().unwrap_or(closure);
    function
        .split_once("::")
        .map_or(function, |(_crate, name)| name)
}

/// The child process: it runs `body` and reports.
fn run_child(config: Config, body: impl FnOnce()) -> ! {
    crate::boot(config).expect("nothing has run in the child process yet");
    bugcheck::set_last_words(write);
    match crate::with_recovery(body) {
        Ok(()) => panic!("no bug check"),
        Err(report) => {
            write(&report);
            std::process::exit(bugcheck::EXIT_CODE);
        }
    }
}

fn write(report: &BugCheckReport) {
    let report = serde_json::to_string(report).expect("a report can be written as JSON");
    println!("\n{MARK}{report}");
}

fn run_test(test: &str, place: &str) -> (ExitStatus, String) {
    let binary = env::current_exe().expect("the test binary is there");
    let mut child = Command::new(binary)
        .args([test, "--exact", "--nocapture"])
        .env(VARIABLE, place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the test binary can be started");
    let mut pipe = child.stdout.take().expect("the standard output is a pipe");
    let reader = thread::spawn(move || {
        let mut output = String::new();
        pipe.read_to_string(&mut output).map(|_| output)
    });
    let status = wait_for(&mut child, place);
    let output = reader
        .join()
        .expect("reading does not panic")
        .expect("the output is text");
    (status, output)
}

fn wait_for(child: &mut Child, place: &str) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the child process for {place} hangs");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
