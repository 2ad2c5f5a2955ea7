//! Releasing an ERESOURCE, and handing it to those who wait.

use nt_abi::{
    ERESOURCE_THREAD, PERESOURCE,
    bugcheck::{ERESOURCE_INVALID_RELEASE, RESOURCE_NOT_OWNED, SHARED_RESOURCE_CONV_ERROR},
};

use super::{
    acquire::check_apcs,
    state::{Access, ExecutiveResource, Owner, id_of},
};
use crate::{
    bugcheck,
    dispatcher::{self, Dispatcher},
    irql::{APC, DISPATCH},
    ke::region::leave_critical_region,
    thread::{self, Thread},
    verifier,
};

/// Both set in an owner pointer, and neither in a thread.
const OWNER_POINTER: u64 = 3;

/// `ExReleaseResourceLite`: undoes one acquisition of the calling thread. IRQL <= `DISPATCH_LEVEL`.
///
/// One who does not own the resource gets bug check 0xE3. Normal kernel APCs must still be off: 0xC4
/// (0x38).
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExReleaseResourceLite(Resource: PERESOURCE) {
    const NAME: &str = "ExReleaseResourceLite";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    release(thread, resource, id_of(thread), NAME);
}

/// `ExReleaseResourceForThreadLite`: undoes one acquisition of the calling thread, or of the owner pointer
/// that was set with `ExSetResourceOwnerPointer`. IRQL <= `DISPATCH_LEVEL`.
///
/// Another thread is bug check 0x16E; who does not own the resource, 0xE3.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExReleaseResourceForThreadLite(
    Resource: PERESOURCE,
    ResourceThreadId: ERESOURCE_THREAD,
) {
    const NAME: &str = "ExReleaseResourceForThreadLite";
    let thread = thread::current();
    if ResourceThreadId != id_of(thread) && ResourceThreadId & OWNER_POINTER != OWNER_POINTER {
        bugcheck::raise(
            ERESOURCE_INVALID_RELEASE,
            [Resource as u64, thread.address(), ResourceThreadId, 0],
            NAME,
            "It is for another thread, which did not give the resource away by an owner pointer.",
        );
    }
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    release(thread, resource, ResourceThreadId, NAME);
}

/// `ExReleaseResourceAndLeaveCriticalRegion`: as `ExReleaseResourceLite`, and then leaves the critical
/// region. IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExReleaseResourceAndLeaveCriticalRegion(Resource: PERESOURCE) {
    const NAME: &str = "ExReleaseResourceAndLeaveCriticalRegion";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    check_irql(thread, NAME);
    release(thread, resource, id_of(thread), NAME);
    leave_critical_region(thread, NAME);
}

fn check_irql(thread: &Thread, function: &'static str) {
    if thread.irql() > APC {
        verifier::rule(
            0x20007,
            function,
            "IrqlExApcLte3: IRQL must be APC_LEVEL or below.",
        );
    }
}

/// `ExConvertExclusiveToSharedLite`: makes the caller, who owns the resource exclusively, share it with all
/// who wait to share it.
///
/// IRQL <= `APC_LEVEL` (bug check 0xC4 (0x20007)). How often the caller acquired it
/// stays.
///
/// A caller who does not own it exclusively gets bug check 0x1F.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExConvertExclusiveToSharedLite(Resource: PERESOURCE) {
    const NAME: &str = "ExConvertExclusiveToSharedLite";
    let thread = thread::current();
    check_irql(thread, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    let mut dispatcher = dispatcher::lock(thread);
    resource.check(&mut dispatcher, NAME);
    if !resource.is_exclusively_owned_by(id_of(thread)) {
        bugcheck::raise(
            SHARED_RESOURCE_CONV_ERROR,
            [resource.key(), thread.address(), 0, 0],
            NAME,
            "The caller does not own the resource exclusively.",
        );
    }
    resource.set_exclusive(false);
    admit_shared(&dispatcher, resource);
}

fn release(thread: &'static Thread, resource: &ExecutiveResource, id: u64, function: &'static str) {
    if thread.irql() > DISPATCH {
        verifier::rule(0x20011, function, "IRQL must be DISPATCH_LEVEL or below.");
    }
    check_apcs(thread, resource, 0x38, function);
    let mut dispatcher = dispatcher::lock(thread);
    resource.check(&mut dispatcher, function);
    let Some(owner) = resource.owner(id) else {
        bugcheck::raise(
            RESOURCE_NOT_OWNED,
            [resource.key(), id, resource.table_address(), 0],
            function,
            "The resource is released by one who does not own it.",
        );
    };
    if owner.count() > 1 {
        owner.set(id, owner.count() - 1);
    } else {
        resource.remove_owner(owner);
        if id == id_of(thread) {
            thread.held.remove(resource.key());
        }
        hand_over(&dispatcher, resource);
    }
}

/// Gives a resource whose owners have released it to those who wait.
fn hand_over(dispatcher: &Dispatcher, resource: &ExecutiveResource) {
    if !resource.is_free() {
        return;
    }
    let was_exclusive = resource.is_exclusive();
    resource.set_exclusive(false);
    if was_exclusive && resource.has_waiter(Access::Shared) {
        admit_shared(dispatcher, resource);
    } else if resource.has_waiter(Access::Exclusive) {
        resource.set_exclusive(true);
        admit(dispatcher, resource, Access::Exclusive);
    } else {
        admit_shared(dispatcher, resource);
    }
}

fn admit_shared(dispatcher: &Dispatcher, resource: &ExecutiveResource) {
    while admit(dispatcher, resource, Access::Shared) {}
}

/// Makes the first who waits an owner; false if nobody waits.
fn admit(dispatcher: &Dispatcher, resource: &ExecutiveResource, access: Access) -> bool {
    if !resource.has_waiter(access) {
        return false;
    }
    let Some(thread) = dispatcher.release_first(resource.queue(access)) else {
        return false;
    };
    resource.remove_waiting(access);
    let id = id_of(thread);
    // One who shares the resource already may wait for those who want it exclusively.
    match resource.owner(id) {
        Some(owner) => Owner::add(owner),
        None => resource.add_owner(id, 1),
    }
    true
}
