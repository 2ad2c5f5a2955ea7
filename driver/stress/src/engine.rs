//! What a driver has once: its version, the numbers of its runs, and what is left of its limits.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wdk_sync::{NonPagedArc, Status};

use crate::{
    Device, Session,
    limits::{RUNS, THREADS_TOTAL},
    registry::Registry,
};

/// The engine of a driver. Its sessions keep what they need of it, so it may go before they do.
pub struct Engine {
    shared: NonPagedArc<Shared>,
    registry: Registry,
}

impl Engine {
    /// An engine for a driver of this version: major, minor, patch.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    pub fn new(driver_version: [u16; 3]) -> Result<Self, Status> {
        let shared = NonPagedArc::new(Shared {
            driver_version,
            last_run: AtomicU64::new(0),
            runs: Quota::new(RUNS),
            threads: Quota::new(THREADS_TOTAL),
        })?;
        let registry = Registry::new()?;
        Ok(Self { shared, registry })
    }

    /// The place of a run that no session has.
    #[cfg(test)]
    pub(crate) fn place(&self) -> Result<Share, Status> {
        Share::of_runs(&self.shared)
    }

    /// A session, for a file handle of `device`.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    pub fn open(&self, device: Device) -> Result<Session, Status> {
        Session::new(self.shared.clone(), self.registry.share(), device)
    }
}

/// What the sessions of an engine share.
pub struct Shared {
    /// Of the driver.
    pub driver_version: [u16; 3],
    last_run: AtomicU64,
    runs: Quota,
    threads: Quota,
}

impl Shared {
    /// The number of a new run: never 0, never twice.
    pub fn next_run(&self) -> u64 {
        self.last_run
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }
}

/// How much of a limit is in use.
struct Quota {
    used: AtomicU32,
    limit: u32,
}

impl Quota {
    const fn new(limit: u32) -> Self {
        Self {
            used: AtomicU32::new(0),
            limit,
        }
    }

    fn take(&self, amount: u32) -> Result<(), Status> {
        let more = |used: u32| used.checked_add(amount).filter(|&sum| sum <= self.limit);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Status::QUOTA_EXCEEDED),
        }
    }
}

/// Part of a limit, given back when it is dropped.
pub struct Share {
    engine: NonPagedArc<Shared>,
    quota: fn(&Shared) -> &Quota,
    amount: u32,
}

impl Share {
    /// One run.
    ///
    /// # Errors
    ///
    /// [`Status::QUOTA_EXCEEDED`].
    pub fn of_runs(engine: &NonPagedArc<Shared>) -> Result<Self, Status> {
        Self::take(engine, |engine| &engine.runs, 1)
    }

    /// So many worker threads.
    ///
    /// # Errors
    ///
    /// [`Status::QUOTA_EXCEEDED`].
    pub fn of_threads(engine: &NonPagedArc<Shared>, threads: u32) -> Result<Self, Status> {
        Self::take(engine, |engine| &engine.threads, threads)
    }

    fn take(
        engine: &NonPagedArc<Shared>,
        quota: fn(&Shared) -> &Quota,
        amount: u32,
    ) -> Result<Self, Status> {
        quota(engine).take(amount)?;
        Ok(Self {
            engine: engine.clone(),
            quota,
            amount,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let quota = (self.quota)(&self.engine);
        quota.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}
