//! Which code of a driver called into the kernel.

use core::{mem::MaybeUninit, ops::Range, slice};

use super::registry::{Location, locate};
use crate::{
    address::{pointer, to_usize},
    mm::pageable,
};

/// How far up a stack the caller is looked for, in bytes: the kernel's own frames are small.
const REACH: usize = 32 * 1024;
/// The longest call instruction, and the shortest.
const CALL_LENGTHS: Range<usize> = 2..8;

/// The innermost code of a loaded image on the stack of the calling thread.
///
/// The stack is searched for a return address: a word that points into an image, behind a call. The
/// kernel's frames have no such words but by accident.
pub fn find() -> Option<Location> {
    let here = 0_u64;
    let bottom = (&raw const here).addr();
    let top = stack_of_thread()?;
    if !top.contains(&bottom) {
        return None;
    }
    let end = top.end.min(bottom.saturating_add(REACH)) & !7;
    let words = (bottom..end).step_by(size_of::<u64>());
    words.map(read_word).find_map(return_address)
}

fn read_word(address: usize) -> u64 {
    // SAFETY: The address is a multiple of eight inside of the running thread's stack, above the
    // pointer to its last used part. What lies there changes only by this thread.
    unsafe { pointer::<u64>(address as u64).read_volatile() }
}

/// The place of a return address: behind a call in an image.
fn return_address(word: u64) -> Option<Location> {
    let location = locate(to_usize(word))?;
    if !location.is_code() || location.offset() < 8 {
        return None;
    }
    if pageable::is_out(to_usize(word)) {
        // Nobody may look at the bytes before it.
        return Some(location);
    }
    // SAFETY: The eight bytes before lie in code of the image, which is readable and loaded: the
    // calling thread is in a call from it.
    let before = unsafe { slice::from_raw_parts(pointer::<u8>(word - 8), 8) };
    CALL_LENGTHS
        .into_iter()
        .any(|length| is_call(&before[8 - length..]))
        .then_some(location)
}

/// Whether the bytes are a call: relative, or through a register or memory.
fn is_call(bytes: &[u8]) -> bool {
    match bytes {
        [0xE8, rest @ ..] => rest.len() == 4,
        [0xFF, modrm, ..] | [0x40..=0x4F, 0xFF, modrm, ..] => modrm >> 3 & 7 == 2,
        _ => false,
    }
}

/// The addresses of the calling thread's stack.
pub fn stack_of_thread() -> Option<Range<usize>> {
    // SAFETY: It has no precondition.
    let thread = unsafe { libc::pthread_self() };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: The place is one for attributes, which this initialises if it succeeds.
    let status = unsafe { libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) };
    if status != 0 {
        return None;
    }
    let (mut start, mut size) = (core::ptr::null_mut(), 0);
    // SAFETY: The attributes are initialised, and the places are local variables.
    let status =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size) };
    // SAFETY: As above; they are not used any more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    (status == 0).then(|| start.addr()..start.addr() + size)
}

#[cfg(test)]
mod tests {
    use super::is_call;

    #[test]
    fn calls_are_recognised() {
        assert!(is_call(&[0xE8, 1, 2, 3, 4]));
        assert!(is_call(&[0xFF, 0x15, 0, 0, 0, 0])); // call [rip]
        assert!(is_call(&[0xFF, 0xD0])); // call rax
        assert!(is_call(&[0x41, 0xFF, 0xD3])); // call r11
        assert!(!is_call(&[0xE8, 1, 2, 3]));
        assert!(!is_call(&[0xFF, 0x25, 0, 0, 0, 0])); // jmp [rip]
        assert!(!is_call(&[0x90, 0x90]));
    }
}
