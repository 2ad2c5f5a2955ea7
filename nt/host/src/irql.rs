//! Raising and lowering the IRQL of the calling thread.

use nt_abi::KIRQL;

use crate::{apc, mm::pageable, processor, thread::Thread};

/// `DISPATCH_LEVEL` in the type that IRQLs have.
pub const DISPATCH: KIRQL = 2;
/// `APC_LEVEL` in the type that IRQLs have.
pub const APC: KIRQL = 1;
/// `PASSIVE_LEVEL` in the type that IRQLs have.
pub const PASSIVE: KIRQL = 0;

const _: () = {
    assert!(DISPATCH as u32 == nt_abi::DISPATCH_LEVEL);
    assert!(APC as u32 == nt_abi::APC_LEVEL);
    assert!(PASSIVE as u32 == nt_abi::PASSIVE_LEVEL);
};

/// Raises to `new`, which the caller has found to be no lower than the current IRQL.
#[inline]
pub fn raise(thread: &Thread, new: KIRQL) {
    if new >= DISPATCH && !thread.is_at_dispatch() {
        pageable::page_out();
        processor::acquire(thread);
    }
    thread.set_irql(new);
}

/// Lowers to `new`, which the caller has found to be no higher than the current IRQL. DPCs that are
/// queued to the processor run on the way, and below `APC_LEVEL` the APCs of the thread.
#[inline]
pub fn lower(thread: &'static Thread, new: KIRQL) {
    if new < DISPATCH && thread.is_at_dispatch() {
        thread.set_irql(DISPATCH);
        processor::release(thread);
    }
    thread.set_irql(new);
    apc::deliver(thread);
}
