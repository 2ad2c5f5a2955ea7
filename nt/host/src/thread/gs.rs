//! What inline functions of the WDK headers read through the GS segment: the processor control
//! region. On Windows it belongs to the processor; here each thread has one of its own, because a
//! host thread is what GS belongs to.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering},
};

use super::Thread;

/// The offset of the processor block (`KPRCB`) in the control region (`KPCR`).
const PRCB: usize = 0x180;

/// A `KPCR`, as far as it is read: one page, most of it room.
#[repr(C, align(64))]
pub struct ProcessorBlock {
    reserved1: [u8; 0x18],
    /// `Self`.
    region: AtomicPtr<Self>,
    /// `CurrentPrcb`.
    current_prcb: AtomicPtr<u8>,
    reserved2: [u8; 0x15C],
    /// `Prcb.LegacyNumber`, which `KeGetCurrentProcessorNumber` reads.
    legacy_number: AtomicU8,
    reserved3: [u8; 3],
    /// `Prcb.CurrentThread`, which `KeGetCurrentThread` reads.
    current_thread: AtomicPtr<Thread>,
    reserved4: [u8; 0x14],
    /// `Prcb.Number`.
    number: AtomicU32,
    reserved5: [u8; 0xE58],
}

const _: () = {
    assert!(core::mem::offset_of!(ProcessorBlock, region) == 0x18);
    assert!(core::mem::offset_of!(ProcessorBlock, current_prcb) == 0x20);
    assert!(core::mem::offset_of!(ProcessorBlock, legacy_number) == PRCB + 0x04);
    assert!(core::mem::offset_of!(ProcessorBlock, current_thread) == PRCB + 0x08);
    assert!(core::mem::offset_of!(ProcessorBlock, number) == PRCB + 0x24);
    assert!(size_of::<ProcessorBlock>() == nt_abi::PAGE_SIZE);
};

impl Default for ProcessorBlock {
    fn default() -> Self {
        Self {
            reserved1: [0; 0x18],
            region: AtomicPtr::new(ptr::null_mut()),
            current_prcb: AtomicPtr::new(ptr::null_mut()),
            reserved2: [0; 0x15C],
            legacy_number: AtomicU8::new(0),
            reserved3: [0; 3],
            current_thread: AtomicPtr::new(ptr::null_mut()),
            reserved4: [0; 0x14],
            number: AtomicU32::new(0),
            reserved5: [0; 0xE58],
        }
    }
}

impl ProcessorBlock {
    /// Records the processor's number.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a kernel has at most 64 processors"
    )]
    pub fn set_number(&self, number: u32) {
        self.legacy_number.store(number as u8, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
    }

    /// Makes the GS segment of the calling host thread point here.
    pub fn install(&self, thread: &Thread) {
        let address = ptr::from_ref(self).cast_mut();
        self.region.store(address, Ordering::Relaxed);
        self.current_prcb
            .store(address.cast::<u8>().wrapping_add(PRCB), Ordering::Relaxed);
        self.current_thread
            .store(ptr::from_ref(thread).cast_mut(), Ordering::Relaxed);
        set_base(address as u64);
    }
}

/// Makes the GS segment of the calling host thread point nowhere.
pub fn uninstall() {
    set_base(0);
}

fn set_base(base: u64) {
    /// `ARCH_SET_GS` of `asm/prctl.h`.
    const ARCH_SET_GS: u64 = 0x1001;
    // SAFETY: Nothing on x86_64 Linux uses the GS segment but code that is written for Windows, and
    // the call touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    assert_eq!(result, 0, "the host refuses to set the GS base");
}
