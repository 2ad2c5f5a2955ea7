//! The same on `parking_lot`, for a driver's passes to be compared with.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};

use super::driver::{Pace, Subject};

/// An event that whoever waits for it resets.
#[derive(Default)]
struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn set(&self) {
        *self.set.lock() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut set = self.set.lock();
        while !*set {
            self.changed.wait(&mut set);
        }
        *set = false;
    }
}

/// The locks, behind a call as those of a kernel are.
#[derive(Default)]
pub struct Peers {
    mutex: Mutex<u64>,
    rw_lock: RwLock<u64>,
    event: Event,
    turns: [Event; 2],
}

impl Peers {
    #[inline(never)]
    fn mutex_pass(&self) {
        let mut data = self.mutex.lock();
        *data = data.wrapping_add(1);
    }

    #[inline(never)]
    fn rw_lock_pass(&self) {
        let mut data = self.rw_lock.write();
        *data = data.wrapping_add(1);
    }

    #[inline(never)]
    fn event_pass(&self) {
        self.event.set();
        self.event.wait();
    }

    fn ping_pong_pass(&self, index: usize) {
        if index == 0 {
            self.turns[1].set();
        }
        self.turns[index].wait();
        if index == 1 {
            self.turns[0].set();
        }
    }

    /// Some passes on the calling thread. Nothing if `parking_lot` has no such thing.
    pub fn alone(&self, subject: Subject, passes: u32) -> Option<Pace> {
        let pass = match subject {
            Subject::SpinLock | Subject::FastMutex => Self::mutex_pass,
            Subject::Resource => Self::rw_lock_pass,
            Subject::Event => Self::event_pass,
            _ => return None,
        };
        let pass = std::hint::black_box(pass);
        let start = Instant::now();
        for _ in 0..passes {
            pass(self);
        }
        Some(Pace {
            time: start.elapsed(),
            passes: passes.into(),
        })
    }

    /// As many passes as several threads manage in a time. Nothing if `parking_lot` has no such thing.
    pub fn contended(&self, subject: Subject, threads: u32, milliseconds: u32) -> Option<Pace> {
        let time = Duration::from_millis(milliseconds.into());
        Some(match subject {
            Subject::SpinLock | Subject::FastMutex => {
                contend(threads, time, |_| self.mutex_pass(), |_| ())
            }
            Subject::Resource => contend(threads, time, |_| self.rw_lock_pass(), |_| ()),
            Subject::PingPong => {
                for turn in &self.turns {
                    *turn.set.lock() = false;
                }
                let pass = |index| self.ping_pong_pass(index);
                contend(threads, time, pass, |index| self.turns[1 - index].set())
            }
            _ => return None,
        })
    }
}

/// Lets threads do passes for a time, and each an end to them.
fn contend(
    threads: u32,
    time: Duration,
    pass: impl Fn(usize) + Sync,
    end: impl Fn(usize) + Sync,
) -> Pace {
    let stop = AtomicBool::new(false);
    let go = Barrier::new(threads as usize + 1);
    let work = |index: usize| {
        go.wait();
        let mut passes = 0;
        while !stop.load(Relaxed) {
            pass(index);
            passes += 1;
        }
        end(index);
        passes
    };
    thread::scope(|scope| {
        let work = &work;
        let mut workers = Vec::new();
        for index in 0..threads as usize {
            workers.push(scope.spawn(move || work(index)));
        }
        go.wait();
        let start = Instant::now();
        thread::sleep(time);
        stop.store(true, Relaxed);
        let mut passes: u64 = 0;
        for worker in workers {
            passes += worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Pace {
            time: start.elapsed(),
            passes,
        }
    })
}
