//! Addresses as numbers, which is how bug checks and tables hold them, and back.

/// The pointer to an address that was taken from one before.
pub const fn pointer<T>(address: u64) -> *mut T {
    core::ptr::with_exposed_provenance_mut(to_usize(address))
}

/// A number in the width of the machine.
#[expect(
    clippy::cast_possible_truncation,
    reason = "this crate is for x86_64 alone"
)]
pub const fn to_usize(value: u64) -> usize {
    value as usize
}
