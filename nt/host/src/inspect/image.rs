//! The kernel's memory, for a debugger that reads it later: what a memory dump would have of it.

use std::collections::BTreeSet;

use nt_abi::{KTHREAD, KWAIT_BLOCK, PAGE_SIZE};

use super::{locks, memory};
use crate::{ex::pool, loader::registry, thread};

/// Memory of the kernel and of the drivers, as it was at one moment.
///
/// It has the images that are loaded, every block of pool, the tables of owners of ERESOURCEs, and the thread
/// objects with the wait blocks of those that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryImage {
    /// The images that are loaded.
    pub modules: Vec<Module>,
    /// What is there, by address. Pages that cannot be read are left out.
    pub regions: Vec<Region>,
}

/// An image that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The name of its file.
    pub name: String,
    /// Where it begins.
    pub address: u64,
    /// How long it is, in bytes.
    pub size: u64,
}

/// Memory that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where it begins.
    pub address: u64,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The memory now. Threads go on meanwhile: what they change is of different moments.
pub fn take() -> MemoryImage {
    let mut image = MemoryImage::default();
    let mut ranges = BTreeSet::new();
    for loaded in registry::images() {
        let (start, end) = (loaded.range.start as u64, loaded.range.end as u64);
        image.modules.push(Module {
            name: loaded.name.to_string(),
            address: start,
            size: end - start,
        });
        ranges.insert((start, end));
    }
    let blocks = pool::allocated().into_iter();
    ranges.extend(blocks.map(|block| (block.address, block.address + block.size)));
    thread::each(|thread| {
        let object = thread.address();
        ranges.insert((object, object + size_of::<KTHREAD>() as u64));
        let (blocks, count) = thread.wait.blocks();
        let length = u64::from(count) * size_of::<KWAIT_BLOCK>() as u64;
        ranges.insert((blocks, blocks + length));
    });
    ranges.extend(locks::owner_tables());
    for (start, end) in ranges {
        image.read(start, end);
    }
    image
}

impl MemoryImage {
    /// Adds what can be read, page by page.
    fn read(&mut self, start: u64, end: u64) {
        let mut region: Option<Region> = None;
        let mut at = start;
        while at < end {
            let next = (at / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64;
            let next = next.min(end);
            if let Some(bytes) = memory::read(at, next - at) {
                let region = region.get_or_insert(Region {
                    address: at,
                    bytes: Vec::new(),
                });
                region.bytes.extend(bytes);
            } else {
                self.regions.extend(region.take());
            }
            at = next;
        }
        self.regions.extend(region);
    }
}
