//! The `KTHREAD` at the start of a thread: the part that drivers and debuggers read.

use core::{
    mem::offset_of,
    sync::atomic::{AtomicI16, AtomicU64, Ordering},
};

use nt_abi::{CLIENT_ID, KTHREAD, object_type};

use crate::{dispatcher::Header, list::ListEntry};

/// A [`KTHREAD`] whose fields are atomic.
#[repr(C)]
pub struct ThreadObject {
    /// Signalled when the thread has ended.
    pub header: Header,
    reserved1: [u8; 0x1CC],
    kernel_apc_disable: AtomicI16,
    special_apc_disable: AtomicI16,
    reserved2: [u8; 0x110],
    /// The mutexes that the thread owns, under the dispatcher lock.
    pub mutants: ListEntry,
    reserved3: [u8; 0x1F8],
    process: AtomicU64,
    id: AtomicU64,
}

const _: () = {
    assert!(size_of::<ThreadObject>() == size_of::<KTHREAD>());
    assert!(offset_of!(ThreadObject, kernel_apc_disable) == offset_of!(KTHREAD, KernelApcDisable));
    assert!(
        offset_of!(ThreadObject, special_apc_disable) == offset_of!(KTHREAD, SpecialApcDisable)
    );
    assert!(offset_of!(ThreadObject, mutants) == offset_of!(KTHREAD, MutantListHead));
    assert!(offset_of!(ThreadObject, id) == offset_of!(KTHREAD, UniqueThread));
};

/// The identifier of the process that all threads belong to: the System process has this one.
const SYSTEM_PROCESS: u64 = 4;

impl ThreadObject {
    /// A thread with an identifier. [`Self::initialize`] must follow when it has its place.
    pub const fn new(id: u64) -> Self {
        Self {
            header: Header::uninitialized(),
            reserved1: [0; 0x1CC],
            kernel_apc_disable: AtomicI16::new(0),
            special_apc_disable: AtomicI16::new(0),
            reserved2: [0; 0x110],
            mutants: ListEntry::unlinked(),
            reserved3: [0; 0x1F8],
            process: AtomicU64::new(SYSTEM_PROCESS),
            id: AtomicU64::new(id),
        }
    }

    /// Makes the list heads point at themselves.
    pub fn initialize(&self) {
        self.header
            .initialize(object_type::Thread, size_of::<KTHREAD>(), 0);
        self.mutants.initialize();
    }

    /// The identifiers of the thread and its process.
    pub fn client_id(&self) -> CLIENT_ID {
        let handle = |id: &AtomicU64| {
            #[expect(clippy::cast_possible_truncation, reason = "usize is as wide")]
            core::ptr::without_provenance_mut(id.load(Ordering::Relaxed) as usize)
        };
        CLIENT_ID {
            UniqueProcess: handle(&self.process),
            UniqueThread: handle(&self.id),
        }
    }

    /// `KernelApcDisable`: below zero while normal kernel APCs are off.
    #[inline]
    pub fn kernel_apc_disable(&self) -> i16 {
        self.kernel_apc_disable.load(Ordering::Relaxed)
    }

    /// `SpecialApcDisable`: below zero while all kernel APCs are off.
    #[inline]
    pub fn special_apc_disable(&self) -> i16 {
        self.special_apc_disable.load(Ordering::Relaxed)
    }

    /// `CombinedApcDisable`: both counts as one 32 bit value, as bug checks report it.
    pub fn combined_apc_disable(&self) -> u64 {
        let low = u64::from(self.kernel_apc_disable().cast_unsigned());
        let high = u64::from(self.special_apc_disable().cast_unsigned());
        high << 16 | low
    }

    /// Counts normal kernel APCs on (1) or off (-1). The signaller of a mutex does it for a thread
    /// that waits, hence the atomic addition.
    pub fn add_kernel_apc_disable(&self, change: i16) {
        self.kernel_apc_disable.fetch_add(change, Ordering::Relaxed);
    }

    /// Counts all kernel APCs on (1) or off (-1).
    pub fn add_special_apc_disable(&self, change: i16) {
        self.special_apc_disable
            .fetch_add(change, Ordering::Relaxed);
    }
}
