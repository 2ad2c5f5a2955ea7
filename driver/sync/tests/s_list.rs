//! SLISTs: values go in once and come out once. On nthost.
#![cfg(not(windows))]

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use wdk_sync::{InterlockedList, ListNode, NonPaged, SList, Thread, testing::at_passive_level};

fn node<T>(value: T) -> ListNode<T> {
    ListNode::new(value).unwrap()
}

struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_last_in_is_the_first_out() {
    let numbers = SList::new();
    (1..=3).for_each(|number| numbers.push(node(number)));
    assert_eq!(numbers.pop().map(ListNode::into_inner), Some(3));
    // Nothing points to a list, so it may move with what is in it.
    let moved = Box::new(numbers);
    let rest: Vec<_> = moved.take_all().map(ListNode::into_inner).collect();
    assert_eq!(rest, [2, 1]);
    assert!(moved.pop().is_none());
    assert!(moved.take_all().next().is_none());
}

#[test]
fn a_list_drops_what_is_in_it_and_what_was_taken_and_not_used() {
    let dropped = AtomicU32::new(0);
    let values = SList::default();
    (0..5).for_each(|_| values.push(node(Counted(&dropped))));
    let kept = values.pop();
    let mut taken = values.take_all();
    drop(taken.next());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    drop(taken);
    assert_eq!(dropped.load(Ordering::Relaxed), 4);
    values.push(kept.expect("five were put in"));
    drop(values);
    assert_eq!(dropped.load(Ordering::Relaxed), 5);
}

#[test]
fn a_node_goes_from_one_kind_of_list_to_the_other() {
    let queue = NonPaged::pin_init(InterlockedList::new()).unwrap();
    let stack = SList::new();
    for number in 0..3 {
        queue.push_back(node(number));
    }
    while let Some(node) = queue.pop_front() {
        stack.push(node);
    }
    for node in stack.take_all() {
        queue.push_back(node);
    }
    assert_eq!(queue.pop_front().map(|node| *node), Some(2));
}

#[test]
fn a_value_of_the_largest_alignment() {
    #[repr(align(16))]
    struct Wide(u128);
    let values = SList::new();
    values.push(node(Wide(7)));
    assert_eq!(values.pop().map(|node| node.0), Some(7));
}

#[test]
fn threads_that_push_and_pop_at_every_level_lose_nothing() {
    const THREADS: u64 = 6;
    const ROUNDS: u64 = 300;
    at_passive_level(|irql| {
        let numbers = Arc::new(SList::<u64>::new());
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let numbers = Arc::clone(&numbers);
                Thread::spawn(irql, move |irql| {
                    let mut sum = 0;
                    for number in 1..=ROUNDS {
                        numbers.push(node(number));
                        irql.at_dispatch_level(|_irql| {
                            sum += numbers.take_all().map(|node| *node).sum::<u64>();
                            numbers.push(node(0));
                        });
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
        assert!(numbers.take_all().all(|node| *node == 0));
    });
}
