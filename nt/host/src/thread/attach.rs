//! How threads come and go.

use core::{
    cell::Cell,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{Origin, Thread, gs};
use crate::{apc, dispatcher, explore, kernel, ob, processor, ps, stack};

thread_local! {
    /// The thread of the kernel that this host thread is. It has no destructor, so that reading it
    /// is a single load.
    static CURRENT: Cell<*const Thread> = const { Cell::new(ptr::null()) };

    /// Ends the kernel's thread when the host thread ends.
    static DETACH: Cell<Option<Detach>> = const { Cell::new(None) };
}

struct Detach;

impl Drop for Detach {
    fn drop(&mut self) {
        detach();
    }
}

/// A thread by its address; the list holds a reference to each.
struct Entry(*const Thread);

// SAFETY: A thread is made of atomics, and may be looked at from everywhere; see `each`.
unsafe impl Send for Entry {}

/// All threads that are alive.
static THREADS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The next thread identifier; Windows gives multiples of four.
static NEXT_ID: AtomicU64 = AtomicU64::new(8);

/// The thread that calls, which becomes a thread of the kernel if it was none.
///
/// APCs that wait for the thread run first: to it they come in between two instructions. Does not return if a bug
/// check has stopped the kernel. The reference is good for as long as the
/// host thread runs: it must not be given to another one.
#[inline]
pub fn current() -> &'static Thread {
    let thread = attached();
    kernel::check_alive(thread);
    if explore::is_on() {
        explore::switch();
        kernel::check_alive(thread);
    }
    apc::deliver(thread);
    thread
}

/// The thread that calls, whether the kernel is alive or not.
#[inline]
pub fn attached() -> &'static Thread {
    let thread = CURRENT.get();
    if thread.is_null() {
        return attach(Origin::Host, None);
    }
    // SAFETY: The pointer is that of a thread object to which the running thread holds a reference.
    unsafe { &*thread }
}

/// The thread that calls, if it is one of the kernel. Signal handlers may call this.
#[inline]
pub fn existing() -> Option<&'static Thread> {
    // SAFETY: The pointer is null, or that of a thread object to which the running thread holds a
    // reference.
    unsafe { CURRENT.get().as_ref() }
}

#[cold]
fn attach(origin: Origin, prepared: Option<&'static Thread>) -> &'static Thread {
    kernel::config();
    let thread = prepared.unwrap_or_else(|| {
        let name = std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .to_owned();
        create(origin, name)
    });
    join_schedule(thread);
    CURRENT.set(thread);
    thread.gs.install(thread);
    stack::remember_host_thread(thread);
    processor::assign(thread);
    if origin == Origin::Host {
        DETACH.set(Some(Detach));
    }
    if prepared.is_none() {
        enlist(thread);
    }
    thread
}

/// Puts a thread on the list of those that are alive: one that a driver starts before it runs, since whoever looks
/// for threads of the driver must find it.
pub fn enlist(thread: &'static Thread) {
    THREADS.lock().push(Entry(thread));
}

/// Takes a thread off that list.
pub fn delist(thread: &Thread) {
    THREADS.lock().retain(|entry| !ptr::eq(entry.0, thread));
}

/// Has `thread`, the calling one, take part in the schedule, if threads run one at a time.
fn join_schedule(thread: &Thread) {
    // What the kernel started before the schedule, such as its watchdog, takes no part in it.
    let is_older = thread.origin() != Origin::Host && thread.place().is_none();
    if !explore::is_on() || is_older {
        return;
    }
    let reserved = thread.place().map(|place| (place, true));
    let place = reserved.or_else(|| explore::place().map(|place| (place, false)));
    let place = place.or_else(|| explore::reserve().map(|place| (place, true)));
    if let Some((place, begins)) = place {
        thread.place.store(place, Ordering::Relaxed);
        if begins {
            explore::begin(place);
        }
    }
}

/// Makes a thread object, with a reference that belongs to the thread itself.
pub fn create(origin: Origin, name: String) -> &'static Thread {
    let id = NEXT_ID.fetch_add(4, Ordering::Relaxed);
    let thread = ob::create(&ps::THREAD_TYPE, Thread::new(origin, name, id));
    thread.object.initialize();
    thread.apcs.initialize();
    if origin != Origin::Host {
        thread.start_in_critical_region();
        if let Some(place) = explore::reserve() {
            thread.place.store(place, Ordering::Relaxed);
        }
    }
    thread
}

/// Runs `body` as `thread` on the calling host thread, from its first instruction to its end.
pub fn run_system(thread: &'static Thread, body: impl FnOnce()) {
    attach(thread.origin(), Some(thread));
    body();
    detach();
}

/// Ends the calling thread: it is signalled, and the kernel forgets it.
fn detach() {
    // SAFETY: The reference that the thread has to itself is given up only at the end of this.
    let Some(thread) = (unsafe { CURRENT.get().as_ref() }) else {
        return;
    };
    // Before it is signalled: whoever has waited for its end must not find it alive.
    delist(thread);
    if !kernel::is_dead() {
        dispatcher::end_thread(thread);
    }
    CURRENT.set(ptr::null());
    gs::uninstall();
    ob::dereference_typed(thread);
    explore::end();
}

/// Calls `visit` with every thread that is alive. No thread can end meanwhile, so `visit` must not
/// wait for one.
pub fn each(mut visit: impl FnMut(&Thread)) {
    for entry in THREADS.lock().iter() {
        // SAFETY: A thread is taken off the list before it gives up the reference to itself.
        visit(unsafe { &*entry.0 });
    }
}
