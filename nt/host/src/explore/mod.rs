//! One thread at a time, in an order that a seed decides.
//!
//! Every thread of the kernel needs the baton to run. Who has it gives it away at each call of the kernel,
//! when it waits and when it ends; who gets it next is the policy's choice among those that could run. Time
//! is the scheduler's too: it moves a little with each call, and jumps to the next time-out when nothing else
//! can happen. So nothing depends on the host: the same seed gives the same schedule.

mod policy;
mod schedule;

use core::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

pub use self::policy::Policy;
use self::schedule::{Schedule, State};

/// What a thread waits for that has given the baton away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// What a driver has asked to wait for.
    Driver,
    /// Work, as a thread of the kernel does.
    Work,
    /// Work items, as worker threads do.
    WorkItem,
    /// The end of other threads.
    Ends,
}

/// How a wait came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Somebody has ended it.
    Woken,
    /// Its time was over.
    TimedOut,
    /// Nothing can happen any more.
    Deadlock,
}

static ON: AtomicBool = AtomicBool::new(false);
static SCHEDULE: Mutex<Option<Schedule>> = Mutex::new(None);

thread_local! {
    /// The place of the thread in the schedule, plus one; or 0.
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// Whether threads run one at a time.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Has threads run one at a time from now on, as `seed` decides. The calling thread, the only one so far, has
/// the baton.
pub fn start(policy: Policy, seed: u64) {
    let mut schedule = Schedule::new(policy, seed);
    let place = schedule.add();
    schedule.running = place;
    PLACE.set(place + 1);
    *SCHEDULE.lock() = Some(schedule);
    ON.store(true, Ordering::Release);
}

/// Lets every thread run as the host likes: the kernel is dead.
pub fn stop() {
    ON.store(false, Ordering::Release);
    if let Some(schedule) = SCHEDULE.lock().as_mut() {
        schedule.stopped = true;
        for place in &schedule.places {
            place.wake.notify_all();
        }
    }
}

/// A place in the schedule for a thread that is about to begin.
pub fn reserve() -> Option<usize> {
    let mut schedule = SCHEDULE.lock();
    schedule.as_mut().filter(|_| is_on()).map(Schedule::add)
}

/// Takes the place that was reserved for the calling thread, and waits for its turn.
pub fn begin(place: usize) {
    PLACE.set(place + 1);
    let guard = SCHEDULE.lock();
    drop(until_turn(guard, place));
}

/// The place of the calling thread.
pub fn place() -> Option<usize> {
    PLACE.get().checked_sub(1)
}

/// Runs `body` with the schedule, for the calling thread, if it has a place there.
fn with<T>(body: impl FnOnce(MutexGuard<'static, Option<Schedule>>, usize) -> T) -> Option<T> {
    if !is_on() {
        return None;
    }
    place().map(|place| body(SCHEDULE.lock(), place))
}

/// Waits until it is the turn of `place`.
fn until_turn(
    mut guard: MutexGuard<'static, Option<Schedule>>,
    place: usize,
) -> MutexGuard<'static, Option<Schedule>> {
    loop {
        let wake = match guard.as_ref() {
            Some(schedule) if !schedule.stopped && schedule.running != place => {
                Arc::<Condvar>::clone(&schedule.places[place].wake)
            }
            _ => return guard,
        };
        wake.wait(&mut guard);
    }
}

/// Gives the baton to whoever is next, and waits for it to come back.
fn hand_over(mut guard: MutexGuard<'static, Option<Schedule>>, place: usize) -> End {
    if let Some(schedule) = guard.as_mut() {
        schedule.choose();
    }
    let mut guard = until_turn(guard, place);
    guard.as_mut().map_or(End::Woken, |schedule| {
        core::mem::replace(&mut schedule.places[place].end, End::Woken)
    })
}

/// A call of the kernel: another thread may go on instead.
pub fn switch() {
    with(|mut guard, place| {
        if let Some(schedule) = guard.as_mut() {
            schedule.step();
        }
        hand_over(guard, place);
    });
}

/// Looks again later: the thread cannot go on before another one has done something. True if no other can.
pub fn spin() -> bool {
    let end = with(|mut guard, place| {
        if let Some(schedule) = guard.as_mut() {
            schedule.places[place].state = State::Spinning(schedule.steps);
        }
        hand_over(guard, place)
    });
    end == Some(End::Deadlock)
}

/// Waits until [`wake`], or until the time is `deadline`.
pub fn wait(wait: Wait, deadline: Option<u64>) -> End {
    let end = with(|mut guard, place| {
        if let Some(schedule) = guard.as_mut() {
            schedule.places[place].state = State::Waiting(wait, deadline);
        }
        hand_over(guard, place)
    });
    end.unwrap_or(End::Woken)
}

/// Ends the wait of the thread at a place.
pub fn wake(place: Option<usize>) {
    if let (true, Some(place)) = (is_on(), place) {
        change(|schedule| schedule.wake(place));
    }
}

/// Ends the waits of all worker threads.
pub fn wake_workers() {
    change(|schedule| schedule.wake_all(Wait::WorkItem));
}

/// The calling thread ends, and gives the baton away for good.
pub fn end() {
    with(|mut guard, place| {
        PLACE.set(0);
        if let Some(schedule) = guard.as_mut() {
            schedule.places[place].state = State::Ended;
            schedule.wake_all(Wait::Ends);
            schedule.choose();
        }
    });
}

/// Waits until the threads at these places have ended.
pub fn wait_for_ends(places: &[usize]) {
    let all_ended = || {
        let guard = SCHEDULE.lock();
        let ended = |place: &usize| {
            guard
                .as_ref()
                .is_none_or(|schedule| schedule.places[*place].state == State::Ended)
        };
        places.iter().all(ended)
    };
    while is_on() && !all_ended() {
        wait(Wait::Ends, None);
    }
}

/// The interrupt time.
pub fn now() -> Option<u64> {
    if !is_on() {
        return None;
    }
    SCHEDULE.lock().as_ref().map(|schedule| schedule.now)
}

/// Lets time pass, in units of 100 ns.
pub fn advance(units: u64) {
    change(|schedule| schedule.now += units);
}

fn change(change: impl FnOnce(&mut Schedule)) {
    if !is_on() {
        return;
    }
    if let Some(schedule) = SCHEDULE.lock().as_mut() {
        change(schedule);
    }
}
