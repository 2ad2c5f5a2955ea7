//! Reading memory of which nobody knows whether it is there.

use core::mem::offset_of;

use nt_abi::{DISPATCHER_HEADER, KWAIT_BLOCK};

/// No list that is longer is one that a driver meant.
const LONGEST_LIST: usize = 100_000;

/// The bytes at an address, as far as a page fault does not say otherwise.
fn bytes<const N: usize>(address: u64) -> Option<[u8; N]> {
    let mut buffer = [0; N];
    read_into(address, &mut buffer).then_some(buffer)
}

/// Reads all of a buffer, or says that it could not.
fn read_into(address: u64, buffer: &mut [u8]) -> bool {
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let remote = libc::iovec {
        iov_base: crate::address::pointer(address),
        iov_len: buffer.len(),
    };
    // SAFETY: It has no precondition.
    let process = unsafe { libc::getpid() };
    // SAFETY: The local part is the buffer; what cannot be read of the other is an error, and no fault.
    let read =
        unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read) == Ok(buffer.len())
}

/// So many bytes at an address, as far as a page fault does not say otherwise.
pub fn read(address: u64, length: u64) -> Option<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(length).ok()?];
    read_into(address, &mut buffer).then_some(buffer)
}

pub fn u64_at(address: u64) -> Option<u64> {
    bytes(address).map(u64::from_le_bytes)
}

pub fn u32_at(address: u64) -> Option<u32> {
    bytes(address).map(u32::from_le_bytes)
}

pub fn u16_at(address: u64) -> Option<u16> {
    bytes(address).map(u16::from_le_bytes)
}

pub fn u8_at(address: u64) -> Option<u8> {
    bytes(address).map(u8::from_le_bytes)
}

/// The entries of the list with this head, until one cannot be read.
pub fn list(head: u64) -> impl Iterator<Item = u64> {
    let first = u64_at(head);
    core::iter::successors(first, |entry| u64_at(*entry))
        .take_while(move |entry| *entry != head && *entry != 0)
        .take(LONGEST_LIST)
}

/// The threads that wait for the dispatcher object at an address, which may be null.
pub fn waiters(object: u64) -> Vec<u64> {
    if object == 0 {
        return Vec::new();
    }
    let head = object + offset_of!(DISPATCHER_HEADER, WaitListHead) as u64;
    let thread = offset_of!(KWAIT_BLOCK, Thread) as u64;
    list(head)
        .filter_map(|block| u64_at(block + thread))
        .collect()
}
