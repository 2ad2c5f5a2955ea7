//! The end of the kernel: bug checks.
//!
//! The first one wins. From then on the kernel is dead: every thread stays where it is at its next
//! call into the kernel or when it wakes up, except for those that entered through this crate
//! ([`crate::with_recovery`]): they come back with the report. If there is nobody to come back to, the
//! report goes to standard error and the process ends with [`EXIT_CODE`].

mod lock;
mod report;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

pub use self::{
    lock::LockInfo,
    report::{BugCheckReport, ThreadInfo},
};
pub use crate::stack::Frame;
use crate::{
    dispatcher, explore, inspect, kernel, recovery,
    thread::{self, Origin, Thread},
};

/// The exit code of a process in which a bug check found nobody to report to.
pub const EXIT_CODE: i32 = 0xBC;

static REPORT: OnceLock<Arc<BugCheckReport>> = OnceLock::new();

/// The report of the bug check that has stopped the kernel.
#[must_use]
pub fn report() -> Option<Arc<BugCheckReport>> {
    REPORT.get().cloned()
}

/// The report, once the thread that stopped the kernel has written it.
pub(crate) fn await_report() -> Arc<BugCheckReport> {
    REPORT.wait().clone()
}

/// Stops the kernel.
///
/// `function` is the kernel function that found the fault, as drivers call it; `rule` says in a sentence
/// what was wrong.
#[cold]
pub fn raise(
    code: u32,
    parameters: [u64; 4],
    function: &'static str,
    rule: impl Into<String>,
) -> ! {
    raise_among(code, parameters, function, rule, &parameters)
}

/// As [`raise`], for a fault that further threads take part in, by their addresses.
#[cold]
pub fn raise_among(
    code: u32,
    parameters: [u64; 4],
    function: &'static str,
    rule: impl Into<String>,
    threads: &[u64],
) -> ! {
    let thread = thread::attached();
    dispatcher::abandon(thread);
    // With the dispatcher lock held nobody leaves the kernel, whose state is kept as it is.
    let report = dispatcher::peek(|state| {
        kernel::die().then(|| {
            inspect::keep(state);
            BugCheckReport::new(code, parameters, function, rule.into(), thread, threads)
        })
    });
    if let Some(report) = report {
        // Cannot be set already: only the first to stop the kernel comes here.
        let _ = REPORT.set(Arc::new(report));
        explore::stop();
        dispatcher::wake_everybody();
    }
    leave(thread)
}

/// Takes the calling thread out of a dead kernel.
#[cold]
pub(crate) fn leave(thread: &Thread) -> ! {
    let report = await_report();
    let point = thread.recovery();
    if !recovery::is_watched() || (point.is_null() && thread.origin() == Origin::Host) {
        end_process(&report);
    }
    drop(report);
    if point.is_null() {
        park();
    }
    // SAFETY: A thread's recovery point belongs to a `run` that is on its stack; the kernel is dead,
    // and the dispatcher lock, the only one that may be held here, was let go of.
    unsafe { recovery::escape(point) }
}

static LAST_WORDS: OnceLock<fn(&BugCheckReport)> = OnceLock::new();

/// Says what is to be done with the report of a bug check that ends the process, in place of writing it to
/// standard error. The first to call this is heeded.
pub fn set_last_words(say: fn(&BugCheckReport)) {
    let _ = LAST_WORDS.set(say);
}

/// Writes the report and ends the process, once.
fn end_process(report: &BugCheckReport) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    if ENDING.swap(true, Ordering::AcqRel) {
        park();
    }
    match LAST_WORDS.get() {
        Some(say) => say(report),
        None => eprintln!("{report}"),
    }
    std::process::exit(EXIT_CODE)
}

/// Keeps the calling thread for good.
fn park() -> ! {
    loop {
        std::thread::park();
    }
}
