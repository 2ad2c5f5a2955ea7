//! What is known of a bug check.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{exceptions, loader::caller, thread::Thread};

/// What stopped the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BugCheckReport {
    /// The bug check code, for instance 0xC4.
    pub code: u32,
    /// The name of the code, if it is one that the kernel knows.
    pub name: Option<String>,
    /// The four parameters, with the meaning that the page of the bug check gives them.
    pub parameters: [u64; 4],
    /// The kernel function that found the fault.
    pub function: String,
    /// What was wrong, in a sentence.
    pub rule: String,
    /// The code of a driver's image that called the kernel or raised the exception, as `image+offset`;
    /// nothing if there is none on the stack.
    pub driver: Option<String>,
    /// The thread that was stopped first.
    pub thread: ThreadInfo,
}

/// A thread as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadInfo {
    /// The host's name of the thread.
    pub name: String,
    /// The thread identifier.
    pub id: u64,
    /// The address of its `KTHREAD`.
    pub address: u64,
    /// Its IRQL.
    pub irql: u8,
    /// The DPC that ran on it, or zero.
    pub dpc: u64,
    /// The spin locks and fast mutexes that it held, outermost first.
    pub locks: Vec<u64>,
}

impl BugCheckReport {
    pub(super) fn new(
        code: u32,
        parameters: [u64; 4],
        function: &str,
        rule: String,
        thread: &Thread,
    ) -> Self {
        Self {
            code,
            name: nt_abi::bugcheck::name(code).map(str::to_owned),
            parameters,
            function: function.to_owned(),
            rule,
            driver: exceptions::location()
                .or_else(caller::find)
                .map(|location| location.to_string()),
            thread: ThreadInfo::of(thread),
        }
    }
}

impl ThreadInfo {
    fn of(thread: &Thread) -> Self {
        Self {
            name: thread.name().to_owned(),
            id: thread.id(),
            address: thread.address(),
            irql: thread.irql(),
            dpc: thread.dpc() as u64,
            locks: thread.held.iter().map(|held| held.0).collect(),
        }
    }
}

impl fmt::Display for BugCheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth] = self.parameters;
        writeln!(
            f,
            "*** STOP: 0x{:08X} (0x{first:X}, 0x{second:X}, 0x{third:X}, 0x{fourth:X})",
            self.code
        )?;
        if let Some(name) = &self.name {
            writeln!(f, "    {name}")?;
        }
        writeln!(f, "    {}: {}", self.function, self.rule)?;
        if let Some(driver) = &self.driver {
            writeln!(f, "    called from {driver}")?;
        }
        write!(f, "    {}", self.thread)
    }
}

impl fmt::Display for ThreadInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "thread {} \"{}\" at 0x{:X}, IRQL {}",
            self.id, self.name, self.address, self.irql
        )?;
        if self.dpc != 0 {
            write!(f, ", in the DPC at 0x{:X}", self.dpc)?;
        }
        for lock in &self.locks {
            write!(f, ", holds 0x{lock:X}")?;
        }
        Ok(())
    }
}
