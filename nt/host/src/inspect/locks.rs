//! `!locks`: the ERESOURCEs, by the list that links them.
//!
//! The form is that of the page of `!locks` (kdext) in the documentation of `WinDbg`.

use core::{fmt::Write as _, mem::offset_of};

use nt_abi::{ERESOURCE, OWNER_ENTRY, ResourceOwnedExclusive};

use super::{columns, memory, pointer, symbol};
use crate::ex::resource;

/// What a resource holds.
struct Resource {
    address: u64,
    exclusive: bool,
    /// Owners with their counts.
    owners: Vec<(u64, u32)>,
    contention: u32,
    shared_waiters: u32,
    exclusive_waiters: u32,
    waiting_shared: Vec<u64>,
    waiting_exclusive: Vec<u64>,
}

/// The addresses of the resources that are initialised.
pub fn addresses() -> impl Iterator<Item = u64> {
    let link = offset_of!(ERESOURCE, SystemResourcesList) as u64;
    memory::list(resource::list_head()).map(move |entry| entry - link)
}

/// What `!locks` prints; with `all`, resources that nobody holds too.
pub fn text(all: bool) -> String {
    let resources: Vec<_> = addresses().filter_map(Resource::read).collect();
    let mut text = "**** DUMP OF ALL RESOURCE OBJECTS ****\nKD: Scanning for held locks".to_owned();
    for resource in &resources {
        text.push('.');
        if all || resource.is_held() {
            // Writing to a string does not fail.
            let _ = write!(text, "\n\n{}", resource.text());
        }
    }
    let held = resources
        .iter()
        .filter(|resource| resource.is_held())
        .count();
    let _ = writeln!(
        text,
        "\n{} total locks, {held} locks currently held",
        resources.len()
    );
    text
}

impl Resource {
    fn read(address: u64) -> Option<Self> {
        macro_rules! field {
            ($read:ident, $name:ident) => {
                memory::$read(address + offset_of!(ERESOURCE, $name) as u64)
            };
        }
        Some(Self {
            address,
            exclusive: field!(u16_at, Flag)? & ResourceOwnedExclusive != 0,
            owners: owners(address)?,
            contention: field!(u32_at, ContentionCount)?,
            shared_waiters: field!(u32_at, NumberOfSharedWaiters)?,
            exclusive_waiters: field!(u32_at, NumberOfExclusiveWaiters)?,
            waiting_shared: memory::waiters(field!(u64_at, SharedWaiters)?),
            waiting_exclusive: memory::waiters(field!(u64_at, ExclusiveWaiters)?),
        })
    }

    const fn is_held(&self) -> bool {
        !self.owners.is_empty()
    }

    fn state(&self) -> String {
        if !self.is_held() {
            "Available".to_owned()
        } else if self.exclusive {
            "Exclusively owned".to_owned()
        } else {
            format!("Shared {} owning threads", self.owners.len())
        }
    }

    fn text(&self) -> String {
        let mut text = format!("Resource @ {}    {}\n", symbol(self.address), self.state());
        let counters = [
            ("Contention Count", self.contention),
            ("NumberOfSharedWaiters", self.shared_waiters),
            ("NumberOfExclusiveWaiters", self.exclusive_waiters),
        ];
        for (name, value) in counters.iter().filter(|counter| counter.1 != 0) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "    {name} = {value}");
        }
        let owners = self.owners.iter().map(|(id, count)| owner(*id, *count));
        let shared = self.waiting_shared.iter();
        let shared = shared.map(|thread| format!("{}-01   ", pointer(*thread)));
        let threads: Vec<_> = owners.chain(shared).collect();
        if !threads.is_empty() {
            let _ = writeln!(text, "     Threads: {}", columns(&threads, 14));
        }
        let waiting = self.waiting_exclusive.iter();
        let waiting: Vec<_> = waiting.map(|thread| pointer(*thread)).collect();
        if !waiting.is_empty() {
            let _ = writeln!(
                text,
                "     Threads Waiting On Exclusive Access:\n              {}",
                columns(&waiting, 14)
            );
        }
        text
    }
}

/// An owner with its count: a thread, or an owner pointer, of which both low bits are set.
fn owner(id: u64, count: u32) -> String {
    let text = format!("{}-{count:02x}<*>", pointer(id));
    if id & 3 == 3 {
        format!("{text} *** Actual Thread {}", pointer(id & !3))
    } else {
        text
    }
}

const ENTRY: u64 = size_of::<OWNER_ENTRY>() as u64;

/// The table of a resource's owners, and how many entries it has; none if that is 0.
fn owner_table(resource: u64) -> Option<(u64, u64)> {
    let table = memory::u64_at(resource + offset_of!(ERESOURCE, OwnerTable) as u64)?;
    if table == 0 {
        return Some((0, 0));
    }
    // The first entry of a table holds its size.
    let size = memory::u32_at(table + offset_of!(OWNER_ENTRY, OwnerCount) as u64)?;
    Some((table, u64::from(size)))
}

/// Where the tables of all resources begin and end.
pub fn owner_tables() -> Vec<(u64, u64)> {
    let tables = addresses().filter_map(owner_table);
    tables
        .map(|(table, size)| (table, table + size * ENTRY))
        .collect()
}

/// The entries of the resource and of its table that have an owner.
pub fn owners(resource: u64) -> Option<Vec<(u64, u32)>> {
    /// `OwnerCount` begins at this bit.
    const SHIFT: u32 = 3;
    let count_at = offset_of!(OWNER_ENTRY, OwnerCount) as u64;
    let first = resource + offset_of!(ERESOURCE, OwnerEntry) as u64;
    let (table, size) = owner_table(resource)?;
    let table = (1..size).map(|index| table + index * ENTRY);
    let entries = core::iter::once(first).chain(table);
    entries
        .filter_map(|entry| {
            let owner = memory::u64_at(entry)?;
            let count = memory::u32_at(entry + count_at)?;
            (owner != 0).then_some(Some((owner, count >> SHIFT)))
        })
        .collect()
}
