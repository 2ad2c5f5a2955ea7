//! Hold patterns: what nthost's views show of the locks and timers that the driver holds, compared
//! with what the tool says that `WinDbg` must show.
#![cfg(not(windows))]

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

use ::nthost::{Kernel, View};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use syncstress::{client::Client, held::Held};
use syncstress_protocol::{ItemKind, Phase};
use syncstress_tests::{Finished, Host, Items, on_every_host, open};

const PASSED: i32 = 0;
const USAGE: i32 = 2;
/// How long a pattern may take until it is there, or gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// The views show everything that the kernel of this process has, so there is one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TESTS: Mutex<()> = Mutex::new(());
    TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pattern that is held.
struct Holding {
    client: Client,
    held: Held,
}

impl Holding {
    fn new(host: Host, item: u32) -> Self {
        let client = open(host);
        let run = client.start(item, &[]).expect("it starts");
        let start = Instant::now();
        loop {
            if let Some(object) = client.held(run).expect("an answer") {
                let held = Held::new(&object);
                return Self { client, held };
            }
            let state = client.progress(run).expect("progress");
            let waits = state.phase == Phase::Running && start.elapsed() < PATIENCE;
            assert!(waits, "{item} is not there: {:?}", state.counts);
            sleep(Duration::from_millis(1));
        }
    }

    /// The lines that a command must show.
    fn lines(&self, command: &str) -> Option<&[String]> {
        let shows = self.held.shows.iter();
        let mut found = shows.filter(|shows| shows.command.starts_with(command));
        found.next().map(|shows| shows.lines.as_slice())
    }

    /// Ends it by closing its handle, which lasts until everything is released.
    fn close(self) {
        self.client.close().expect("it closes");
    }
}

/// The ids of the patterns whose names begin so.
fn patterns(host: Host, prefix: &str) -> Vec<(u32, String)> {
    let items = open(host).items().expect("a list").into_iter();
    items
        .filter(|item| item.kind == ItemKind::HoldPattern.to_wire())
        .map(|item| (item.id, item.name.to_string()))
        .filter(|(_, name)| name.starts_with(prefix))
        .collect()
}

/// A view without blanks at the ends of lines.
fn show(view: View) -> String {
    let text = Kernel::get().show(view);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// What `!locks` prints around the part that is about one resource, if that is the only one held.
fn dump_of_one(lines: &[String]) -> String {
    // A dot for each resource that there is.
    let dots = ".".repeat(nthost_resources());
    format!(
        "**** DUMP OF ALL RESOURCE OBJECTS ****\nKD: Scanning for held locks{dots}\n\n{}\n\n\
         {} total locks, 1 locks currently held",
        lines.join("\n"),
        nthost_resources(),
    )
}

/// How many ERESOURCEs the kernel has: its view of all ends with the number.
fn nthost_resources() -> usize {
    let all = show(View::AllLocks);
    let last = all.lines().last().and_then(|line| line.split(' ').next());
    last.and_then(|count| count.parse().ok()).expect("a number")
}

on_every_host! {
    fn locks_shows_each_pattern_byte_for_byte(host) {
        let _alone = alone();
        let patterns = patterns(host, "resource.");
        assert!(patterns.len() >= 8, "{patterns:?}");
        for (item, name) in patterns {
            let holding = Holding::new(host, item);
            let expected = holding.lines("!locks").expect("it is an ERESOURCE");
            assert_eq!(show(View::Locks), dump_of_one(expected), "{name}");
            holding.close();
            assert!(show(View::Locks).ends_with("0 locks currently held"), "{name}");
        }
    }

    fn the_view_of_mutexes_shows_each_pattern(host) {
        let _alone = alone();
        for (item, name) in patterns(host, "mutex.") {
            let holding = Holding::new(host, item);
            let held = &holding.held;
            let text = show(View::Mutexes);
            let owner = &held.threads[0];
            let heading = format!(
                "Mutex @ {}    Owned by {:016x} ",
                held.address, owner.address.0
            );
            assert!(text.contains(&heading), "{name}: {text}");
            let members = holding.lines("dt nt!_KMUTANT").expect("it is a KMUTEX");
            let state = members[0].strip_prefix("Header.SignalState : ").expect("the first");
            let line = format!("    SignalState = {state}, ApcDisable = 1");
            assert!(text.contains(&line), "{name}: {line} in {text}");
            for waiter in &held.threads[1..] {
                let line = format!("Threads Waiting: {:016x}", waiter.address.0);
                assert!(text.contains(&line), "{name}: {line} in {text}");
            }
            holding.close();
        }
    }

    fn timer_shows_each_pattern(host) {
        let _alone = alone();
        for (item, name) in patterns(host, "timer.") {
            let holding = Holding::new(host, item);
            let line = holding.lines("!timer").expect("it is a KTIMER")[0].clone();
            let text = show(View::Timers);
            assert!(text.contains(&line), "{name}: {line} in {text}");
            let is_periodic = text.contains(&format!("{:016x} P", holding.held.address.0));
            assert_eq!(is_periodic, name == "timer.periodic", "{text}");
            holding.close();
            assert!(!show(View::Timers).contains(&line), "{name}");
        }
    }

    fn every_pattern_is_there_and_goes_and_leaves_nothing(host) {
        let names = Items::of(host).hold_patterns().len();
        assert!(names >= 15, "{names}");
        let finished = host.run(&["--json", "hold", "*", "--seconds", "1"]).exits_with(PASSED);
        let mut documents = serde_json::Deserializer::from_str(&finished.stdout).into_iter();
        let held: Value = documents.next().expect("a document").expect("JSON");
        let result: Value = documents.next().expect("another").expect("JSON");
        assert!(documents.next().is_none(), "{finished:#?}");
        assert_eq!(held["held"].as_array().map(Vec::len), Some(names));
        assert_eq!(result["held"], held["held"]);
        assert_eq!(result["leaks"], serde_json::json!([]), "{result:#}");
        for run in result["runs"].as_array().expect("runs") {
            assert_eq!(run["outcome"], "passed", "{run:#}");
        }
    }

    fn it_lasts_until_ctrl_c(host) {
        let mut command = host.tool(&["hold", "resource.waiters"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut reader = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut shown = String::new();
        while !shown.contains("held until Ctrl-C") {
            assert_ne!(reader.read_line(&mut shown).expect("text"), 0, "{shown}");
        }
        for text in ["Exclusively owned", "Contention Count = 3", "NumberOfSharedWaiters = 2"] {
            assert!(shown.contains(text), "{text}: {shown}");
        }
        child.stdout = Some(reader.into_inner());
        let id = i32::try_from(child.id()).expect("an id");
        kill(Pid::from_raw(id), Signal::SIGINT).expect("the program is there");
        let finished = Finished::new(&child.wait_with_output().expect("it ends"));
        let finished = finished.exits_with(PASSED);
        for text in ["1 of 1 hold patterns passed", "nothing left behind at unload"] {
            assert!(finished.stdout.contains(text), "{text}: {finished:#?}");
        }
    }

    fn patterns_are_listed_and_no_scenarios(host) {
        let items = Items::of(host);
        let finished = host.run(&["hold", "list"]).exits_with(PASSED);
        for name in items.hold_patterns() {
            assert!(finished.stdout.contains(name), "{name}: {finished:#?}");
        }
        assert!(!finished.stdout.contains("stress scenarios"), "{finished:#?}");
        let refused = host.run(&["hold", "recource.shared"]).exits_with(USAGE);
        assert!(refused.stderr.contains("resource.shared"), "{refused:#?}");
    }
}
