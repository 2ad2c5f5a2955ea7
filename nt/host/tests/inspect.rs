//! What a kernel debugger would show: compared with the form that the documentation of `WinDbg` has.
#![cfg(not(windows))]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use nthost::{Kernel, View, ntddk::*};
use support::*;

/// The tests show everything that there is, so there is one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TESTS: Mutex<()> = Mutex::new(());
    TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(view: View) -> String {
    Kernel::get().show(view)
}

fn resource() -> Object<ERESOURCE> {
    let resource = Object::default();
    nt!(ExInitializeResourceLite(resource.get()));
    resource
}

fn address<T>(object: &Object<T>) -> String {
    format!("{:016x}", object.get().addr())
}

fn this_thread() -> String {
    format!("{:016x}", nt!(KeGetCurrentThread()).addr())
}

/// Waits until a view has a text.
fn until_it_shows(view: View, text: &str) {
    while !show(view).contains(text) {
        sleep(1);
    }
}

#[test]
fn locks_that_are_free_and_held() {
    let _alone = alone();
    let (free, held) = (resource(), resource());
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquireResourceExclusiveLite(held.get(), TRUE));
    nt!(ExAcquireResourceExclusiveLite(held.get(), TRUE));
    let (me, free_at, held_at) = (this_thread(), address(&free), address(&held));
    assert_eq!(
        show(View::Locks),
        format!(
            "**** DUMP OF ALL RESOURCE OBJECTS ****\n\
             KD: Scanning for held locks..\n\n\
             Resource @ 0x{held_at}    Exclusively owned\n     \
             Threads: {me}-02<*>\n\n\
             2 total locks, 1 locks currently held\n"
        )
    );
    assert_eq!(
        show(View::AllLocks),
        format!(
            "**** DUMP OF ALL RESOURCE OBJECTS ****\n\
             KD: Scanning for held locks.\n\n\
             Resource @ 0x{free_at}    Available\n.\n\n\
             Resource @ 0x{held_at}    Exclusively owned\n     \
             Threads: {me}-02<*>\n\n\
             2 total locks, 1 locks currently held\n"
        )
    );
    nt!(ExReleaseResourceLite(held.get()));
    nt!(ExReleaseResourceLite(held.get()));
    nt!(KeLeaveCriticalRegion());
    nt!(ExDeleteResourceLite(held.get()));
    nt!(ExDeleteResourceLite(free.get()));
}

#[test]
fn those_who_share_and_those_who_wait() {
    let _alone = alone();
    let resource = resource();
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquireResourceSharedLite(resource.get(), TRUE));
    let me = this_thread();
    let acquire_exclusive = || {
        nt!(ExAcquireResourceExclusiveLite(resource.get(), TRUE));
        nt!(ExReleaseResourceLite(resource.get()));
    };
    let acquire_shared = || {
        nt!(ExAcquireResourceSharedLite(resource.get(), TRUE));
        nt!(ExReleaseResourceLite(resource.get()));
    };
    let writer = start_system_thread(acquire_exclusive);
    until_it_shows(View::Locks, "NumberOfExclusiveWaiters = 1");
    let reader = start_system_thread(acquire_shared);
    until_it_shows(View::Locks, "NumberOfSharedWaiters = 1");

    let text = show(View::Locks);
    let lines: Vec<_> = text.lines().skip(3).collect();
    let state = format!(
        "Resource @ 0x{}    Shared 1 owning threads",
        address(&resource)
    );
    assert_eq!(
        lines[..4],
        [
            state.as_str(),
            "    Contention Count = 2",
            "    NumberOfSharedWaiters = 1",
            "    NumberOfExclusiveWaiters = 1"
        ],
        "{text}"
    );
    let threads = lines[4].strip_prefix("     Threads: ").expect("the owners");
    let (owner, waiter) = threads.split_once(' ').expect("an owner and one who waits");
    assert_eq!(owner, format!("{me}-01<*>"));
    let waiter = waiter.trim_end();
    assert!(waiter.ends_with("-01") && waiter.len() == 19, "{text}");
    assert_eq!(lines[5], "     Threads Waiting On Exclusive Access:");
    assert_eq!(lines[6].trim_start().len(), 16, "{text}");

    nt!(ExReleaseResourceLite(resource.get()));
    nt!(KeLeaveCriticalRegion());
    join(writer);
    join(reader);
    nt!(ExDeleteResourceLite(resource.get()));
}

#[test]
fn an_owner_pointer_is_told_with_its_thread() {
    let _alone = alone();
    let resource = resource();
    let cookie = Object::new(0_u64);
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquireResourceExclusiveLite(resource.get(), TRUE));
    let pointer = cookie.get().addr() as u64 | 3;
    nt!(ExSetResourceOwnerPointer(
        resource.get(),
        cookie.get().map_addr(|at| at | 3).cast()
    ));
    let owner = format!(
        "{pointer:016x}-01<*> *** Actual Thread {:016x}",
        pointer & !3
    );
    let text = show(View::Locks);
    assert!(text.contains(&owner), "{text}");
    nt!(ExReleaseResourceForThreadLite(resource.get(), pointer));
    nt!(KeLeaveCriticalRegion());
    nt!(ExDeleteResourceLite(resource.get()));
}

#[test]
fn mutexes_and_who_waits_for_them() {
    let _alone = alone();
    let mutex = Object::<KMUTEX>::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    for _ in 0..2 {
        wait(mutex.object(), None);
    }
    let waiter = start_system_thread(|| {
        wait(mutex.object(), None);
        nt!(KeReleaseMutex(mutex.get(), FALSE));
    });
    until_it_shows(View::Mutexes, "Threads Waiting");
    let text = show(View::Mutexes);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "Mutexes that are owned:");
    let owner = format!(
        "Mutex @ 0x{}    Owned by {} \"",
        address(&mutex),
        this_thread()
    );
    assert!(lines[2].starts_with(&owner), "{text}");
    assert_eq!(lines[3], "    SignalState = -1, ApcDisable = 1");
    for _ in 0..2 {
        nt!(KeReleaseMutex(mutex.get(), FALSE));
    }
    join(waiter);
    assert_eq!(show(View::Mutexes), "Mutexes that are owned:\n");
}

#[test]
fn timers_the_first_to_expire_first() {
    unsafe extern "win64" fn ring(_dpc: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {}

    let _alone = alone();
    let (late, soon) = (Object::<KTIMER>::default(), Object::<KTIMER>::default());
    let dpc = Object::<KDPC>::default();
    nt!(KeInitializeDpc(
        dpc.get(),
        Some(ring),
        core::ptr::null_mut()
    ));
    for timer in [&late, &soon] {
        nt!(KeInitializeTimer(timer.get()));
    }
    let due = |seconds: i64| LARGE_INTEGER {
        QuadPart: -seconds * 10_000_000,
    };
    nt!(KeSetTimer(late.get(), due(900), core::ptr::null_mut()));
    nt!(KeSetTimerEx(soon.get(), due(600), 50, dpc.get()));
    let text = show(View::Timers);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "Dump system timers");
    assert!(lines[2].starts_with("Interrupt time: "), "{text}");
    assert!(lines[4].starts_with("List Timer "), "{text}");
    let dpc_at = format!("(DPC @ 0x{})", address(&dpc));
    assert!(
        lines[5].contains(&format!(" {} P ", address(&soon))),
        "{text}"
    );
    assert!(lines[5].ends_with(&dpc_at), "{text}");
    assert!(
        lines[6].contains(&format!(" {}   ", address(&late))),
        "{text}"
    );
    for timer in [&late, &soon] {
        nt!(KeCancelTimer(timer.get()));
    }
}
