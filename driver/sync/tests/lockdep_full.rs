//! Tables that are full: what does not fit is counted, and what is there goes on to work.
#![cfg(feature = "lockdep")]

use wdk_sync::lockdep::{self, Acquired, How, Map, Problem};

#[track_caller]
fn take(lock: &Map) -> Acquired<'_> {
    lock.acquiring(How::Exclusive).acquired()
}

/// Locks of a class, and, one inside the other, of as many classes as wanted.
const fn map() -> Map {
    Map::new("nested")
}

#[test]
fn what_does_not_fit_is_counted() {
    let (early, late) = (Map::new("early"), Map::new("late"));
    let _ = (take(&early), take(&late));

    // More locks than one thread can hold.
    let depth: Vec<Map> = (0..30).map(|_| map()).collect();
    let held: Vec<_> = depth
        .iter()
        .map(|lock| lock.acquiring(How::TryExclusive).acquired())
        .collect();
    let statistics = lockdep::statistics();
    assert_eq!((statistics.holders.used, statistics.holders.lost), (1, 6));
    drop(held);
    assert_eq!(lockdep::statistics().holders.used, 0);

    // A long line of classes, and ways back from its end: more chain than there is room for.
    let (outer, inner) = (map(), map());
    let nest = |outer_level, inner_level| {
        let _bottom = early.acquiring(How::TryExclusive).acquired();
        let _outer = lockdep::nested(outer_level, || take(&outer));
        drop(lockdep::nested(inner_level, || take(&inner)));
    };
    (1..200).for_each(|level| nest(level, level + 1));
    (185..=200).rev().for_each(|level| nest(level, 1));
    let longest = lockdep::reports()
        .map(|report| report.chain().count())
        .max();
    assert_eq!(longest, Some(200), "whole, where there was room");

    // More classes than there is room for, and more orders, each with its opposite.
    for (outer_level, inner_level) in (1..=255).flat_map(|a| (1..=255).map(move |b| (a, b))) {
        if outer_level != inner_level {
            nest(outer_level, inner_level);
        }
    }
    let full = lockdep::statistics();
    assert!(!full.is_complete());
    for fill in [full.classes, full.edges, full.reports, full.chain_links] {
        assert_eq!(fill.used, fill.capacity, "{full:?}");
        assert!(fill.lost > 0, "{full:?}");
    }

    // Known orders are still known, and problems of a class are found; they have no room.
    let edges = lockdep::edges().count();
    let lost = lockdep::statistics().reports.lost;
    let _held = take(&late);
    drop(late.acquiring(How::Exclusive));
    assert_eq!(lockdep::edges().count(), edges);
    assert_eq!(lockdep::statistics().reports.lost, lost + 1);
    assert!(lockdep::reports().all(|report| report.problem() == Problem::Cycle));
    assert!(lockdep::reports().any(|report| report.missing_links() > 0));
}
