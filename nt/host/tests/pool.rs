//! Pool: what memory is given out, what must be true of a request, and what freeing finds.
#![cfg(not(windows))]

mod support;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

const TAG: ULONG = u32::from_le_bytes(*b"Test");

fn allocate(flags: POOL_FLAGS, size: SIZE_T) -> *mut u8 {
    nt!(ExAllocatePool2(flags, size, TAG)).cast()
}

fn free(memory: *mut u8) {
    nt!(ExFreePoolWithTag(memory.cast(), TAG));
}

const fn bytes<'a>(memory: *mut u8, size: usize) -> &'a [u8] {
    // SAFETY: The test allocated as many bytes and does not free them while it looks.
    unsafe { core::slice::from_raw_parts(memory, size) }
}

#[test]
fn memory_is_zeroed_unless_it_is_asked_not_to_be() {
    let zeroed = allocate(POOL_FLAG_NON_PAGED, 100);
    assert!(bytes(zeroed, 100).iter().all(|&byte| byte == 0));
    let raw = allocate(POOL_FLAG_PAGED | POOL_FLAG_UNINITIALIZED, 100);
    assert!(
        bytes(raw, 100).iter().all(|&byte| byte != 0),
        "so that nobody relies on it"
    );
    free(zeroed);
    free(raw);
}

#[test]
fn small_blocks_lie_at_16_bytes_and_large_ones_at_a_page() {
    for size in [1, 8, 24, 100, 4095, 4096, 10_000] {
        let memory = allocate(POOL_FLAG_NON_PAGED, size);
        let align = if size >= 4096 { 4096 } else { 16 };
        assert_eq!(memory as usize % align, 0, "{size} bytes");
        free(memory);
    }
}

#[test]
fn a_block_of_a_page_or_less_lies_in_one_page() {
    let sizes = (1..40).map(|number| 100 * number);
    let blocks: Vec<_> = sizes
        .cycle()
        .take(400)
        .map(|size| (allocate(POOL_FLAG_NON_PAGED, size), size))
        .collect();
    for (memory, size) in blocks {
        let (first, last) = (memory as u64, memory as u64 + size - 1);
        assert_eq!(first / 4096, last / 4096, "{size} bytes at {memory:p}");
        free(memory);
    }
}

#[test]
fn flags_that_are_required_must_be_known_and_optional_ones_need_not_be() {
    const UNKNOWN: POOL_FLAGS = 1 << 12;
    const RESERVED: POOL_FLAGS = 0x10;
    for flag in [UNKNOWN, RESERVED, POOL_FLAG_SESSION] {
        let memory = allocate(POOL_FLAG_NON_PAGED | flag, 8);
        assert!(memory.is_null(), "flag 0x{flag:X}");
    }
    let special = 1 << 32;
    for flag in [POOL_FLAG_USE_QUOTA, special, special << 20] {
        let memory = allocate(POOL_FLAG_PAGED | flag, 8);
        assert!(!memory.is_null(), "flag 0x{flag:X}");
        free(memory);
    }
    let memory = allocate(POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_CACHE_ALIGNED, 8);
    assert_eq!(memory as usize % 64, 0);
    free(memory);
}

#[test]
fn blocks_are_on_record_until_they_are_freed() {
    let memory = allocate(POOL_FLAG_PAGED, 42);
    let find = || {
        let blocks = nthost::ex::pool::allocated();
        blocks
            .into_iter()
            .find(|block| block.address == memory as u64)
    };
    let block = find().expect("the block is on record");
    assert_eq!(
        (block.size, block.tag_text().as_str(), block.paged),
        (42, "Test", true)
    );
    free(memory);
    assert_eq!(find(), None);
}

#[test]
fn a_request_that_makes_no_sense_gets_nothing() {
    assert!(allocate(0, 8).is_null(), "no kind of pool");
    assert!(
        allocate(POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED, 8).is_null(),
        "two kinds"
    );
    assert!(
        nt!(ExAllocatePool2(POOL_FLAG_PAGED, 8, 0)).is_null(),
        "no tag"
    );
    assert!(
        allocate(POOL_FLAG_NON_PAGED, u64::MAX / 2).is_null(),
        "no memory"
    );
}

#[test]
fn raising_on_failure() {
    let report = expect_bug_check(|| {
        allocate(
            POOL_FLAG_NON_PAGED | POOL_FLAG_RAISE_ON_FAILURE,
            u64::MAX / 2,
        );
    });
    assert_eq!(report.code, bugcheck::KMODE_EXCEPTION_NOT_HANDLED);
}

#[test]
fn zero_bytes() {
    let report = expect_bug_check(|| {
        allocate(POOL_FLAG_NON_PAGED, 0);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x00));
}

#[test]
fn paged_pool_at_dispatch_level() {
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        allocate(POOL_FLAG_PAGED, 24);
    });
    assert_eq!(
        (report.code, report.parameters),
        (VERIFIER, [0x01, 2, 1, 24])
    );
    let report = expect_bug_check(|| {
        let memory = allocate(POOL_FLAG_PAGED, 24);
        raise(DISPATCH);
        free(memory);
    });
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x11, 2, 1][..])
    );
}

#[test]
fn nonpaged_pool_above_dispatch_level() {
    let report = expect_bug_check(|| {
        raise(HIGH);
        allocate(POOL_FLAG_NON_PAGED, 24);
    });
    assert_eq!(
        (report.code, report.parameters),
        (VERIFIER, [0x02, 15, 0, 24])
    );
}

#[test]
fn freeing_twice_or_what_is_no_pool() {
    let report = expect_bug_check(|| {
        let memory = allocate(POOL_FLAG_NON_PAGED, 24);
        free(memory);
        free(memory);
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::BAD_POOL_CALLER, 0x46)
    );
    let report = expect_bug_check(|| free(allocate(POOL_FLAG_NON_PAGED, 24).wrapping_add(8)));
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::BAD_POOL_CALLER, 0x46)
    );
}

#[test]
fn freeing_with_another_tag() {
    let report = expect_bug_check(|| {
        nt!(ExFreePoolWithTag(
            allocate(POOL_FLAG_NON_PAGED, 24).cast(),
            TAG + 1
        ));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::BAD_POOL_CALLER, 0x0A)
    );
    assert_eq!(report.parameters[2..], [u64::from(TAG), u64::from(TAG) + 1]);
}

#[test]
fn the_newest_function_to_free_looks_at_the_tag_too() {
    let no_parameters = (core::ptr::null_mut(), 0);
    let free = |memory: *mut u8, tag| {
        nt!(ExFreePool2(
            memory.cast(),
            tag,
            no_parameters.0,
            no_parameters.1
        ));
    };
    free(allocate(POOL_FLAG_NON_PAGED, 24), TAG);
    free(allocate(POOL_FLAG_NON_PAGED, 24), 0);
    let report = expect_bug_check(|| free(allocate(POOL_FLAG_NON_PAGED, 24), TAG + 1));
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::BAD_POOL_CALLER, 0x0A)
    );
}

#[test]
fn writing_past_the_end() {
    let report = expect_bug_check(|| {
        let memory = allocate(POOL_FLAG_NON_PAGED, 24);
        // SAFETY: The byte after the block belongs to the guard of the kernel.
        unsafe { memory.wrapping_add(24).write(0) };
        free(memory);
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[3]),
        (VERIFIER, 0x52, 24)
    );
}

#[test]
fn no_memory_is_a_null_pointer_or_an_exception() {
    /// More than an address space holds.
    const TOO_MUCH: SIZE_T = 1 << 60;
    let tag = u32::from_le_bytes(*b"quot");
    let null = core::ptr::null_mut();
    assert_eq!(nt!(ExAllocatePoolWithTag(0, TOO_MUCH, tag)), null);
    let quiet = POOL_QUOTA_FAIL_INSTEAD_OF_RAISE;
    assert_eq!(nt!(ExAllocatePoolWithQuotaTag(quiet, TOO_MUCH, tag)), null);
    let by_quota = expect_bug_check(|| {
        nt!(ExAllocatePoolWithQuotaTag(0, TOO_MUCH, tag));
    });
    let by_flag = expect_bug_check(|| {
        let loud = POOL_RAISE_IF_ALLOCATION_FAILURE;
        nt!(ExAllocatePoolWithTag(loud, TOO_MUCH, tag));
    });
    for report in [by_quota, by_flag] {
        assert_eq!(report.code, bugcheck::KMODE_EXCEPTION_NOT_HANDLED);
        let status = i64::from(STATUS_INSUFFICIENT_RESOURCES).cast_unsigned();
        assert_eq!(report.parameters[0], status);
    }
    let block = nt!(ExAllocatePoolWithQuotaTag(0, 0x20, tag));
    assert!(!block.is_null());
    nt!(ExFreePoolWithTag(block, tag));
}
