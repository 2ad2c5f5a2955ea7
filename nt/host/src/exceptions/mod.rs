//! Processor exceptions in code that the kernel runs: the host's signals, turned into what NT makes of
//! the exception.
//!
//! The signal handler ([`signal`]) does as little as it can. An access to CR8, the IRQL, is emulated
//! ([`control`]), a read of `KUSER_SHARED_DATA` finds a copy ([`shared_data`]), a break instruction is
//! passed over if a debugger is there ([`debugger`]). For anything else it notes the exception and lets the thread go on in [`stop`], on the
//! stack on which it was, or on an emergency stack if that one is used up. There the exception becomes
//! a bug check ([`classify`]), in the ordinary way: a thread that entered through the library goes back
//! to it.
//!
//! Drivers that this kernel runs handle no exceptions. Where Windows would look for a handler and,
//! finding none, stop with 0x1E, 0x3B or 0x7E, depending on the kind of thread, the stop is 0x1E.

mod classify;
mod control;
pub mod debugger;
mod instruction;
mod registers;
mod shared_data;
mod signal;
mod stop;
mod unnoticed;

pub use signal::{install, location, registers};
