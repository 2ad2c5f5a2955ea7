//! Making and deleting ERESOURCEs, asking about them, and giving them away.

use core::ops::Range;

use nt_abi::{
    BOOLEAN, NTSTATUS, PERESOURCE, PVOID, STATUS_SUCCESS, ULONG,
    bugcheck::{ERESOURCE_INVALID_RELEASE, RESOURCE_NOT_OWNED},
};

use super::state::{Access, ExecutiveResource, Owner, id_of};
use crate::{
    Rules, address, bugcheck,
    dispatcher::{self, Dispatcher},
    irql::{APC, DISPATCH},
    list::{Corrupt, ListEntry},
    lock_order,
    thread::{self, Thread},
    verifier,
};

/// The head of the list of all resources (`ExpSystemResourcesList`), under the dispatcher lock.
static RESOURCES: ListEntry = ListEntry::unlinked();

/// The address of the head of the list of all resources, which is null inside until there is one.
pub fn list_head() -> u64 {
    (&raw const RESOURCES).addr() as u64
}

fn check_irql(thread: &Thread, highest: u8, function: &'static str) {
    if thread.irql() > highest {
        verifier::rule(0x20007, function, "IrqlExApcLte3: the IRQL is too high.");
    }
}

/// `ExInitializeResourceLite`: makes a free resource, on the list of all resources. IRQL <=
/// `DISPATCH_LEVEL`.
///
/// One that is initialised already is bug check 0xC4 (0xD0), one that is not aligned to 8 bytes 0xC4
/// (0x3D).
///
/// # Safety
///
/// `Resource` must point to resident memory for a resource.
pub unsafe extern "win64" fn ExInitializeResourceLite(Resource: PERESOURCE) -> NTSTATUS {
    const NAME: &str = "ExInitializeResourceLite";
    let thread = thread::current();
    check_irql(thread, DISPATCH, NAME);
    verifier::check_resident(Resource as u64, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    let address = resource.key();
    let mut dispatcher = dispatcher::lock(thread);
    lock_order::forget_lock(address);
    if !dispatcher.state().resources.insert(address) {
        if verifier::checks(Rules::LOCKS) {
            let sentence = "The resource is initialised already.";
            verifier::violation(0xD0, [address, 0, 0], NAME, sentence);
        }
        // SAFETY: The resource is on the list, whose lock is held.
        unsafe { resource.list.remove() }.unwrap_or_else(Corrupt::stop);
    }
    if !RESOURCES.is_linked() {
        RESOURCES.initialize();
    }
    resource.clear();
    // SAFETY: The resource stays where it is until it is deleted; the list's lock is held.
    unsafe { RESOURCES.insert_tail(&resource.list) };
    drop(dispatcher);
    STATUS_SUCCESS
}

/// `ExReinitializeResourceLite`: makes a resource a free one that was never waited for, and keeps the memory
/// that it has. IRQL <= `DISPATCH_LEVEL`.
///
/// One that is not initialised is bug check 0xC4 (0xD1), one that is owned 0xC4 (0x100B).
///
/// # Safety
///
/// `Resource` must point to an initialised resource that nobody uses.
pub unsafe extern "win64" fn ExReinitializeResourceLite(Resource: PERESOURCE) -> NTSTATUS {
    const NAME: &str = "ExReinitializeResourceLite";
    let thread = thread::current();
    check_irql(thread, DISPATCH, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    let mut dispatcher = dispatcher::lock(thread);
    check_unused(&mut dispatcher, resource, NAME);
    resource.reset();
    drop(dispatcher);
    STATUS_SUCCESS
}

/// `ExDeleteResourceLite`: takes a resource off the list of all resources. IRQL <= `APC_LEVEL` (rule
/// `IrqlExApcLte3`, bug check 0xC4 (0x20007)).
///
/// One that is not initialised is bug check 0xC4 (0xD1), one that is owned 0xC4 (0x100B).
///
/// # Safety
///
/// `Resource` must point to an initialised resource that nobody uses.
pub unsafe extern "win64" fn ExDeleteResourceLite(Resource: PERESOURCE) -> NTSTATUS {
    const NAME: &str = "ExDeleteResourceLite";
    let thread = thread::current();
    check_irql(thread, APC, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    let mut dispatcher = dispatcher::lock(thread);
    check_unused(&mut dispatcher, resource, NAME);
    dispatcher.state().resources.remove(resource.key());
    // SAFETY: The resource is on the list, whose lock is held.
    unsafe { resource.list.remove() }.unwrap_or_else(Corrupt::stop);
    resource.free_memory();
    drop(dispatcher);
    STATUS_SUCCESS
}

/// Forgets the resources in a range of memory, which is freed though they were not deleted.
pub fn forget(dispatcher: &mut Dispatcher, range: &Range<u64>) {
    while let Some(address) = dispatcher.state().resources.find_in(range) {
        dispatcher.state().resources.remove(address);
        // SAFETY: The resource was initialised, and its memory is freed only after this.
        let resource = unsafe { &*address::pointer::<ExecutiveResource>(address) };
        // SAFETY: The resource is on the list, whose lock is held.
        unsafe { resource.list.remove() }.unwrap_or_else(Corrupt::stop);
    }
}

fn check_unused(dispatcher: &mut Dispatcher, resource: &ExecutiveResource, function: &'static str) {
    let address = resource.key();
    if !dispatcher.state().resources.contains(address) {
        let sentence = "The resource is not initialised.";
        verifier::violation(0xD1, [address, 0, 0], function, sentence);
    }
    if !resource.is_free() && verifier::checks(Rules::LOCKS) {
        let sentence = "The resource is still owned.";
        verifier::violation(
            0x100B,
            [address, resource.some_owner(), 0],
            function,
            sentence,
        );
    }
}

/// Asks a resource something under its lock.
///
/// # Safety
///
/// `resource` must point to an initialised resource.
unsafe fn ask<T>(
    resource: PERESOURCE,
    function: &'static str,
    question: impl FnOnce(&Thread, &ExecutiveResource) -> T,
) -> T {
    let thread = verifier::thread_at_most(DISPATCH, function);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(resource, function) };
    let mut dispatcher = dispatcher::lock(thread);
    resource.check(&mut dispatcher, function);
    let answer = question(thread, resource);
    drop(dispatcher);
    answer
}

/// `ExIsResourceAcquiredExclusiveLite`: whether the caller owns the resource exclusively. IRQL <=
/// `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExIsResourceAcquiredExclusiveLite(Resource: PERESOURCE) -> BOOLEAN {
    // SAFETY: This function has the same contract.
    BOOLEAN::from(unsafe {
        ask(
            Resource,
            "ExIsResourceAcquiredExclusiveLite",
            |thread, resource| resource.is_exclusively_owned_by(id_of(thread)),
        )
    })
}

/// `ExIsResourceAcquiredSharedLite`: how often the caller has acquired the resource, exclusively or not.
/// IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExIsResourceAcquiredSharedLite(Resource: PERESOURCE) -> ULONG {
    // SAFETY: This function has the same contract.
    unsafe {
        ask(
            Resource,
            "ExIsResourceAcquiredSharedLite",
            |thread, resource| resource.owner(id_of(thread)).map_or(0, Owner::count),
        )
    }
}

/// `ExGetExclusiveWaiterCount`: how many threads wait for exclusive access. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExGetExclusiveWaiterCount(Resource: PERESOURCE) -> ULONG {
    // SAFETY: This function has the same contract.
    unsafe {
        ask(Resource, "ExGetExclusiveWaiterCount", |_, resource| {
            resource.waiting(Access::Exclusive)
        })
    }
}

/// `ExGetSharedWaiterCount`: how many threads wait to share the resource. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExGetSharedWaiterCount(Resource: PERESOURCE) -> ULONG {
    // SAFETY: This function has the same contract.
    unsafe {
        ask(Resource, "ExGetSharedWaiterCount", |_, resource| {
            resource.waiting(Access::Shared)
        })
    }
}

/// `ExDisableResourceBoostLite`: nobody's priority is ever raised here. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExDisableResourceBoostLite(Resource: PERESOURCE) {
    // SAFETY: This function has the same contract.
    unsafe { ask(Resource, "ExDisableResourceBoostLite", |_, _| ()) };
}

/// `ExSetResourceOwnerPointer`: gives what the caller owns to an owner pointer, which
/// `ExReleaseResourceForThreadLite` releases. IRQL <= `DISPATCH_LEVEL`.
///
/// A caller who does not own the resource gets bug check 0xE3, a pointer without both low bits set 0x16E.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExSetResourceOwnerPointer(Resource: PERESOURCE, OwnerPointer: PVOID) {
    // SAFETY: This function has the same contract.
    unsafe { give_away(Resource, OwnerPointer as u64, "ExSetResourceOwnerPointer") };
}

/// `ExSetResourceOwnerPointerEx`: as [`ExSetResourceOwnerPointer`]; that the pointer is a thread makes no
/// difference, since nobody's priority is raised.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExSetResourceOwnerPointerEx(
    Resource: PERESOURCE,
    OwnerPointer: PVOID,
    _Flags: ULONG,
) {
    // SAFETY: This function has the same contract.
    unsafe { give_away(Resource, OwnerPointer as u64, "ExSetResourceOwnerPointerEx") };
}

/// Makes `pointer` the owner of what the caller owns.
///
/// # Safety
///
/// `resource` must point to an initialised resource.
unsafe fn give_away(resource: PERESOURCE, pointer: u64, function: &'static str) {
    let thread = verifier::thread_at_most(DISPATCH, function);
    if pointer & 3 != 3 {
        bugcheck::raise(
            ERESOURCE_INVALID_RELEASE,
            [resource as u64, thread.address(), pointer, 0],
            function,
            "The two low bits of an owner pointer must be set.",
        );
    }
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(resource, function) };
    let mut dispatcher = dispatcher::lock(thread);
    resource.check(&mut dispatcher, function);
    let Some(mine) = resource.owner(id_of(thread)) else {
        bugcheck::raise(
            RESOURCE_NOT_OWNED,
            [
                resource.key(),
                thread.address(),
                resource.table_address(),
                0,
            ],
            function,
            "The caller gives a resource away that it does not own.",
        );
    };
    match resource.owner(pointer) {
        Some(other) => {
            other.set(pointer, other.count() + mine.count());
            resource.remove_owner(mine);
        }
        None => mine.set(pointer, mine.count()),
    }
    drop(dispatcher);
    thread.held.remove(resource.key());
}

/// An ERESOURCE, as a debugger's list of locks shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceInfo {
    /// Its address.
    pub address: u64,
    /// Whether it is owned exclusively.
    pub exclusive: bool,
    /// The owners, as threads or owner pointers, each with how often it acquired the resource.
    pub owners: Vec<(u64, u32)>,
    /// How many wait to share it.
    pub shared_waiters: u32,
    /// How many wait for exclusive access.
    pub exclusive_waiters: u32,
    /// How often somebody had to wait.
    pub contention: u32,
}

/// All resources that are initialised.
#[must_use]
pub fn resources() -> Vec<ResourceInfo> {
    let thread = thread::current();
    let mut dispatcher = dispatcher::lock(thread);
    let infos = dispatcher.state().resources.iter().map(info).collect();
    drop(dispatcher);
    infos
}

/// What there is to say of a resource that is initialised. The caller holds the dispatcher lock.
fn info(address: u64) -> ResourceInfo {
    // SAFETY: What is on record are resources that were initialised and not deleted.
    let resource =
        unsafe { ExecutiveResource::at(address::pointer(address), "ExQuerySystemLockInformation") };
    ResourceInfo {
        address,
        exclusive: resource.is_exclusive(),
        owners: resource
            .owners()
            .filter(|owner| owner.id() != 0)
            .map(|owner| (owner.id(), owner.count()))
            .collect(),
        shared_waiters: resource.waiting(Access::Shared),
        exclusive_waiters: resource.waiting(Access::Exclusive),
        contention: resource.contention(),
    }
}

/// A resource that `thread`, the calling one, owns.
pub fn owned_by(thread: &'static Thread) -> Option<u64> {
    let mut dispatcher = dispatcher::lock(thread);
    let found = dispatcher.state().resources.iter().find(|&address| {
        // SAFETY: What is on record are resources that were initialised and not deleted.
        let resource = unsafe {
            ExecutiveResource::at(address::pointer(address), "ExQuerySystemLockInformation")
        };
        resource.owner(id_of(thread)).is_some()
    });
    drop(dispatcher);
    found
}

/// The threads and owner pointers that own the resource at `address`, one that is initialised. The caller
/// holds the dispatcher lock.
pub fn owners(address: u64) -> Vec<u64> {
    info(address)
        .owners
        .into_iter()
        .map(|owner| owner.0)
        .collect()
}
