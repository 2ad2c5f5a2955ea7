//! An NT kernel for Linux: it loads Windows kernel drivers as they are and runs them on many
//! threads, and stops with the bug check that Windows gives when a driver breaks a rule.
//!
//! There is one kernel per process. It boots when it is first used, or with a [`Config`] before
//! that. Every host thread that calls in becomes a thread of the kernel.
//!
//! The folders under this one are the components of NT: `ke` (processors, dispatcher), `ex`
//! (executive), `ob` (objects and handles), `ps` (threads). A function of the kernel is one
//! `extern "win64"` function there, reached through the import tables of drivers ([`export`]) and
//! by Rust callers ([`ntddk`]) alike. Beside them lies what carries them: virtual processors
//! (`processor`, `irql`), the threads' own state (`thread`), the dispatcher lock and its wait
//! algorithm (`dispatcher`), and the end of it all ([`bugcheck`]).

// Elsewhere there is nothing: it runs x64 kernel code natively, on the threads of Linux. So a
// workspace that has it builds on Windows, too.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod address;
mod apc;
pub mod bugcheck;
mod clock;
mod cm;
mod deadlock;
mod dispatcher;
mod dpc;
pub mod ex;
mod exceptions;
mod explore;
pub mod export;
mod fault;
mod hang;
mod initialized;
mod inspect;
mod io;
mod irql;
pub mod ke;
mod kernel;
mod library;
mod list;
mod loader;
mod lock_order;
mod mm;
pub mod ntddk;
pub mod ob;
mod processor;
pub mod ps;
mod recovery;
mod rtl;
mod rules;
mod spin;
mod stack;
mod symbols;
pub mod testing;
mod thread;
mod timer;
mod verifier;
mod watchdog;

pub use explore::Policy;
pub use export::Export;
pub use inspect::{MemoryImage, Module, Region, View};
pub use io::resource::InterruptResource;
pub use kernel::{BootError, Config, boot};
pub use library::{
    Device, Driver, DriverEntry, File, Kernel, Leak, LeakKind, Leaks, Library, Prepared,
    RegistryData, Stop, Target, Turn,
};
pub use loader::{
    ImageError,
    registry::{Location, Place, locate},
};
pub use recovery::with_recovery;
pub use rtl::debug::set_output as set_debug_output;
pub use rules::{Rules, UnknownRules};
