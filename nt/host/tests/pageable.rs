//! Pageable memory: there below `DISPATCH_LEVEL`, and not at it.
#![cfg(not(windows))]

mod support;

use nthost::{Kernel, bugcheck::BugCheckReport, ntddk::*, testing::expect_bug_check};
use support::{image::driver, *};

/// A number in paged pool.
struct Paged(*mut u32);

// SAFETY: Threads use it one after the other.
unsafe impl Sync for Paged {}

impl Paged {
    fn new() -> Self {
        let tag = u32::from_le_bytes(*b"page");
        Self(nt!(ExAllocatePool2(POOL_FLAG_PAGED, 4, tag)).cast())
    }

    fn get(&self) -> u32 {
        // SAFETY: The block is allocated; where the kernel refuses the access, it says so.
        unsafe { self.0.read_volatile() }
    }

    fn set(&self, value: u32) {
        // SAFETY: As above.
        unsafe { self.0.write_volatile(value) };
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        nt!(ExFreePool(self.0.cast()));
    }
}

#[test]
fn paged_pool_keeps_its_contents_while_it_is_out() {
    let paged = Paged::new();
    for value in 1..=3 {
        paged.set(value);
        let old = raise(DISPATCH);
        assert_eq!(nt!(MmIsAddressValid(paged.0.cast())), FALSE);
        lower(old);
        assert_eq!(paged.get(), value);
        assert_eq!(nt!(MmIsAddressValid(paged.0.cast())), TRUE);
    }
    let old = raise(APC);
    assert_eq!(paged.get(), 3);
    lower(old);
    on_system_thread(|| assert_eq!(paged.get(), 3));
}

fn assert_fault(report: &BugCheckReport, code: u32, write: u64) {
    assert_eq!(report.code, code, "{report}");
    assert_eq!(report.parameters[1..3], [2, write]);
}

#[test]
fn touching_paged_pool_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let paged = Paged::new();
        paged.set(1);
        raise(DISPATCH);
        paged.get();
    });
    assert_fault(&report, bugcheck::IRQL_NOT_LESS_OR_EQUAL, 0);
    let report = expect_bug_check(|| {
        let (paged, lock) = (Paged::new(), Object::new(0));
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        paged.set(1);
    });
    assert_fault(&report, bugcheck::IRQL_NOT_LESS_OR_EQUAL, 1);
    assert_eq!(report.thread.irql, DISPATCH);
}

#[test]
fn a_buffer_of_paged_pool_whose_pages_are_locked() {
    let paged = Paged::new();
    let none = core::ptr::null_mut();
    let mdl = nt!(IoAllocateMdl(paged.0.cast(), 4, FALSE, FALSE, none));
    nt!(MmProbeAndLockPages(mdl, 0, 1));
    let old = raise(DISPATCH);
    paged.set(7);
    lower(old);
    nt!(MmUnlockPages(mdl));
    nt!(IoFreeMdl(mdl));
    let old = raise(DISPATCH);
    assert_eq!(nt!(MmIsAddressValid(paged.0.cast())), FALSE);
    lower(old);
    assert_eq!(paged.get(), 7);
}

/// An image whose code is in a section named `PAGE`.
fn pageable_image(image: &image::Image) -> Vec<u8> {
    let mut file = image.clone().build();
    let name = file
        .windows(8)
        .position(|bytes| bytes == b".text\0\0\0")
        .expect("the image has code");
    file[name..name + 8].copy_from_slice(b"PAGE\0\0\0\0");
    file
}

#[test]
fn pageable_code_runs_and_calls_below_dispatch_level() {
    let image = driver()
        .call("KeEnterCriticalRegion")
        .call("KeLeaveCriticalRegion")
        .result(STATUS_SUCCESS)
        .ret();
    let old = raise(DISPATCH);
    lower(old);
    let driver = Kernel::get().load_image("paged.sys", &pageable_image(&image));
    assert!(driver.is_ok_and(|driver| driver.unload().is_ok()));
}

#[test]
fn pageable_code_that_goes_to_dispatch_level() {
    let image = driver().call("KeRaiseIrqlToDpcLevel");
    // Behind the call, an instruction of four bytes gives the stack back.
    let next = u64::from(image.here()) - 4;
    let report = expect_bug_check(|| {
        let image = driver().call("KeRaiseIrqlToDpcLevel").ret();
        let stop = Kernel::get().load_image("paged.sys", &pageable_image(&image));
        assert!(stop.is_err_and(|stop| stop.bug_check().is_some()));
        // The kernel is dead: this does not return.
        irql();
    });
    assert_eq!(report.code, bugcheck::DRIVER_IRQL_NOT_LESS_OR_EQUAL);
    let [address, irql, access, instruction] = report.parameters;
    assert_eq!((irql, access, instruction), (2, 8, address));
    assert_eq!(address & 0xFFF, next & 0xFFF, "where the call returns to");
    assert!(report.rule.contains("paged.sys+"), "{report}");
}
