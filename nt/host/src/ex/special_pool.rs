//! Blocks of pool that have pages to themselves: paged pool that can be paged out, and special pool.
//!
//! A block of special pool ends where its last page ends, and the page after it cannot be accessed, nor can a
//! block that was freed, until so many others were freed that its addresses are used again. So an access
//! beyond the end or after the end of its life is a page fault. A block is aligned as others are: the few
//! bytes that are left behind it are filled, and looked at when it is freed.

use core::ops::Range;
use std::collections::{BTreeMap, VecDeque};

use nt_abi::PAGE_SIZE;
use parking_lot::Mutex;
use region::Protection;

use crate::{loader::pages::Pages, mm::pageable};

/// What pages are used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// A block that may be paged out.
    Paged,
    /// A block of special pool.
    Special,
}

/// What an address that cannot be accessed is, in special pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Beyond the end of a block.
    Beyond,
    /// In a block that was freed.
    Freed,
}

/// The pages of one block.
struct Block {
    pages: Pages,
    purpose: Use,
    freed: bool,
}

struct Blocks {
    /// By the first address of their pages.
    all: BTreeMap<usize, Block>,
    /// Those that were freed, the first first.
    freed: VecDeque<usize>,
}

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks {
    all: BTreeMap::new(),
    freed: VecDeque::new(),
});

/// How many freed blocks are kept from being used again.
const KEPT: usize = 1024;

/// More mappings than this the host does not give a process, with room for its own.
const MOST: usize = 16_000;

/// What the bytes between a block's end and the end of its page hold.
const FILL: u8 = 0x5A;

/// Allocates zeroed memory with pages of its own; `None` if the host gives no more.
pub fn allocate(size: usize, align: usize, purpose: Use) -> Option<*mut u8> {
    let mut blocks = BLOCKS.lock();
    if blocks.all.len() >= MOST {
        return None;
    }
    let length = size.checked_next_multiple_of(PAGE_SIZE)?;
    let guard = if purpose == Use::Special {
        PAGE_SIZE
    } else {
        0
    };
    let pages = Pages::new(length.checked_add(guard)?, Protection::READ_WRITE).ok()?;
    let start = pages.range().start;
    let slack = match purpose {
        Use::Paged => length - size,
        Use::Special => (length - size) % align,
    };
    let end = pages.start().wrapping_add(length - slack);
    // SAFETY: The bytes are the last of the block's own pages.
    unsafe { end.write_bytes(FILL, slack) };
    match purpose {
        Use::Paged => pageable::add(&(start..start + length), Protection::READ_WRITE),
        Use::Special => protect(&(start + length..start + length + PAGE_SIZE))?,
    }
    let block = Block {
        pages,
        purpose,
        freed: false,
    };
    blocks.all.insert(start, block);
    drop(blocks);
    Some(end.wrapping_sub(size))
}

/// Whether nobody has written to the bytes between the end of a block and that of its page.
pub fn is_intact(address: usize, size: usize) -> bool {
    let slack = (address + size).wrapping_neg() % PAGE_SIZE;
    let end = crate::address::pointer::<u8>((address + size) as u64);
    // SAFETY: The block is allocated, and these are the last bytes of its pages.
    let slack = unsafe { core::slice::from_raw_parts(end, slack) };
    slack.iter().all(|&byte| byte == FILL)
}

/// Frees the block at an address, whose pages cannot be accessed then; false if it has none of its own.
pub fn free(address: usize) -> bool {
    let mut blocks = BLOCKS.lock();
    let Some((start, block)) = blocks.at_mut(address) else {
        return false;
    };
    let range = block.pages.range();
    block.freed = true;
    if block.purpose == Use::Paged {
        pageable::remove(&range);
    }
    // Pages that stay accessible show less; nothing depends on it.
    let _ = protect(&range);
    blocks.freed.push_back(start);
    let oldest = if blocks.freed.len() > KEPT {
        blocks.freed.pop_front()
    } else {
        None
    };
    if let Some(oldest) = oldest {
        blocks.all.remove(&oldest);
    }
    drop(blocks);
    true
}

/// What is wrong with the access to an address in special pool.
pub fn fault(address: usize) -> Option<Fault> {
    let mut blocks = BLOCKS.lock();
    let (_, block) = blocks.at_mut(address)?;
    let fault = match block.purpose {
        _ if block.freed => Fault::Freed,
        Use::Special => Fault::Beyond,
        Use::Paged => return None,
    };
    drop(blocks);
    Some(fault)
}

impl Blocks {
    /// The block in whose pages an address lies.
    fn at_mut(&mut self, address: usize) -> Option<(usize, &mut Block)> {
        let (start, block) = self.all.range_mut(..=address).next_back()?;
        block
            .pages
            .range()
            .contains(&address)
            .then_some((*start, block))
    }
}

/// Takes all access to pages away.
fn protect(range: &Range<usize>) -> Option<()> {
    let start = crate::address::pointer::<u8>(range.start as u64);
    // SAFETY: The pages are those of one block, in which nothing lies that is used.
    unsafe { region::protect(start, range.len(), Protection::NONE) }.ok()
}
