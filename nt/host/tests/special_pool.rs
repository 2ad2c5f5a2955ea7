//! Special pool: what faults, and when.
#![cfg(not(windows))]

mod support;

use nthost::{Config, Rules, ntddk::*, testing::expect_bug_check_with};
use support::*;

const TAG: ULONG = u32::from_le_bytes(*b"spec");

/// The kernel of every test here.
fn config() -> Config {
    Config {
        rules: Rules::ALL,
        ..Config::default()
    }
}

/// What the body, run on such a kernel, ends in.
macro_rules! expect_bug_check {
    ($body:expr) => {
        expect_bug_check_with(config(), $body)
    };
}

fn allocate(size: usize) -> *mut u8 {
    nt!(ExAllocatePool2(POOL_FLAG_NON_PAGED, size as u64, TAG)).cast()
}

fn free(block: *mut u8) {
    nt!(ExFreePoolWithTag(block.cast(), TAG));
}

fn write(block: *mut u8, at: usize) {
    // SAFETY: Where the kernel refuses the access, it says so.
    unsafe { block.wrapping_add(at).write_volatile(1) };
}

fn read(block: *mut u8, at: usize) -> u8 {
    // SAFETY: As above.
    unsafe { block.wrapping_add(at).read_volatile() }
}

#[test]
fn blocks_are_zeroed_aligned_and_usable_to_their_end() {
    nthost::boot(config()).expect("the other tests run in processes of their own");
    for size in [1, 16, 24, 100, 4096, 5000] {
        let block = allocate(size);
        let align = if size >= 4096 { 4096 } else { 16 };
        assert_eq!(block as usize % align, 0);
        assert!((0..size).all(|at| read(block, at) == 0));
        write(block, size - 1);
        free(block);
    }
}

#[test]
fn beyond_the_end() {
    let report = expect_bug_check!(|| write(allocate(32), 32));
    assert_eq!(report.code, bugcheck::PAGE_FAULT_BEYOND_END_OF_ALLOCATION);
    assert_eq!(report.parameters[1], 1, "a write");
    assert_eq!(report.parameters[0] % 4096, 0, "the page after the block");
}

#[test]
fn beyond_the_end_within_the_page_is_found_by_freeing() {
    let report = expect_bug_check!(|| {
        let block = allocate(30);
        write(block, 30);
        free(block);
    });
    assert_eq!(
        report.code,
        bugcheck::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION
    );
    assert_eq!(report.parameters[3], 0x23);
}

#[test]
fn after_it_was_freed() {
    let report = expect_bug_check!(|| {
        let block = allocate(32);
        free(block);
        read(block, 0);
    });
    assert_eq!(report.code, bugcheck::PAGE_FAULT_IN_FREED_SPECIAL_POOL);
    assert_eq!(report.parameters[1], 0, "a read");
}

#[test]
fn freed_twice() {
    let report = expect_bug_check!(|| {
        let block = allocate(32);
        free(block);
        free(block);
    });
    assert_eq!(report.code, bugcheck::BAD_POOL_CALLER);
}

#[test]
fn a_lock_in_a_block_that_was_freed() {
    let report = expect_bug_check!(|| {
        let block = allocate(8);
        nt!(KeInitializeSpinLock(block.cast()));
        free(block);
        nt!(KeAcquireSpinLockRaiseToDpc(block.cast()));
    });
    assert_eq!(report.code, bugcheck::PAGE_FAULT_IN_FREED_SPECIAL_POOL);
    assert_eq!(report.thread.irql, DISPATCH);
}
