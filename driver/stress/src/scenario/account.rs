//! The books of something that is queued and then runs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use wdk_sync::Status;

use super::violation::Violation;

/// What happened to one thing that is queued, a timer or a DPC or a work item.
#[derive(Default)]
pub struct Account {
    /// How often it was queued.
    queued: AtomicU64,
    /// How often it was taken out of the queue before it ran.
    taken_out: AtomicU64,
    /// How often it ran.
    ran: AtomicU64,
}

/// Books for so many.
///
/// # Errors
///
/// [`Status::INSUFFICIENT_RESOURCES`].
pub fn several(count: u32) -> Result<Vec<Account>, Status> {
    let mut accounts = Vec::new();
    accounts
        .try_reserve_exact(count as usize)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    accounts.resize_with(count as usize, Account::default);
    Ok(accounts)
}

impl Account {
    /// It was queued.
    pub fn queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// It was taken out of the queue.
    pub fn taken_out(&self) {
        self.taken_out.fetch_add(1, Ordering::Relaxed);
    }

    /// It runs: for the how many-th time, from 1 on.
    pub fn runs(&self) -> u64 {
        self.ran.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// How often it was queued and not taken out, and how often it ran. For when nothing queues it or
    /// runs any more.
    pub fn due_and_ran(&self) -> (u64, u64) {
        let queued = self.queued.load(Ordering::Relaxed);
        let due = queued.saturating_sub(self.taken_out.load(Ordering::Relaxed));
        (due, self.ran.load(Ordering::Relaxed))
    }

    /// Whether it ran once for each time that it was queued and not taken out.
    ///
    /// # Errors
    ///
    /// [`Violation::Runs`] if not.
    pub fn balance(&self) -> Result<(), Violation> {
        match self.due_and_ran() {
            (due, runs) if due == runs => Ok(()),
            (due, runs) => Err(Violation::Runs { due, runs }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queueing_is_a_run_or_was_taken_out() {
        let account = Account::default();
        account.queued();
        account.queued();
        account.taken_out();
        assert!(matches!(
            account.balance(),
            Err(Violation::Runs { due: 1, runs: 0 })
        ));
        assert_eq!(account.runs(), 1);
        assert!(account.balance().is_ok());
        account.runs();
        assert!(account.balance().is_err());
    }
}
