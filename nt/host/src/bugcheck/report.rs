//! What is known of a bug check.

use core::fmt;

use serde::{Deserialize, Serialize};

use nt_abi::bugcheck::{
    DRIVER_VERIFIER_DETECTED_VIOLATION, ERESOURCE_INVALID_RELEASE, RESOURCE_NOT_OWNED,
};

use super::lock::{self, LockInfo};
use crate::{
    exceptions,
    loader::caller,
    stack::{self, Frame, Snapshot},
    thread::{self, Thread},
};

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
    /// The lock that the rule is about, if it is about one.
    pub lock: Option<LockInfo>,
    /// The thread that was stopped first.
    pub thread: ThreadInfo,
    /// The other threads that have to do with it.
    pub others: Vec<ThreadInfo>,
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
    /// The locks that it held: spin locks, fast mutexes and push locks in the order in which it took them,
    /// then mutexes, then ERESOURCEs.
    pub holds: Vec<LockInfo>,
    /// What it waited for.
    pub waits_for: Vec<LockInfo>,
    /// Where it was in drivers' code, innermost first.
    pub stack: Vec<Frame>,
}

impl BugCheckReport {
    pub(super) fn new(
        code: u32,
        parameters: [u64; 4],
        function: &str,
        rule: String,
        thread: &Thread,
        others: &[u64],
    ) -> Self {
        let here = stack::here();
        let start = exceptions::registers().unwrap_or(here);
        let others = others.iter().filter(|&&other| other != thread.address());
        Self {
            code,
            name: nt_abi::bugcheck::name(code).map(str::to_owned),
            parameters,
            function: function.to_owned(),
            rule,
            driver: exceptions::location()
                .or_else(caller::find)
                .map(|location| location.to_string()),
            lock: lock_of(code, parameters).map(LockInfo::at),
            thread: ThreadInfo::of(thread, Some(&start.into())),
            others: others.filter_map(|other| ThreadInfo::at(*other)).collect(),
        }
    }

    /// The pages of the documentation that say more.
    fn look_up(&self) -> String {
        let name = self.name.as_deref().unwrap_or("see its page");
        let parameter = match self.code {
            DRIVER_VERIFIER_DETECTED_VIOLATION => {
                format!(", parameter 1 = 0x{:X}", self.parameters[0])
            }
            _ => String::new(),
        };
        let function = &self.function;
        format!(
            "bug check 0x{:X} ({name}){parameter}; {function}",
            self.code
        )
    }
}

/// The address of the lock that a bug check is about, which its page puts among the parameters.
fn lock_of(code: u32, parameters: [u64; 4]) -> Option<u64> {
    match code {
        DRIVER_VERIFIER_DETECTED_VIOLATION => {
            matches!(parameters[0], 0xD0..=0xD2 | 0x1000..=0x1009 | 0x100B).then_some(parameters[1])
        }
        RESOURCE_NOT_OWNED | ERESOURCE_INVALID_RELEASE => Some(parameters[0]),
        _ => None,
    }
    .filter(|address| *address != 0)
}

impl ThreadInfo {
    /// The thread at an address, if it is one that is alive.
    fn at(address: u64) -> Option<Self> {
        let mut found = None;
        thread::each(|thread| {
            if thread.address() == address {
                found = Some(Self::of(thread, stack::ask(thread).as_ref()));
            }
        });
        found
    }

    fn of(thread: &Thread, start: Option<&Snapshot>) -> Self {
        Self {
            name: thread.name().to_owned(),
            id: thread.id(),
            address: thread.address(),
            irql: thread.irql(),
            dpc: thread.dpc() as u64,
            holds: lock::held_by(thread),
            waits_for: lock::waited_for_by(thread),
            stack: start.map(stack::walk).unwrap_or_default(),
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
        if let Some(lock) = &self.lock {
            writeln!(f, "    about the {lock}")?;
        }
        if let Some(driver) = &self.driver {
            writeln!(f, "    called from {driver}")?;
        }
        writeln!(f, "    {}", self.thread)?;
        for other in &self.others {
            writeln!(f, "    {other}")?;
        }
        write!(f, "    look up: {}", self.look_up())
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
        for lock in &self.holds {
            write!(f, "\n        holds the {lock}")?;
        }
        for lock in &self.waits_for {
            write!(f, "\n        waits for the {lock}")?;
        }
        for frame in &self.stack {
            write!(f, "\n        {frame}")?;
        }
        Ok(())
    }
}
