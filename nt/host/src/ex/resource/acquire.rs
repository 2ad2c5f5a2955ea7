//! The ways to acquire an ERESOURCE.

use nt_abi::{BOOLEAN, PERESOURCE, PVOID, STATUS_KERNEL_APC, TRUE};

use super::state::{Access, ExecutiveResource, Owner, id_of};
use crate::{
    Rules, apc,
    dispatcher::{self, Deadline, Dispatcher},
    irql::APC,
    ke::region::enter_critical_region,
    lock_order,
    thread::{self, LockKind, Origin, Thread},
    verifier,
};

/// What a request for shared access does about others who wait for exclusive access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Courtesy {
    /// It goes behind them, unless the caller shares the resource already.
    New,
    /// It goes behind them in any case.
    Always,
    /// It goes before them.
    Never,
}

/// `ExAcquireResourceExclusiveLite`: acquires a resource exclusively, and recursively if the caller owns it
/// exclusively already. IRQL <= `APC_LEVEL` (rule `IrqlExApcLte3`, bug check 0xC4 (0x20007)).
///
/// Without `Wait` it returns false if the resource is not to be had now. Normal kernel APCs must be off: bug
/// check 0xC4 (0x37). To wait while sharing the resource would never end: 0xC4 (0x1000).
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExAcquireResourceExclusiveLite(
    Resource: PERESOURCE,
    Wait: BOOLEAN,
) -> BOOLEAN {
    const NAME: &str = "ExAcquireResourceExclusiveLite";
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_exclusive(thread::current(), resource, Wait != 0, NAME)
}

/// `ExTryToAcquireResourceExclusiveLite`: as [`ExAcquireResourceExclusiveLite`] without `Wait`.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExTryToAcquireResourceExclusiveLite(Resource: PERESOURCE) -> BOOLEAN {
    const NAME: &str = "ExTryToAcquireResourceExclusiveLite";
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_exclusive(thread::current(), resource, false, NAME)
}

/// `ExAcquireResourceSharedLite`: acquires a resource to share it, or recursively the way that the caller
/// owns it.
///
/// It goes behind those who wait for exclusive access, unless the caller shares it already.
///
/// IRQL, APCs and `Wait` as for [`ExAcquireResourceExclusiveLite`].
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExAcquireResourceSharedLite(
    Resource: PERESOURCE,
    Wait: BOOLEAN,
) -> BOOLEAN {
    const NAME: &str = "ExAcquireResourceSharedLite";
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_shared(thread::current(), resource, Wait != 0, Courtesy::New, NAME)
}

/// `ExAcquireSharedStarveExclusive`: as [`ExAcquireResourceSharedLite`], but before those who wait for
/// exclusive access.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExAcquireSharedStarveExclusive(
    Resource: PERESOURCE,
    Wait: BOOLEAN,
) -> BOOLEAN {
    const NAME: &str = "ExAcquireSharedStarveExclusive";
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_shared(
        thread::current(),
        resource,
        Wait != 0,
        Courtesy::Never,
        NAME,
    )
}

/// `ExAcquireSharedWaitForExclusive`: as [`ExAcquireResourceSharedLite`], but behind those who wait for
/// exclusive access even if the caller shares the resource already.
///
/// To wait then ends only if another thread
/// releases the resource for the caller.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExAcquireSharedWaitForExclusive(
    Resource: PERESOURCE,
    Wait: BOOLEAN,
) -> BOOLEAN {
    const NAME: &str = "ExAcquireSharedWaitForExclusive";
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_shared(
        thread::current(),
        resource,
        Wait != 0,
        Courtesy::Always,
        NAME,
    )
}

/// `ExEnterCriticalRegionAndAcquireResourceExclusive`: enters a critical region and waits for exclusive
/// access. IRQL <= `APC_LEVEL`. What it returns means nothing.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireResourceExclusive(
    Resource: PERESOURCE,
) -> PVOID {
    const NAME: &str = "ExEnterCriticalRegionAndAcquireResourceExclusive";
    let thread = thread::current();
    enter_critical_region(thread, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_exclusive(thread, resource, true, NAME);
    thread.kthread().cast()
}

/// `ExEnterCriticalRegionAndAcquireResourceShared`: enters a critical region and waits to share the
/// resource. IRQL <= `APC_LEVEL`. What it returns means nothing.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireResourceShared(
    Resource: PERESOURCE,
) -> PVOID {
    const NAME: &str = "ExEnterCriticalRegionAndAcquireResourceShared";
    let thread = thread::current();
    enter_critical_region(thread, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_shared(thread, resource, true, Courtesy::New, NAME);
    thread.kthread().cast()
}

/// `ExEnterCriticalRegionAndAcquireSharedWaitForExclusive`: enters a critical region and acquires as
/// [`ExAcquireSharedWaitForExclusive`]. IRQL <= `APC_LEVEL`. What it returns means nothing.
///
/// # Safety
///
/// `Resource` must point to an initialised resource.
pub unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(
    Resource: PERESOURCE,
) -> PVOID {
    const NAME: &str = "ExEnterCriticalRegionAndAcquireSharedWaitForExclusive";
    let thread = thread::current();
    enter_critical_region(thread, NAME);
    // SAFETY: This function has the same contract.
    let resource = unsafe { ExecutiveResource::at(Resource, NAME) };
    acquire_shared(thread, resource, true, Courtesy::Always, NAME);
    thread.kthread().cast()
}

/// Checks what must hold before a resource is acquired.
fn check_caller(thread: &Thread, resource: &ExecutiveResource, function: &'static str) {
    if thread.irql() > APC {
        verifier::rule(
            0x20007,
            function,
            "IrqlExApcLte3: IRQL must be APC_LEVEL or below.",
        );
    }
    check_apcs(thread, resource, 0x37, function);
}

/// Checks that normal kernel APCs are off, which they are from `APC_LEVEL` up, and which system threads
/// need not see to.
pub fn check_apcs(
    thread: &Thread,
    resource: &ExecutiveResource,
    rule: u64,
    function: &'static str,
) {
    let apcs = thread.object.combined_apc_disable();
    if apcs == 0
        && thread.irql() < APC
        && thread.origin() == Origin::Host
        && verifier::checks(Rules::APC)
    {
        verifier::violation(
            rule,
            [u64::from(thread.irql()), apcs, resource.key()],
            function,
            "Normal kernel APCs are not off: the caller is in no critical region.",
        );
    }
}

fn acquire_exclusive(
    thread: &'static Thread,
    resource: &ExecutiveResource,
    wait: bool,
    function: &'static str,
) -> BOOLEAN {
    check_caller(thread, resource, function);
    let id = id_of(thread);
    let mut dispatcher = dispatcher::lock(thread);
    resource.check(&mut dispatcher, function);
    if resource.is_free() {
        resource.set_exclusive(true);
        resource.add_owner(id, 1);
        drop(dispatcher);
        return own(
            thread,
            resource,
            LockKind::ResourceExclusive,
            wait,
            function,
        );
    }
    if resource.is_exclusively_owned_by(id) {
        resource.first().add();
        return TRUE;
    }
    if !wait {
        return 0;
    }
    if resource.owner(id).is_some() && verifier::checks(Rules::LOCKS) {
        verifier::violation(
            0x1000,
            [resource.key(), 0, 0],
            function,
            "The caller shares the resource, and would wait for itself to release it.",
        );
    }
    let admitted = wait_for(&mut dispatcher, resource, Access::Exclusive);
    drop(dispatcher);
    if !admitted {
        apc::deliver(thread);
        return acquire_exclusive(thread, resource, wait, function);
    }
    own(
        thread,
        resource,
        LockKind::ResourceExclusive,
        wait,
        function,
    )
}

fn acquire_shared(
    thread: &'static Thread,
    resource: &ExecutiveResource,
    wait: bool,
    courtesy: Courtesy,
    function: &'static str,
) -> BOOLEAN {
    check_caller(thread, resource, function);
    let id = id_of(thread);
    let mut dispatcher = dispatcher::lock(thread);
    resource.check(&mut dispatcher, function);
    if resource.is_exclusive() {
        if resource.first().id() == id {
            resource.first().add();
            return TRUE;
        }
    } else {
        let mine = resource.owner(id);
        let others_wait = resource.waiting(Access::Exclusive) != 0;
        let behind = match courtesy {
            Courtesy::New => others_wait && mine.is_none(),
            Courtesy::Always => others_wait,
            Courtesy::Never => false,
        };
        if !behind || resource.is_free() {
            mine.map_or_else(|| resource.add_owner(id, 1), Owner::add);
            drop(dispatcher);
            return own(thread, resource, LockKind::ResourceShared, wait, function);
        }
    }
    if !wait {
        return 0;
    }
    let admitted = wait_for(&mut dispatcher, resource, Access::Shared);
    drop(dispatcher);
    if !admitted {
        apc::deliver(thread);
        return acquire_shared(thread, resource, wait, courtesy, function);
    }
    own(thread, resource, LockKind::ResourceShared, wait, function)
}

/// Puts a resource that the thread has acquired among the locks that it holds, unless it held it already.
fn own(
    thread: &Thread,
    resource: &ExecutiveResource,
    kind: LockKind,
    waited: bool,
    function: &'static str,
) -> BOOLEAN {
    if thread.held.kind_of(resource.key()).is_none() {
        thread.held.push(resource.key(), kind);
        if waited {
            lock_order::check(thread, resource.key(), function);
        }
    }
    TRUE
}

/// Waits until somebody who releases the resource has made the caller an owner. False if an APC must run before,
/// after which the caller is to ask anew.
fn wait_for(dispatcher: &mut Dispatcher, resource: &ExecutiveResource, access: Access) -> bool {
    resource.add_contention();
    resource.add_waiting(access);
    let thread = dispatcher.thread();
    let status = thread.waiting_for(resource.key(), || {
        dispatcher.wait_on(resource.queue(access), Deadline::Never)
    });
    let admitted = status != STATUS_KERNEL_APC;
    if !admitted {
        resource.remove_waiting(access);
    }
    admitted
}
