//! What a kernel image without the standard library needs: an allocator and a panic handler.

use super::{ExAllocatePoolWithTag, ExFreePoolWithTag, KeBugCheckEx, print};
use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

/// Nonpaged pool under the tag `Wdf1`. `ExAllocatePool2` would be the newer way, but Wine has no
/// such export.
struct Pool;

const TAG: u32 = u32::from_le_bytes(*b"Wdf1");
/// `NonPagedPoolNx`.
const NON_PAGED_POOL_NX: i32 = 512;
/// Pool blocks of x64 are aligned to 16.
const POOL_ALIGNMENT: usize = 16;

// SAFETY: Blocks come from pool, are at least as long and aligned as asked for, and stay valid until
// they are freed by the same allocator.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > POOL_ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: The caller of `alloc` passes a layout of nonzero size.
        unsafe { ExAllocatePoolWithTag(NON_PAGED_POOL_NX, layout.size() as u64, TAG) }.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: The block came from `alloc` above.
        unsafe { ExFreePoolWithTag(block.cast(), TAG) };
    }
}

#[global_allocator]
static POOL: Pool = Pool;

/// A panic is a defect of the framework itself: the system stops.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (file, line) = info
        .location()
        .map_or(("", 0), |place| (place.file(), place.line()));
    print(c"WDFLDR: panic in the framework, line %Iu\n", line as usize);
    // SAFETY: Stops the system; the parameters are plain values.
    unsafe {
        KeBugCheckEx(
            nt_abi::bugcheck::WDF_VIOLATION,
            0,
            file.as_ptr() as u64,
            file.len() as u64,
            u64::from(line),
        )
    }
}

/// The marker by which objects that touch floating-point numbers ask for the C runtime's support, of
/// which nothing is used.
#[unsafe(no_mangle)]
static _fltused: i32 = 0;

/// The exception handler of frames that clean up while unwinding, which a precompiled `alloc` names.
/// A panic here unwinds nothing, and every other exception is for somebody else
/// (`ExceptionContinueSearch`).
#[unsafe(no_mangle)]
const extern "system" fn __CxxFrameHandler3() -> i32 {
    1
}
