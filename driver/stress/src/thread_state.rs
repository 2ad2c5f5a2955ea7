//! What a lock may change of its thread, and must restore.
//!
//! A system thread starts in a critical region, so on the threads of a run normal kernel APCs are off
//! from the beginning. What a lock does to them is compared with what was before; a region that is
//! not left again is found by the kernel when the thread ends.

use core::fmt;

use wdk_sync::{AtMost, Dispatch, Irql, are_all_apcs_disabled, are_apcs_disabled, current_irql};

/// IRQL and APC state of the current thread, as the kernel has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// The IRQL.
    pub irql: u8,
    /// `KeAreApcsDisabled`.
    pub apcs_disabled: bool,
    /// `KeAreAllApcsDisabled`.
    pub all_apcs_disabled: bool,
}

impl ThreadState {
    /// The state now.
    pub fn now<L: AtMost<Dispatch>>(irql: &Irql<'_, L>) -> Self {
        Self {
            irql: current_irql(),
            apcs_disabled: are_apcs_disabled(irql),
            all_apcs_disabled: are_all_apcs_disabled(irql),
        }
    }

    /// The state at this level, entered from `self`.
    pub const fn raised_to(self, irql: u8) -> Self {
        Self {
            irql,
            all_apcs_disabled: true,
            ..self
        }
    }

    /// The state in a guarded region entered from `self`.
    pub const fn without_apcs(self) -> Self {
        Self {
            apcs_disabled: true,
            all_apcs_disabled: true,
            ..self
        }
    }

    /// The state in a critical region, or as the owner of a KMUTEX, entered from `self`.
    pub const fn without_normal_apcs(self) -> Self {
        Self {
            apcs_disabled: true,
            ..self
        }
    }
}

impl fmt::Display for ThreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apcs = match (self.apcs_disabled, self.all_apcs_disabled) {
            (_, true) => "all APCs off",
            (true, false) => "normal APCs off",
            (false, false) => "APCs on",
        };
        write!(f, "IRQL {}, {apcs}", self.irql)?;
        if self.all_apcs_disabled && self.apcs_disabled {
            f.write_str(", in a region")?;
        }
        Ok(())
    }
}
