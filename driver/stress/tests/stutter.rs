//! Workers that work and pause in turns. How long they work is counted, so this has a kernel of its own: runs
//! beside it take the processors from who tells the turns.
#![cfg(not(windows))]

mod common;

use common::{Client, engine};
use syncstress_protocol::Verdict;

#[test]
fn stutter_halves_the_work() {
    let engine = engine();
    let client = Client::new(&engine);
    // A pause between passes, so that the work does not depend on the machine.
    let passes = |stutter| {
        let settings = [
            ("seconds", 2),
            ("threads", 1),
            ("think", 1_000),
            ("stutter", stutter),
        ];
        let result = client.run("mutex", &settings).expect(Verdict::Passed);
        result.workers[0].passes
    };
    let (all, half) = (passes(0), passes(100));
    assert!(
        half * 10 < all * 8 && half * 10 > all * 2,
        "{half} of {all}"
    );
}
