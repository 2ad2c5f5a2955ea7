//! hostbench.sys in nthost: what it is asked, and what it answers.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use nthost::{Config, Driver, File, Kernel};
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is measured; the numbers are the driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Subject {
    /// `KeAcquireSpinLockRaiseToDpc`, `KeReleaseSpinLock`.
    SpinLock,
    /// `ExAcquireFastMutex`, `ExReleaseFastMutex`.
    FastMutex,
    /// An ERESOURCE acquired exclusively, in its critical region.
    Resource,
    /// A thread sets an event and waits for it.
    Event,
    /// Two threads wake each other by events.
    PingPong,
    /// `KeSetTimer`, `KeCancelTimer`.
    Timer,
    /// As many spin locks as passes, each alone.
    LocksApart,
    /// As many spin locks as passes, in pairs of which one is acquired under the other.
    LocksInOrder,
}

impl Subject {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpinLock => "KSPIN_LOCK",
            Self::FastMutex => "FAST_MUTEX",
            Self::Resource => "ERESOURCE",
            Self::Event => "KEVENT, set and waited for",
            Self::PingPong => "KEVENT, ping-pong",
            Self::Timer => "KTIMER, set and cancelled",
            Self::LocksApart => "locks apart",
            Self::LocksInOrder => "locks in order",
        }
    }
}

/// A request to the driver.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
pub struct Run {
    subject: u32,
    /// 0: on the thread that asks.
    threads: u32,
    /// Of each thread; 0: as many as come to pass in the time.
    passes: u32,
    milliseconds: u32,
}

impl Run {
    /// Some passes on the thread that asks.
    pub const fn alone(subject: Subject, passes: u32) -> Self {
        Self::each(subject, 0, passes)
    }

    /// Some passes of each of several threads.
    pub const fn each(subject: Subject, threads: u32, passes: u32) -> Self {
        Self {
            subject: subject as u32,
            threads,
            passes,
            milliseconds: 0,
        }
    }

    /// As many passes as several threads manage in a time.
    pub const fn contended(subject: Subject, threads: u32, milliseconds: u32) -> Self {
        Self {
            subject: subject as u32,
            threads,
            passes: 0,
            milliseconds,
        }
    }

    /// The four numbers, as words of a command line.
    pub fn words(self) -> [String; 4] {
        [self.subject, self.threads, self.passes, self.milliseconds].map(|word| word.to_string())
    }
}

/// The driver's answer.
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Outcome {
    nanoseconds: u64,
    passes: u64,
    creation: u64,
}

impl Outcome {
    /// From three numbers.
    pub const fn new([nanoseconds, passes, creation]: [u64; 3]) -> Self {
        Self {
            nanoseconds,
            passes,
            creation,
        }
    }

    /// How long the passes took, and how many they were.
    pub const fn pace(self) -> Pace {
        Pace {
            time: Duration::from_nanos(self.nanoseconds),
            passes: self.passes,
        }
    }

    /// How long the creation of the threads took.
    pub const fn creation(self) -> Duration {
        Duration::from_nanos(self.creation)
    }
}

/// Passes in a time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long they took.
    pub time: Duration,
    /// How many they were.
    pub passes: u64,
}

impl Pace {
    /// Nanoseconds for a pass.
    pub fn nanoseconds(self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.count()
    }

    /// Passes in a second.
    pub fn rate(self) -> f64 {
        self.count() / self.time.as_secs_f64()
    }

    /// The number as one to calculate with.
    #[expect(
        clippy::cast_precision_loss,
        reason = "no run has as many passes as a double cannot hold"
    )]
    fn count(self) -> f64 {
        self.passes.max(1) as f64
    }
}

/// The driver, loaded in the kernel of this process.
pub struct Bench {
    driver: Driver,
    file: File,
}

impl Bench {
    /// Boots the kernel and loads the driver.
    pub fn load(image: &Path, verifier: bool) -> Result<Self> {
        let kernel = Kernel::boot(Config {
            verifier,
            ..Config::default()
        })?;
        let driver = kernel.load(image)?;
        ensure!(
            driver.missing_imports().is_empty(),
            "nthost lacks {}",
            driver.missing_imports().join(", ")
        );
        let file = kernel.open(r"\\.\Hostbench")?;
        Ok(Self { driver, file })
    }

    /// Has the driver do a run.
    pub fn run(&self, run: Run) -> Result<Outcome> {
        const REQUEST: u32 = 0x22 << 16 | 0x800 << 2;
        let mut output = [0; size_of::<Outcome>()];
        let length = self.file.ioctl(REQUEST, run.as_bytes(), &mut output)?;
        ensure!(
            length == output.len(),
            "the driver's answer has another form"
        );
        Ok(zerocopy::transmute!(output))
    }

    /// Unloads the driver.
    pub fn unload(self) -> Result<()> {
        self.file.close()?;
        Ok(self.driver.unload()?)
    }
}
