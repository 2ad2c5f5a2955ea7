//! Pool: tagged memory, each block of it known until it is freed.
//!
//! Paged and nonpaged pool differ in the IRQL at which they may be asked for and accessed. A block is followed
//! by a guard, which shows a write past its end when the block is freed. What a driver did not ask to be
//! zeroed, and what it has freed, is filled with a pattern.

use core::ptr::{self, NonNull};
use std::{
    alloc::{Layout, alloc, alloc_zeroed, dealloc},
    collections::BTreeMap,
};

use nt_abi::{
    _POOL_TYPE, PAGE_SIZE, POOL_FLAG_CACHE_ALIGNED, POOL_FLAG_NON_PAGED,
    POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED, POOL_FLAG_RAISE_ON_FAILURE,
    POOL_FLAG_UNINITIALIZED, POOL_FLAG_USE_QUOTA, POOL_FLAGS, POOL_QUOTA_FAIL_INSTEAD_OF_RAISE,
    POOL_RAISE_IF_ALLOCATION_FAILURE, POOL_TYPE, PVOID, SIZE_T, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER, ULONG,
    bugcheck::{BAD_POOL_CALLER, SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION},
};
use parking_lot::Mutex;

use super::{
    exception,
    special_pool::{self, Use},
};
use crate::{
    Rules,
    address::{self, to_usize},
    bugcheck,
    export::exports,
    fault,
    io::packet,
    irql::{APC, DISPATCH},
    lock_order,
    mm::pageable,
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    ExAllocatePool2, ExAllocatePoolWithQuotaTag, ExAllocatePoolWithTag, ExFreePool, ExFreePool2, ExFreePoolWithTag,
);

/// A block that is allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolBlock {
    /// Its address.
    pub address: u64,
    /// The size that was asked for, in bytes.
    pub size: u64,
    /// The tag, of which the first character is the lowest byte.
    pub tag: u32,
    /// Whether it is paged pool.
    pub paged: bool,
    home: Home,
}

/// Where the memory of a block comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    /// The host's heap, at a multiple of this.
    Heap(usize),
    /// Pages of its own.
    Pages(Use),
}

impl PoolBlock {
    /// The tag as text; what cannot be printed is a dot.
    #[must_use]
    pub fn tag_text(&self) -> String {
        let printable = |byte: u8| {
            if (b' '..=b'~').contains(&byte) {
                char::from(byte)
            } else {
                '.'
            }
        };
        self.tag.to_le_bytes().map(printable).iter().collect()
    }

    /// Whether nobody has written to what follows the block.
    fn is_intact(&self) -> bool {
        match self.home {
            Home::Heap(_) => read_guard(self) == GUARD,
            Home::Pages(_) => special_pool::is_intact(to_usize(self.address), to_usize(self.size)),
        }
    }
}

/// After the bytes that a driver asked for.
const GUARD: [u8; 16] = *b"nthost-pool-end\xFD";
/// What uninitialised memory holds.
const FILL_NEW: u8 = 0xCD;
/// What freed memory holds.
const FILL_FREED: u8 = 0xDD;

/// As many as the bits of an address that choose one.
const SHARDS: usize = 16;

/// The blocks that are allocated, by address.
static BLOCKS: [Mutex<BTreeMap<u64, PoolBlock>>; SHARDS] =
    [const { Mutex::new(BTreeMap::new()) }; SHARDS];

fn shard(address: u64) -> &'static Mutex<BTreeMap<u64, PoolBlock>> {
    #[expect(clippy::cast_possible_truncation, reason = "only low bits matter")]
    let index = (address >> 4 ^ address >> 12) as usize;
    &BLOCKS[index % SHARDS]
}

/// All blocks that are allocated, by address.
#[must_use]
pub fn allocated() -> Vec<PoolBlock> {
    let mut blocks: Vec<_> = BLOCKS
        .iter()
        .flat_map(|shard| shard.lock().values().copied().collect::<Vec<_>>())
        .collect();
    blocks.sort_unstable_by_key(|block| block.address);
    blocks
}

/// The size of the block that begins at an address, if one does.
pub fn size_of_block(address: u64) -> Option<u64> {
    shard(address).lock().get(&address).map(|block| block.size)
}

/// Whether an address lies in a block that is allocated.
pub fn contains(address: u64) -> bool {
    block_at(address).is_some()
}

/// Whether an address lies in a block of paged pool that is allocated.
pub fn is_paged(address: u64) -> bool {
    block_at(address).is_some_and(|block| block.paged)
}

/// The block that an address lies in.
fn block_at(address: u64) -> Option<PoolBlock> {
    BLOCKS.iter().find_map(|shard| {
        let last = shard
            .lock()
            .range(..=address)
            .next_back()
            .map(|(_, block)| *block);
        last.filter(|block| address < block.address + block.size)
    })
}

/// Blocks of a page or more begin at a page, smaller ones at 16 bytes or at a cache line, as on Windows.
const fn align_of(size: usize, cache_aligned: bool) -> usize {
    match size {
        PAGE_SIZE.. => PAGE_SIZE,
        _ if cache_aligned => 64,
        _ => 16,
    }
}

/// A block and the guard behind it.
fn layout_for(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(GUARD.len())?, align).ok()
}

/// Allocates a block for a driver that asks `function` for it; `None` if the host has no memory left.
fn allocate(
    function: &'static str,
    (size, align): (usize, usize),
    tag: u32,
    paged: bool,
    zero: bool,
) -> Option<NonNull<u8>> {
    if fault::denies_allocation(function) {
        return None;
    }
    let purpose = if verifier::checks(Rules::POOL) {
        Some(Use::Special)
    } else {
        (paged && pageable::is_on()).then_some(Use::Paged)
    };
    let own = purpose.and_then(|purpose| {
        let memory = NonNull::new(special_pool::allocate(size, align, purpose)?)?;
        Some((memory, Home::Pages(purpose)))
    });
    let (block, home) = if let Some(own) = own {
        own
    } else {
        let (memory, align) = allocate_within_a_page(size, align, zero)?;
        (memory, Home::Heap(align))
    };
    if !zero {
        // SAFETY: The block has that size.
        unsafe { block.write_bytes(FILL_NEW, size) };
    }
    let address = block.as_ptr() as u64;
    let record = PoolBlock {
        address,
        size: size as u64,
        tag,
        paged,
        home,
    };
    shard(address).lock().insert(address, record);
    Some(block)
}

/// Allocates a block of the host's heap, and says at a multiple of what: one of a page or less lies in one page.
fn allocate_within_a_page(size: usize, align: usize, zero: bool) -> Option<(NonNull<u8>, usize)> {
    let block = allocate_from_heap(size, align, zero)?;
    let offset = block.addr().get() % PAGE_SIZE;
    if size > PAGE_SIZE || offset + size <= PAGE_SIZE {
        return Some((block, align));
    }
    let layout = layout_for(size, align)?;
    // SAFETY: It was allocated with this layout, and nobody else knows it.
    unsafe { dealloc(block.as_ptr(), layout) };
    let align = size.next_power_of_two();
    Some((allocate_from_heap(size, align, zero)?, align))
}

/// Allocates memory with a guard behind it.
fn allocate_from_heap(size: usize, align: usize, zero: bool) -> Option<NonNull<u8>> {
    let layout = layout_for(size, align)?;
    let memory = if zero {
        // SAFETY: The layout has a size, that of the guard at least.
        unsafe { alloc_zeroed(layout) }
    } else {
        // SAFETY: As above.
        unsafe { alloc(layout) }
    };
    let block = NonNull::new(memory)?;
    // SAFETY: The guard's room lies right after the block's size.
    let guard = unsafe { block.add(size) };
    // SAFETY: As above; bytes need no alignment.
    unsafe { guard.cast::<[u8; GUARD.len()]>().write_unaligned(GUARD) };
    Some(block)
}

/// `ExAllocatePool2`: allocates pool memory, zeroed unless `POOL_FLAG_UNINITIALIZED`. IRQL <=
/// `DISPATCH_LEVEL`, <= `APC_LEVEL` for paged pool (bug check 0xC4 (0x01, 0x02)).
///
/// A block of a page or more begins at a page; one of a page or less lies in one page.
///
/// Returns null if there is no memory, the tag is zero, the flags do not name one kind of pool, or one of the lower
/// 32, which are required ones, is not known; with `POOL_FLAG_RAISE_ON_FAILURE` it raises an exception instead. Of
/// the upper 32 none is needed. A size of zero is bug check 0xC4 (0x00).
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn ExAllocatePool2(
    Flags: POOL_FLAGS,
    NumberOfBytes: SIZE_T,
    Tag: ULONG,
) -> PVOID {
    const NAME: &str = "ExAllocatePool2";
    const KINDS: POOL_FLAGS = POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED;
    /// What must be satisfied, of which the others here are not known or reserved for the system.
    const REQUIRED: POOL_FLAGS = 0xFFFF_FFFF;
    const KNOWN: POOL_FLAGS = KINDS
        | POOL_FLAG_USE_QUOTA
        | POOL_FLAG_UNINITIALIZED
        | POOL_FLAG_CACHE_ALIGNED
        | POOL_FLAG_RAISE_ON_FAILURE;
    let thread = thread::current();
    let paged = Flags & KINDS == POOL_FLAG_PAGED;
    check_request(thread, NumberOfBytes, paged, NAME);
    let is_known = Flags & REQUIRED & !KNOWN == 0;
    let status = if Tag == 0 || !is_known || (Flags & KINDS).count_ones() != 1 {
        STATUS_INVALID_PARAMETER
    } else {
        let size = to_usize(NumberOfBytes);
        let align = align_of(size, Flags & POOL_FLAG_CACHE_ALIGNED != 0);
        match allocate(
            NAME,
            (size, align),
            Tag,
            paged,
            Flags & POOL_FLAG_UNINITIALIZED == 0,
        ) {
            Some(block) => return block.as_ptr().cast(),
            None => STATUS_INSUFFICIENT_RESOURCES,
        }
    };
    if Flags & POOL_FLAG_RAISE_ON_FAILURE != 0 {
        exception::raise(status, NAME);
    }
    ptr::null_mut()
}

/// `ExAllocatePoolWithTag`: allocates pool memory, not zeroed; the predecessor of
/// [`ExAllocatePool2`], with its IRQL and its bug checks; a tag of zero is 0xC2 (0x9B).
///
/// Returns null if there is no memory, or raises an exception with `POOL_RAISE_IF_ALLOCATION_FAILURE` in
/// `PoolType`. `NonPagedPool`, `NonPagedPoolNx` and their cache-aligned and must-succeed variants are nonpaged; a
/// type with the lowest bit set is paged.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn ExAllocatePoolWithTag(
    PoolType: POOL_TYPE,
    NumberOfBytes: SIZE_T,
    Tag: ULONG,
) -> PVOID {
    let raise = PoolType & POOL_RAISE_IF_ALLOCATION_FAILURE != 0;
    allocate_typed(PoolType, NumberOfBytes, Tag, raise, "ExAllocatePoolWithTag")
}

/// `ExAllocatePoolWithQuotaTag`: as [`ExAllocatePoolWithTag`], counted against the quota of the process, which
/// here is without limit.
///
/// Without memory it raises an exception, or returns null with `POOL_QUOTA_FAIL_INSTEAD_OF_RAISE` in `PoolType`.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn ExAllocatePoolWithQuotaTag(
    PoolType: POOL_TYPE,
    NumberOfBytes: SIZE_T,
    Tag: ULONG,
) -> PVOID {
    let raise = PoolType & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE == 0;
    allocate_typed(
        PoolType,
        NumberOfBytes,
        Tag,
        raise,
        "ExAllocatePoolWithQuotaTag",
    )
}

fn allocate_typed(
    kind: POOL_TYPE,
    bytes: SIZE_T,
    tag: ULONG,
    raise: bool,
    function: &'static str,
) -> PVOID {
    let paged = kind & _POOL_TYPE::PagedPool != 0;
    if tag == 0 {
        bugcheck::raise(
            BAD_POOL_CALLER,
            [0x9B, pool_type(paged), bytes, 0],
            function,
            "Pool is asked for with a tag of zero.",
        );
    }
    check_request(thread::current(), bytes, paged, function);
    let size = to_usize(bytes);
    // The variants with this bit are the cache-aligned ones.
    let align = align_of(size, kind & 4 != 0);
    match allocate(function, (size, align), tag, paged, false) {
        Some(block) => block.as_ptr().cast(),
        None if raise => exception::raise(STATUS_INSUFFICIENT_RESOURCES, function),
        None => ptr::null_mut(),
    }
}

/// Whether the block is paged, as the `POOL_TYPE` that bug checks report.
const fn pool_type(paged: bool) -> u64 {
    paged as u64
}

/// Checks what Driver Verifier checks of a request for pool memory.
fn check_request(thread: &Thread, size: SIZE_T, paged: bool, function: &'static str) {
    let irql = u64::from(thread.irql());
    let (rule, fourth, sentence) = if size == 0 {
        (0x00, 0, "Pool of zero bytes is asked for.")
    } else if paged && thread.irql() > APC {
        (0x01, size, "Paged pool is asked for above APC_LEVEL.")
    } else if thread.irql() > DISPATCH {
        (
            0x02,
            size,
            "Nonpaged pool is asked for above DISPATCH_LEVEL.",
        )
    } else {
        return;
    };
    verifier::violation(rule, [irql, pool_type(paged), fourth], function, sentence);
}

/// `ExFreePool`: frees a block. IRQL as for its allocation.
///
/// What is not allocated is bug check 0xC2 (0x46), an IRP 0xC4 (0x105), a write past the end 0xC4 (0x52), and a block that holds
/// a lock or timer in use what that object's page says.
///
/// # Safety
///
/// Nobody may use the block any more.
pub unsafe extern "win64" fn ExFreePool(P: PVOID) {
    free(P, None, "ExFreePool");
}

/// `ExFreePoolWithTag`: frees a block that was allocated with a tag. Another tag is bug check 0xC2 (0xA);
/// zero stands for any. Otherwise as [`ExFreePool`].
///
/// # Safety
///
/// Nobody may use the block any more.
pub unsafe extern "win64" fn ExFreePoolWithTag(P: PVOID, Tag: ULONG) {
    free(P, Some(Tag).filter(|&tag| tag != 0), "ExFreePoolWithTag");
}

/// `ExFreePool2`: as [`ExFreePoolWithTag`]; extended parameters are not known.
///
/// # Safety
///
/// Nobody may use the block any more.
pub unsafe extern "win64" fn ExFreePool2(
    P: PVOID,
    Tag: ULONG,
    _ExtendedParameters: PVOID,
    _ExtendedParametersCount: ULONG,
) {
    free(P, Some(Tag).filter(|&tag| tag != 0), "ExFreePool2");
}

fn free(address: PVOID, tag: Option<u32>, function: &'static str) {
    let thread = thread::current();
    let found = shard(address as u64).lock().get(&(address as u64)).copied();
    let Some(block) = found else {
        if packet::is_allocated(address.addr()) && verifier::checks(Rules::IO) {
            let sentence = "The memory is an IRP, which IoFreeIrp frees.";
            verifier::violation(0x105, [address as u64, 0, 0], function, sentence);
        }
        bugcheck::raise(
            BAD_POOL_CALLER,
            [0x46, address as u64, 0, 0],
            function,
            "The address is not that of an allocated block of pool.",
        );
    };
    check_free(thread, &block, tag, function);
    if shard(block.address).lock().remove(&block.address).is_some() {
        release(&block, address.cast());
    }
}

fn check_free(
    thread: &'static Thread,
    block: &PoolBlock,
    tag: Option<u32>,
    function: &'static str,
) {
    if let Some(tag) = tag.filter(|&tag| tag != block.tag) {
        bugcheck::raise(
            BAD_POOL_CALLER,
            [0x0A, block.address, u64::from(block.tag), u64::from(tag)],
            function,
            format!(
                "The block was allocated with the tag '{}'.",
                block.tag_text()
            ),
        );
    }
    let (highest, rule) = if block.paged {
        (APC, 0x11)
    } else {
        (DISPATCH, 0x12)
    };
    if thread.irql() > highest {
        verifier::violation(
            rule,
            [
                u64::from(thread.irql()),
                pool_type(block.paged),
                block.address,
            ],
            function,
            "Pool is freed at too high an IRQL.",
        );
    }
    if !block.is_intact() {
        if block.home == Home::Pages(Use::Special) {
            bugcheck::raise(
                SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION,
                [block.address, block.address + block.size, 0, 0x23],
                function,
                "Somebody wrote past the end of the block.",
            );
        }
        verifier::violation(
            0x52,
            [block.address, 0, block.size],
            function,
            "Somebody wrote past the end of the block.",
        );
    }
    let memory = (block.address, block.size);
    verifier::check_memory_end(thread, memory, pool_type(block.paged), function);
    lock_order::forget(&(block.address..block.address + block.size));
}

const fn read_guard(block: &PoolBlock) -> [u8; GUARD.len()] {
    let guard: *const [u8; GUARD.len()] = address::pointer(block.address + block.size);
    // SAFETY: `allocate` made room for the guard after every block, and this block is allocated.
    unsafe { guard.read_unaligned() }
}

fn release(block: &PoolBlock, memory: *mut u8) {
    let align = match block.home {
        Home::Heap(align) => align,
        Home::Pages(_) => {
            special_pool::free(to_usize(block.address));
            return;
        }
    };
    let Some(layout) = layout_for(to_usize(block.size), align) else {
        return;
    };
    // SAFETY: The block has that size, and was taken out of the table, so that it is freed once.
    unsafe { memory.write_bytes(FILL_FREED, layout.size()) };
    // What nobody reads before it is freed, an optimising compiler would not write.
    let filled = std::hint::black_box(memory);
    // SAFETY: It was allocated with this layout, which follows from its size.
    unsafe { dealloc(filled, layout) };
}
