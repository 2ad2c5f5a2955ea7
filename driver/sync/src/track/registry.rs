//! What is known of locks, for a debugger: a table that is found in the driver's image by the bytes that
//! it begins with, and that tells where everything else is.
//!
//! Nothing here costs anything while the driver runs: the table is constant.
//!
//! | offset | what |
//! |---|---|
//! | 00 | `wdk-sync locks 2` |
//! | 10 | the size of the table, in bytes |
//! | 14 | features: 1 `lockdep`, 2 `lock_stat` |
//! | 18 | the names of the kinds, each an address and a length |
//! | 20 | how many kinds there are |
//! | 28 | the classes, a [`TableAt`] |
//! | 40 | where the members of a class are: kind, nest, name, file, line, column, contentions, acquisitions |
//! | 60 | the holders of locks, a [`TableAt`] |
//! | 78 | where the members of a holder are: owner, depth, holds; stride and number of these; and of one of these: object, class, shared, file, line, column |
//!
//! A member that there is not, for want of a feature, is at [`NOWHERE`].

use super::{Kind, classes};
#[cfg(feature = "lockdep")]
use crate::lockdep as holders;

/// The offset of a member that there is not.
pub const NOWHERE: u32 = u32::MAX;

/// The offset of a member, or the size of something, as the table has it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "of structures of a few hundred bytes"
)]
pub const fn offset(bytes: usize) -> u32 {
    assert!(bytes < NOWHERE as usize);
    bytes as u32
}

/// Text, as a debugger reads it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Text {
    at: *const u8,
    length: usize,
}

// SAFETY: It is made of text that is there as long as the driver and is never changed.
unsafe impl Send for Text {}
// SAFETY: As above.
unsafe impl Sync for Text {}

impl Text {
    /// This text.
    pub const fn new(text: &'static str) -> Self {
        Self {
            at: text.as_ptr(),
            length: text.len(),
        }
    }
}

/// Where a table is.
#[repr(C)]
pub struct TableAt {
    /// How many entries there are; null: as many as there can be.
    pub used: *const (),
    /// The first entry.
    pub first: *const (),
    /// From one entry to the next.
    pub stride: u32,
    /// How many entries there can be.
    pub capacity: u32,
}

#[repr(C)]
struct Registry {
    magic: [u8; 16],
    size: u32,
    features: u32,
    kinds: *const Text,
    kind_count: u32,
    reserved: u32,
    classes: TableAt,
    class: [u32; 8],
    holders: TableAt,
    holder: [u32; 11],
}

// SAFETY: It is constant, and what it points to is there as long as the driver.
unsafe impl Sync for Registry {}

static KINDS: [Text; Kind::ALL.len()] = {
    let mut kinds = [Text::new(""); Kind::ALL.len()];
    let mut number = 0;
    while number < kinds.len() {
        assert!(Kind::ALL[number] as usize == number);
        kinds[number] = Text::new(Kind::ALL[number].name());
        number += 1;
    }
    kinds
};

static REGISTRY: Registry = Registry {
    magic: *b"wdk-sync locks 2",
    size: offset(size_of::<Registry>()),
    features: (cfg!(feature = "lockdep") as u32) | ((cfg!(feature = "lock_stat") as u32) << 1),
    kinds: KINDS.as_ptr(),
    kind_count: offset(KINDS.len()),
    reserved: 0,
    classes: classes::table(),
    class: classes::MEMBERS,
    holders: holders::holders(),
    holder: holders::HOLDER_MEMBERS,
};

/// There are no holders.
#[cfg(not(feature = "lockdep"))]
mod holders {
    use super::{NOWHERE, TableAt};

    pub const fn holders() -> TableAt {
        TableAt {
            used: core::ptr::null(),
            first: core::ptr::null(),
            stride: 0,
            capacity: 0,
        }
    }

    pub const HOLDER_MEMBERS: [u32; 11] = [NOWHERE; 11];
}

/// Keeps the table in the image, for whoever has something to tell by it: nobody else refers to it.
pub fn keep() {
    core::hint::black_box(&raw const REGISTRY);
}

#[cfg(all(test, not(windows), feature = "lockdep"))]
mod tests {
    use super::*;
    use crate::{SpinLock, testing::at_passive_level};

    /// Reads a member, as a debugger does.
    fn read<T: Copy>(of: *const (), offset: u32) -> T {
        let member = of.wrapping_byte_add(offset as usize).cast::<T>();
        // SAFETY: The tests read members of the tables, which are there for good, by the offsets of these.
        unsafe { member.read_volatile() }
    }

    /// The file and the line of everything that is held.
    fn askers() -> Vec<(String, u32)> {
        let [
            owner,
            depth,
            places,
            stride,
            count,
            _object,
            class,
            _shared,
            file,
            line,
            column,
        ] = REGISTRY.holder;
        let table = &REGISTRY.holders;
        let mut found = Vec::new();
        for index in 0..table.capacity {
            let holder = table
                .first
                .wrapping_byte_add((index * table.stride) as usize);
            if read::<usize>(holder, owner) == 0 {
                continue;
            }
            for level in 0..read::<usize>(holder, depth).min(count as usize) {
                let place = holder.wrapping_byte_add(places as usize + level * stride as usize);
                if read::<u16>(place, class) == 0 {
                    continue;
                }
                let text: Text = read(place, file);
                // SAFETY: The place is filled, and so it tells a name that the compiler wrote.
                let name = unsafe { core::slice::from_raw_parts(text.at, text.length) };
                assert_ne!(read::<u32>(place, column), 0);
                found.push((
                    String::from_utf8_lossy(name).into_owned(),
                    read(place, line),
                ));
            }
        }
        found
    }

    #[test]
    fn a_debugger_finds_where_a_lock_was_asked_for() {
        at_passive_level(|irql| {
            let lock = SpinLock::new(0_u8);
            let (_guard, line) = (lock.lock(irql), line!());
            let is_this = |(file, at): &(String, u32)| file.ends_with("registry.rs") && *at == line;
            assert!(askers().iter().any(is_this), "{:?}", askers());
        });
    }
}
