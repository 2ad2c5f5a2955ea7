//! `SLIST_HEADER`: order, depth, emptying, and many threads at once.
#![cfg(not(windows))]

mod support;

use std::{collections::BTreeSet, ptr, sync::Mutex, thread};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

/// An entry as drivers have it: the link first, then what is theirs.
#[repr(C)]
struct Item {
    link: SLIST_ENTRY,
    number: usize,
}

fn list() -> Object<SLIST_HEADER> {
    let list = Object::default();
    nt!(InitializeSListHead(list.get()));
    list
}

fn items(count: usize) -> Vec<Object<Item>> {
    let item = |number| {
        let link = SLIST_ENTRY::default();
        Object::new(Item { link, number })
    };
    (0..count).map(item).collect()
}

fn push(list: &Object<SLIST_HEADER>, item: *mut Item) -> PSLIST_ENTRY {
    nt!(ExpInterlockedPushEntrySList(list.get(), item.cast()))
}

fn pop(list: &Object<SLIST_HEADER>) -> Option<usize> {
    let entry = nt!(ExpInterlockedPopEntrySList(list.get()));
    // SAFETY: What is on the lists of these tests are items.
    (!entry.is_null()).then(|| unsafe { (*entry.cast::<Item>()).number })
}

#[test]
fn the_last_entry_in_is_the_first_out() {
    let (list, items) = (list(), items(3));
    assert_eq!(pop(&list), None);
    assert_eq!(push(&list, items[0].get()), ptr::null_mut());
    assert_eq!(push(&list, items[1].get()), items[0].get().cast());
    assert_eq!(push(&list, items[2].get()), items[1].get().cast());
    assert_eq!(nt!(ExQueryDepthSList(list.get())), 3);
    assert_eq!(nt!(FirstEntrySList(list.get())), items[2].get().cast());
    assert_eq!(
        [pop(&list), pop(&list), pop(&list), pop(&list)],
        [Some(2), Some(1), Some(0), None]
    );
    assert_eq!(nt!(ExQueryDepthSList(list.get())), 0);
    assert_eq!(nt!(FirstEntrySList(list.get())), ptr::null_mut());
}

#[test]
fn zeroes_are_an_empty_list() {
    let (list, items) = (Object::new(SLIST_HEADER::default()), items(1));
    assert_eq!(pop(&list), None);
    push(&list, items[0].get());
    assert_eq!(pop(&list), Some(0));
}

#[test]
fn flushing_takes_the_chain() {
    let (list, items) = (list(), items(3));
    assert_eq!(nt!(ExpInterlockedFlushSList(list.get())), ptr::null_mut());
    for item in &items {
        push(&list, item.get());
    }
    let mut entry = nt!(ExpInterlockedFlushSList(list.get()));
    assert_eq!(nt!(ExQueryDepthSList(list.get())), 0);
    for item in items.iter().rev() {
        assert_eq!(entry, item.get().cast());
        // SAFETY: It is an item of this test.
        entry = unsafe { (*entry).Next };
    }
    assert!(entry.is_null());
}

#[test]
fn it_works_at_any_irql() {
    let (list, items) = (list(), items(1));
    let old = raise(HIGH);
    push(&list, items[0].get());
    assert_eq!(pop(&list), Some(0));
    lower(old);
}

#[test]
fn no_entry_is_lost_or_taken_twice() {
    const EACH: usize = 500;
    let (list, items) = (list(), items(8 * EACH));
    let taken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let (list, taken) = (&list, &taken);
        for mine in items.chunks(EACH) {
            scope.spawn(move || {
                for item in mine {
                    push(list, item.get());
                    taken.lock().expect("no panic").extend(pop(list));
                }
            });
        }
    });
    let mut all = taken.into_inner().expect("no panic");
    while let Some(number) = pop(&list) {
        all.push(number);
    }
    assert_eq!(all.len(), items.len());
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), items.len());
}

#[test]
fn what_is_not_aligned_to_16_bytes() {
    let report = expect_bug_check(|| {
        let room = Object::new([SLIST_HEADER::default(); 2]);
        nt!(InitializeSListHead(room.get().wrapping_byte_add(8).cast()));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (
            bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
            i64::from(STATUS_DATATYPE_MISALIGNMENT).cast_unsigned()
        )
    );
    let report = expect_bug_check(|| {
        let items = items(2);
        push(&list(), items[0].get().wrapping_byte_add(8));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xE1));
}
