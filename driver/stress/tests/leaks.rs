//! What an engine and its sessions leave behind: nothing, however their runs ended.
#![cfg(not(windows))]

mod common;

use std::{thread::sleep, time::Duration};

use common::{Client, engine};
use nthost::{Kernel, LeakKind};
use syncstress_protocol::Verdict;
use wdk_sync::testing::at_passive_level;

#[test]
fn nothing_is_left_behind() {
    let before = Kernel::get().leaks();
    let engine = engine();
    let client = Client::new(&engine);
    let held = Kernel::get().leaks();
    assert!(
        held.entries.len() > before.entries.len(),
        "a session is seen"
    );
    // Collected, closed while it runs, and dropped while it runs.
    client
        .run("resource", &[("seconds", 1)])
        .expect(Verdict::Passed);
    client
        .run("timer_dpc.signals_too", &[])
        .expect(Verdict::Passed);
    for name in ["spinlock", "mutex", "timer"] {
        let other = Client::new(&engine);
        other.start(name, &[("seconds", 60)]).unwrap();
        sleep(Duration::from_millis(20));
        at_passive_level(|irql| other.0.close(irql));
        let other = Client::new(&engine);
        other.start(name, &[("seconds", 60)]).unwrap();
        at_passive_level(move |_irql| drop(other));
    }
    drop(client);
    drop(engine);
    let after = Kernel::get().leaks();
    let threads = |it: &nthost::Leak| it.kind == LeakKind::Thread;
    assert!(!after.entries.iter().any(threads), "{after}");
    assert_eq!(after, before, "{after}");
}
