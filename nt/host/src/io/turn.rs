//! Plug and Play does one thing at a time: who starts, asks or removes a device has the turn.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};
use std::sync::Once;

use nt_abi::{
    _EVENT_TYPE::SynchronizationEvent, _KWAIT_REASON::Executive, _MODE::KernelMode, FALSE, KEVENT,
    PKEVENT, TRUE,
};

use crate::{
    ke::{
        event::ddk::{KeInitializeEvent, KeSetEvent},
        wait::ddk::KeWaitForSingleObject,
    },
    thread::Thread,
};

/// An event that is signalled while nobody has the turn.
struct Free(UnsafeCell<MaybeUninit<KEVENT>>);

// SAFETY: The event is accessed by the dispatcher alone, which has its lock.
unsafe impl Sync for Free {}

static FREE: Free = Free(UnsafeCell::new(MaybeUninit::uninit()));
/// The thread that has the turn, by its address, and how often it took it.
static OWNER: AtomicU64 = AtomicU64::new(0);
static DEPTH: AtomicU32 = AtomicU32::new(0);

fn free() -> PKEVENT {
    static READY: Once = Once::new();
    let event = FREE.0.get().cast();
    READY.call_once(|| {
        // SAFETY: The event lies where it stays, and nobody else knows it before this is over.
        unsafe { KeInitializeEvent(event, SynchronizationEvent, TRUE) };
    });
    event
}

/// The turn, which ends when it is dropped.
pub struct Turn(());

/// Waits for the turn, unless the thread has it. `PASSIVE_LEVEL`.
pub fn take(thread: &Thread) -> Turn {
    if OWNER.load(Ordering::Relaxed) != thread.address() {
        // SAFETY: The event is initialised; a wait without a time-out that is not alertable succeeds.
        unsafe {
            KeWaitForSingleObject(
                free().cast(),
                Executive,
                KernelMode as i8,
                FALSE,
                ptr::null_mut(),
            )
        };
        OWNER.store(thread.address(), Ordering::Relaxed);
    }
    DEPTH.fetch_add(1, Ordering::Relaxed);
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        if DEPTH.fetch_sub(1, Ordering::Relaxed) == 1 {
            OWNER.store(0, Ordering::Relaxed);
            // SAFETY: The event is initialised.
            unsafe { KeSetEvent(free(), 0, FALSE) };
        }
    }
}
