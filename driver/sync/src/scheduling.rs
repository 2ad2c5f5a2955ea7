//! Where and how urgently the current thread runs, for a while.

use crate::{
    Irql, Level,
    irql::{Apc, At, AtMost, Passive},
    nt,
    processor::processor_number,
};

/// The current thread on one processor, until this is dropped.
///
/// Guards nest: each restores what it found.
///
/// IRQL: `<= APC_LEVEL`, unchanged. Pages: `KeGetProcessorNumberFromIndex`,
/// `KeSetSystemGroupAffinityThread`, `KeRevertToUserGroupAffinityThread`.
///
/// ```
/// use wdk_sync::OnProcessor;
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let mut pinned = OnProcessor::enter(irql, 0).expect("there is a first processor");
/// let _token = pinned.irql();
/// # });
/// ```
#[must_use = "the thread may run elsewhere as soon as the guard is dropped"]
#[derive(Debug)]
pub struct OnProcessor<'a, L: Level> {
    /// The affinity before, or zeros where that was the thread's own.
    before: nt::GROUP_AFFINITY,
    irql: Irql<'a, L>,
}

impl<'a, L: AtMost<Apc>> OnProcessor<'a, L> {
    /// Moves the current thread to a processor; `None` if there is no such processor. The thread runs
    /// there when this returns.
    ///
    /// Processors count from 0 to [`active_processors`](crate::active_processors), over all groups.
    pub fn enter(_irql: &'a mut Irql<'_, L>, processor: u32) -> Option<Self> {
        let number = processor_number(processor).ok()?;
        let mut there = nt::GROUP_AFFINITY {
            Mask: 1 << number.Number,
            Group: number.Group,
            ..Default::default()
        };
        let mut before = nt::GROUP_AFFINITY::default();
        // SAFETY: The token says that the IRQL is at most APC_LEVEL. The processor is active, one may be
        // read and the other written.
        unsafe { nt::KeSetSystemGroupAffinityThread(&raw mut there, &raw mut before) };
        Some(Self {
            before,
            irql: Irql::new(),
        })
    }
}

impl<'a, L: Level> OnProcessor<'a, L> {
    /// The token, for what is to be done on the processor.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }
}

impl<L: Level> Drop for OnProcessor<'_, L> {
    fn drop(&mut self) {
        // SAFETY: On the thread whose affinity was set, since tokens stay on theirs, and at the IRQL
        // of then, since whatever raised it borrowed the token. What was written then may be read.
        unsafe { nt::KeRevertToUserGroupAffinityThread(&raw mut self.before) };
    }
}

/// How urgently a thread runs: 1 to 31, of which those from 16 on are the real-time priorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// `LOW_REALTIME_PRIORITY`: ahead of all threads without a real-time priority.
    pub const LOW_REALTIME: Self = Self(16);

    /// This priority; `None` for 0, which is the system's own, and beyond 31.
    #[must_use]
    pub const fn new(priority: u8) -> Option<Self> {
        match priority {
            1..=31 => Some(Self(priority)),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The current thread at another priority, until this is dropped. It is meant for threads that the
/// driver itself created.
///
/// Guards nest: each restores what it found.
///
/// IRQL: `PASSIVE_LEVEL`. Page: `KeSetPriorityThread`.
///
/// ```
/// use wdk_sync::{AtPriority, Priority, Thread};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let thread = Thread::spawn(irql, |irql| {
///     let mut urgent = AtPriority::enter(irql, Priority::LOW_REALTIME);
///     let _token = urgent.irql();
/// })?;
/// assert_eq!(thread.join(irql), Some(()));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[must_use = "the priority is what it was as soon as the guard is dropped"]
#[derive(Debug)]
pub struct AtPriority<'a, L: Level> {
    before: nt::KPRIORITY,
    irql: Irql<'a, L>,
}

impl<'a, L: At<Passive>> AtPriority<'a, L> {
    /// Gives the current thread a priority.
    pub fn enter(_irql: &'a mut Irql<'_, L>, priority: Priority) -> Self {
        Self {
            before: set_priority(priority.0.into()),
            irql: Irql::new(),
        }
    }
}

impl<'a, L: Level> AtPriority<'a, L> {
    /// The token, for what is to be done at the priority.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }
}

impl<L: Level> Drop for AtPriority<'_, L> {
    fn drop(&mut self) {
        // The token was borrowed since the priority was set: the same thread, at PASSIVE_LEVEL.
        let _priority = set_priority(self.before);
    }
}

/// Sets the priority of the current thread and gives the one before. At `PASSIVE_LEVEL`.
fn set_priority(priority: nt::KPRIORITY) -> nt::KPRIORITY {
    let thread = nt::current_thread().cast();
    // SAFETY: The object of the current thread is there as long as that runs; both callers are at
    // PASSIVE_LEVEL.
    unsafe { nt::KeSetPriorityThread(thread, priority) }
}

#[cfg(all(test, not(windows)))]
mod tests {
    use nthost::ntddk::{
        KeGetCurrentProcessorNumberEx, KeQueryPriorityThread, KeSetSystemAffinityThreadEx,
    };

    use super::*;
    use crate::{active_processors, testing::at_passive_level};

    fn processor<L: AtMost<crate::Dispatch>>(irql: &mut Irql<'_, L>) -> u32 {
        irql.at_dispatch_level(|_irql| {
            // SAFETY: The argument is optional.
            unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) }
        })
    }

    #[test]
    fn a_thread_runs_where_the_inner_guard_says_and_then_where_the_outer_one_does() {
        at_passive_level(|irql| {
            let mut first = OnProcessor::enter(irql, 0).unwrap();
            for _ in 0..10 {
                let mut second = OnProcessor::enter(first.irql(), 1).unwrap();
                assert_eq!(processor(second.irql()), 1);
                drop(second);
                assert_eq!(processor(first.irql()), 0);
            }
            drop(first);
            // SAFETY: The function has no preconditions.
            let before = unsafe { KeSetSystemAffinityThreadEx(1) };
            assert_eq!(before, 0, "nothing is left of it");
        });
    }

    #[test]
    fn a_processor_that_is_not_there_is_none() {
        at_passive_level(|irql| {
            assert!(OnProcessor::enter(irql, active_processors()).is_none());
            assert!(OnProcessor::enter(irql, u32::MAX).is_none());
        });
    }

    #[test]
    fn a_thread_has_the_priority_of_the_inner_guard_and_then_that_of_the_outer_one() {
        // SAFETY: The current thread is there.
        let now = || unsafe { KeQueryPriorityThread(nt::current_thread().cast()) };
        at_passive_level(|irql| {
            let own = now();
            let mut low = AtPriority::enter(irql, Priority::new(3).unwrap());
            assert_eq!(now(), 3);
            drop(AtPriority::enter(low.irql(), Priority::LOW_REALTIME));
            assert_eq!(now(), 3);
            drop(low);
            assert_eq!(now(), own);
        });
    }

    #[test]
    fn priorities_are_those_of_threads() {
        assert_eq!(Priority::new(0), None);
        assert_eq!(Priority::new(31).map(Priority::get), Some(31));
        assert_eq!(Priority::new(32), None);
        assert_eq!(Priority::new(16), Some(Priority::LOW_REALTIME));
    }
}
