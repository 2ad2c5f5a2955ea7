//! The one kernel of the process: its configuration, and whether it is alive.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::sync::OnceLock;

use crate::{Rules, bugcheck, exceptions, processor, stack, thread::Thread, watchdog};

/// How the kernel is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many virtual processors there are, 1 to [`Config::MAXIMUM_PROCESSORS`].
    pub processors: u32,
    /// Whether the rules of Driver Verifier are enforced, beyond what a free build checks.
    pub verifier: bool,
    /// Whether threaded DPCs run at `PASSIVE_LEVEL`, each processor's on a thread of their own, or as ordinary
    /// ones do at `DISPATCH_LEVEL`: what `ThreadDpcEnable` in the registry says on Windows.
    pub threaded_dpcs: bool,
    /// Which of them, with the verifier.
    pub rules: Rules,
    /// How long, with the rules [`Rules::TIME`], code may stay at `DISPATCH_LEVEL` on a processor without leaving it (bug check
    /// 0x133); zero is for good.
    pub dispatch_limit: Duration,
    /// Whether it stops the kernel (bug check 0xE2) when nothing can happen any more: each thread waits without a
    /// time-out, and no timer, DPC or work item is left. Then the program must leave no thread that has not used
    /// the kernel yet and that will, but for those with a [`Turn`](crate::Turn); one that has and is in no call
    /// counts as one that may make a call, unless it says otherwise ([`Kernel::stand_by`](crate::Kernel::stand_by)).
    pub find_hangs: bool,
}

impl Config {
    /// One processor group holds 64 processors; this kernel has one group.
    pub const MAXIMUM_PROCESSORS: u32 = 64;
}

impl Default for Config {
    /// As many processors as the host has, and at least four, with Driver Verifier, but for special pool, and
    /// threaded DPCs on.
    fn default() -> Self {
        let host = std::thread::available_parallelism().map_or(1, |n| {
            u32::try_from(n.get()).unwrap_or(Self::MAXIMUM_PROCESSORS)
        });
        Self {
            processors: host.clamp(4, Self::MAXIMUM_PROCESSORS),
            verifier: true,
            threaded_dpcs: true,
            rules: Rules::DEFAULT,
            dispatch_limit: Duration::from_secs(20),
            find_hangs: false,
        }
    }
}

/// Why the kernel did not boot with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The kernel runs already, with another configuration.
    #[error("the kernel of this process runs already, with another configuration ({0:?})")]
    Running(Config),
    /// The number of processors is not one that the kernel can have.
    #[error("{0} processors: a kernel has 1 to {max}", max = Config::MAXIMUM_PROCESSORS)]
    Processors(u32),
}

static CONFIG: OnceLock<Config> = OnceLock::new();

/// Set by the first bug check, and never cleared.
static DEAD: AtomicBool = AtomicBool::new(false);

/// Boots the kernel of this process.
///
/// # Errors
///
/// [`BootError`] if it runs already with another configuration, or if `config` is not possible.
pub fn boot(config: Config) -> Result<(), BootError> {
    if !(1..=Config::MAXIMUM_PROCESSORS).contains(&config.processors) {
        return Err(BootError::Processors(config.processors));
    }
    let running = boot_with(config);
    if running == config {
        Ok(())
    } else {
        Err(BootError::Running(running))
    }
}

/// The configuration of the running kernel, which boots with the default one if it did not run.
pub fn config() -> Config {
    CONFIG
        .get()
        .copied()
        .unwrap_or_else(|| boot_with(Config::default()))
}

fn boot_with(config: Config) -> Config {
    let running = *CONFIG.get_or_init(|| {
        exceptions::install();
        stack::install();
        processor::start(config.processors);
        config
    });
    watchdog::start(running);
    running
}

/// Whether a bug check has stopped the kernel.
#[inline]
pub fn is_dead() -> bool {
    DEAD.load(Ordering::Relaxed)
}

/// Stops the kernel; true for the first caller alone.
pub fn die() -> bool {
    !DEAD.swap(true, Ordering::AcqRel)
}

/// Does not return to code of the kernel or of a driver once a bug check has stopped the kernel.
#[inline]
pub fn check_alive(thread: &Thread) {
    if is_dead() {
        bugcheck::leave(thread);
    }
}
