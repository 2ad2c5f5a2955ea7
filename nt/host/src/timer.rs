//! Timers that are set, and the clock thread that makes them expire.
//!
//! The queue is under the dispatcher lock. What expires is signalled, satisfies waits, and has its DPC
//! queued, all before the lock is let go of, so that a cancellation comes wholly before or after.

use core::{
    mem::offset_of,
    ops::Range,
    sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
};
use std::{collections::BTreeMap, sync::OnceLock};

use nt_abi::{_TIMER_TYPE::SynchronizationTimer, KTIMER, TIMER_TYPE, object_type};

use crate::{
    address, clock,
    dispatcher::{self, Deadline, Dispatcher, Header},
    dpc::{self, Dpc},
    fault,
    list::ListEntry,
    processor, ps,
    thread::{self, Origin, Thread},
};

/// A [`KTIMER`] with atomic fields.
#[repr(C)]
pub struct Timer {
    /// The dispatcher object.
    pub header: Header,
    /// The interrupt time at which it expires.
    due: AtomicU64,
    entry: ListEntry,
    dpc: AtomicPtr<Dpc>,
    /// The processor on which it was set.
    processor: AtomicU16,
    kind: AtomicU16,
    /// In milliseconds; 0 if it expires once.
    period: AtomicU32,
}

const _: () = {
    assert!(size_of::<Timer>() == size_of::<KTIMER>());
    assert!(offset_of!(Timer, due) == offset_of!(KTIMER, DueTime));
    assert!(offset_of!(Timer, dpc) == offset_of!(KTIMER, Dpc));
    assert!(offset_of!(Timer, period) == offset_of!(KTIMER, Period));
};

/// How a timer is set.
pub struct Setting {
    /// The interrupt time at which it expires first.
    pub due: u64,
    /// In units of 100 ns; 0 if it expires once.
    pub period: u64,
    /// The DPC that it queues, or null.
    pub dpc: *mut Dpc,
    /// What is called under the dispatcher lock when the DPC was queued.
    pub queued: Option<fn(&Timer)>,
}

/// 100 ns units per millisecond, the unit of `KTIMER.Period`.
pub const UNITS_PER_MILLISECOND: u64 = 10_000;

/// What the queue knows of a timer besides what lies in its memory: see [`Setting`].
struct Armed {
    period: u64,
    queued: Option<fn(&Timer)>,
}

impl Timer {
    /// A timer that [`Self::initialize`] must make one when it has its place.
    pub const fn uninitialized() -> Self {
        Self {
            header: Header::uninitialized(),
            due: AtomicU64::new(0),
            entry: ListEntry::unlinked(),
            dpc: AtomicPtr::new(core::ptr::null_mut()),
            processor: AtomicU16::new(0),
            kind: AtomicU16::new(0),
            period: AtomicU32::new(0),
        }
    }

    /// Makes this a timer that is not set.
    pub fn initialize(&self, kind: TIMER_TYPE) {
        let object = if kind == SynchronizationTimer {
            object_type::SynchronizationTimer
        } else {
            object_type::NotificationTimer
        };
        self.header.initialize(object, size_of::<KTIMER>(), 0);
        self.due.store(0, Relaxed);
        self.entry.initialize();
        self.dpc.store(core::ptr::null_mut(), Relaxed);
        self.processor.store(0, Relaxed);
        self.kind
            .store(u16::from(kind == SynchronizationTimer), Relaxed);
        self.period.store(0, Relaxed);
    }

    /// Whether this is a timer that was initialised.
    pub fn is_initialized(&self) -> bool {
        let kind = self.header.kind();
        let is_timer =
            kind == object_type::NotificationTimer || kind == object_type::SynchronizationTimer;
        is_timer && self.header.is_waitable()
    }

    fn key(&self) -> (u64, u64) {
        (self.due.load(Relaxed), core::ptr::from_ref(self) as u64)
    }
}

/// The timers that are set, by due time and address.
pub struct TimerQueue {
    set: BTreeMap<(u64, u64), Armed>,
}

impl TimerQueue {
    /// No timer.
    pub const fn new() -> Self {
        Self {
            set: BTreeMap::new(),
        }
    }

    /// Whether a timer is set.
    pub fn is_set(&self, timer: &Timer) -> bool {
        self.set.contains_key(&timer.key())
    }

    /// The address of a timer that is set, in a range of memory.
    pub fn find_in(&self, range: &Range<u64>) -> Option<u64> {
        self.addresses().find(|address| range.contains(address))
    }

    /// The addresses of the timers that are set, the first to expire first.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        self.set.keys().map(|key| key.1)
    }

    /// Whether one of them, when it expires, calls something or ends a wait.
    ///
    /// The caller holds the dispatcher lock.
    pub fn will_do_something(&self) -> bool {
        self.set.iter().any(|(key, armed)| {
            // SAFETY: A timer that is set is alive, and the lock keeps it set.
            let timer = unsafe { &*address::pointer::<Timer>(key.1) };
            let calls = armed.queued.is_some() || !timer.dpc.load(Relaxed).is_null();
            calls || !timer.header.waiters.is_empty()
        })
    }

    /// The routine in a range of memory that the DPC of a timer calls which is set.
    ///
    /// The caller holds the dispatcher lock.
    pub fn find_calling(&self, range: &Range<u64>) -> Option<u64> {
        self.set.keys().find_map(|key| {
            // SAFETY: A timer that is set is alive, and the lock keeps it set.
            let timer = unsafe { &*address::pointer::<Timer>(key.1) };
            // SAFETY: The DPC of a timer that is set is alive, or null.
            let dpc = unsafe { timer.dpc.load(Relaxed).as_ref() }?;
            Some(dpc.routine()).filter(|routine| range.contains(routine))
        })
    }

    /// Takes the first timer off that is due at `now`.
    fn pop_due(&mut self, now: u64) -> Option<(u64, Armed)> {
        let first = self.set.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let ((_, address), armed) = first.remove_entry();
        Some((address, armed))
    }
}

/// The processors whose DPC queues were added to, bit n for processor n.
#[derive(Default)]
#[must_use = "the processors must be told"]
pub struct Queued(u64);

impl Queued {
    /// Sees to it that the DPCs run. The dispatcher lock must not be held any more.
    pub fn announce(self, thread: &'static Thread) {
        for processor in (0..processor::count()).filter(|n| self.0 >> n & 1 == 1) {
            dpc::announce(thread, processor);
        }
    }
}

impl Dispatcher {
    /// Sets a timer; true if it was set already. The signal state is cleared.
    pub fn set_timer(&mut self, timer: &Timer, setting: &Setting) -> (bool, Queued) {
        let was_set = self.cancel_timer(timer);
        timer.header.set_state(0);
        let due = fault::stretch(setting.due);
        timer.due.store(due, Relaxed);
        let period = setting.period.div_ceil(UNITS_PER_MILLISECOND);
        timer
            .period
            .store(u32::try_from(period).unwrap_or(u32::MAX), Relaxed);
        timer.dpc.store(setting.dpc, Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are at most 64 processors"
        )]
        timer
            .processor
            .store(self.thread().current_processor() as u16, Relaxed);
        let queue = &mut self.state().timers;
        let armed = Armed {
            period: setting.period,
            queued: setting.queued,
        };
        queue.set.insert(timer.key(), armed);
        let is_first = queue.set.keys().next() == Some(&timer.key());
        if due <= clock::interrupt_time() {
            let queued = self.expire();
            if setting.period != 0 {
                // It is in the queue again, maybe before all others.
                clock_thread().wake_up();
            }
            return (was_set, queued);
        }
        if is_first {
            clock_thread().wake_up();
        }
        (was_set, Queued::default())
    }

    /// Takes a timer off the queue; false if it is not set.
    pub fn cancel_timer(&mut self, timer: &Timer) -> bool {
        self.state().timers.set.remove(&timer.key()).is_some()
    }

    /// Has a timer that is set expire once more and no further. False if it is not set.
    pub fn expire_once_more(&mut self, timer: &Timer) -> bool {
        let armed = self.state().timers.set.get_mut(&timer.key());
        timer.period.store(0, Relaxed);
        armed.map(|armed| armed.period = 0).is_some()
    }

    /// Makes the timers expire that are due.
    fn expire(&mut self) -> Queued {
        let mut queued = 0;
        let now = clock::interrupt_time();
        while let Some((address, armed)) = self.state().timers.pop_due(now) {
            // SAFETY: The address is that of a timer that a driver has set and not cancelled; to free
            // its memory before is the driver's error, which the verifier looks for.
            let timer = unsafe { &*address::pointer::<Timer>(address) };
            let (period, tell) = (armed.period, armed.queued);
            if period != 0 {
                timer
                    .due
                    .store(next_due(timer.due.load(Relaxed), period, now), Relaxed);
                self.state().timers.set.insert(timer.key(), armed);
            }
            self.signal(&timer.header, 1);
            let processor = queue_dpc(timer);
            if let (Some(tell), true) = (tell, processor != 0) {
                tell(timer);
            }
            queued |= processor;
        }
        Queued(queued)
    }
}

/// When a periodic timer expires next: times that have gone by unnoticed are left out.
const fn next_due(due: u64, period: u64, now: u64) -> u64 {
    let missed = now.saturating_sub(due) / period;
    due + (missed + 1) * period
}

/// Puts the DPC of a timer that expired on a queue, and returns that processor's bit.
fn queue_dpc(timer: &Timer) -> u64 {
    // SAFETY: The driver vouched for the DPC when it set the timer.
    let Some(dpc) = (unsafe { timer.dpc.load(Relaxed).as_ref() }) else {
        return 0;
    };
    let home = u32::from(timer.processor.load(Relaxed));
    // A DPC that still runs from the expiry before does not hold this one up: it goes to another
    // processor, as it may on Windows.
    let processor = dpc.target().unwrap_or_else(|| {
        let count = processor::count();
        (home..home + count)
            .map(|n| n % count)
            .find(|&n| !dpc.runs_on(n))
            .unwrap_or(home)
    });
    let queued = dpc.enqueue(processor, [core::ptr::null_mut(); 2], true);
    u64::from(queued) << processor
}

/// The thread that makes timers expire.
fn clock_thread() -> &'static Thread {
    static CLOCK: OnceLock<&Thread> = OnceLock::new();
    CLOCK.get_or_init(|| {
        match ps::thread::start(Origin::Kernel, "clock", run_clock) {
            // The reference that this leaves is that of the cell.
            Ok(thread) => thread,
            Err(error) => panic!("the host cannot start the clock thread: {error}"),
        }
    })
}

fn run_clock() {
    let thread = thread::current();
    loop {
        let mut dispatcher = dispatcher::lock(thread);
        let queued = dispatcher.expire();
        if queued.0 == 0 {
            let next = dispatcher.state().timers.set.keys().next();
            let next = next.map(|key| key.0);
            dispatcher.doze(next.map_or(Deadline::Never, clock::deadline_at));
        }
        drop(dispatcher);
        queued.announce(thread);
    }
}
