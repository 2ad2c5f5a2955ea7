//! The engine under many threads at once: what it wrote down is what was done.
#![cfg(feature = "lockdep")]

use std::{collections::HashSet, thread};

use wdk_sync::lockdep::{self, Acquired, How, Link, Map, Problem};

const THREADS: usize = 32;
const ROUNDS: usize = 400;

macro_rules! maps {
    ($($name:literal)*) => { [$(Map::new($name)),*] };
}

static LOCKS: [Map; 12] = maps!("0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11");

fn name(class: Option<lockdep::LockClass>) -> &'static str {
    class.expect("a class").name()
}

fn ends(link: &Link) -> (&'static str, &'static str) {
    (name(link.held()), name(link.asked()))
}

/// Three locks of a thread and round, each another, in an order that differs from thread to thread.
fn choice(thread: usize, round: usize) -> [&'static Map; 3] {
    let first = thread * 7 + round * 5;
    let step = 1 + (thread + round) % 5;
    [0, 1, 2].map(|place| &LOCKS[(first + place * step) % LOCKS.len()])
}

#[test]
fn every_order_is_written_down_once_and_every_chain_closes() {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let held: Vec<Acquired<'_>> = choice(thread, round)
                        .into_iter()
                        .map(|lock| lock.acquiring(How::Exclusive).acquired())
                        .collect();
                    drop(held);
                }
            });
        }
    });

    let mut done = HashSet::new();
    for (thread, round) in (0..THREADS).flat_map(|t| (0..ROUNDS).map(move |r| (t, r))) {
        let number = |lock: &Map| LOCKS.iter().position(|it| std::ptr::eq(it, lock)).unwrap();
        let [a, b, c] = choice(thread, round).map(number);
        done.extend([(a, b), (a, c), (b, c)].map(|(x, y)| (x.to_string(), y.to_string())));
    }
    let written: Vec<_> = lockdep::edges()
        .map(ends)
        .map(|(x, y)| (x.to_owned(), y.to_owned()))
        .collect();
    assert_eq!(written.len(), done.len(), "none twice");
    assert_eq!(written.into_iter().collect::<HashSet<_>>(), done);

    let mut cycles = HashSet::new();
    for report in lockdep::reports() {
        assert_eq!(report.problem(), Problem::Cycle);
        assert!(cycles.insert(ends(report.link())), "once for a pair");
        let chain: Vec<_> = report.chain().map(ends).collect();
        let next = chain.iter().cycle().skip(1);
        for (link, next) in chain.iter().zip(next) {
            assert_eq!(link.1, next.0, "{report}");
        }
    }
    assert!(!cycles.is_empty());

    let statistics = lockdep::statistics();
    assert!(statistics.is_complete(), "{statistics:?}");
    assert_eq!(statistics.classes.used, LOCKS.len());
    assert_eq!(statistics.holders.used, 0, "nobody holds anything any more");
}
