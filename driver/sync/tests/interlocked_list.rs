//! Interlocked lists: values go in once and come out once. On nthost.
#![cfg(not(windows))]

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use wdk_sync::{InterlockedList, ListNode, NonPaged, Thread, testing::at_passive_level};

fn list<T>() -> NonPaged<InterlockedList<T>> {
    NonPaged::pin_init(InterlockedList::new()).unwrap()
}

#[test]
fn the_order_is_that_of_a_queue_or_a_stack() {
    let numbers = list();
    for number in 1..=3 {
        numbers.push_back(ListNode::new(number).unwrap());
    }
    numbers.push_front(ListNode::new(0).unwrap());
    let mut popped = Vec::new();
    while let Some(node) = numbers.pop_front() {
        popped.push(node.into_inner());
    }
    assert_eq!(popped, [0, 1, 2, 3]);
}

#[test]
fn a_list_drops_what_is_in_it_and_nothing_else() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    let values = list();
    for _ in 0..3 {
        values.push_back(ListNode::new(Counted).unwrap());
    }
    let taken = values.pop_front();
    drop(values);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 2);
    drop(taken);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 3);
}

#[test]
fn threads_that_push_and_pop_at_every_level_lose_nothing() {
    const THREADS: u64 = 6;
    const ROUNDS: u64 = 300;
    at_passive_level(|irql| {
        let numbers = Arc::new(list::<u64>());
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let numbers = Arc::clone(&numbers);
                Thread::spawn(irql, move |irql| {
                    let mut sum = 0;
                    for number in 1..=ROUNDS {
                        numbers.push_back(ListNode::new(number).unwrap());
                        irql.at_dispatch_level(|_irql| {
                            let mut node = numbers.pop_front().expect("one was put in");
                            sum += *node;
                            *node = 0;
                            numbers.push_front(node);
                        });
                        sum += *numbers.pop_front().expect("one was put in");
                    }
                    sum
                })
                .unwrap()
            })
            .collect();
        let sum: u64 = threads
            .into_iter()
            .map(|thread| thread.join(irql).unwrap())
            .sum();
        assert_eq!(sum, THREADS * ROUNDS * (ROUNDS + 1) / 2);
        assert!(numbers.pop_front().is_none());
    });
}
