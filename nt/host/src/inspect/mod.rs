//! What a kernel debugger shows of locks and timers, read as it reads them: from the memory of the objects,
//! by the lists that link them, without trusting what is there.
//!
//! A bug check takes a snapshot before any thread leaves the kernel, so what is shown afterwards is what was
//! there then.

mod image;
mod locks;
pub mod memory;
mod mutexes;
mod timers;

use std::sync::OnceLock;

pub use image::{MemoryImage, Module, Region};

use crate::{
    dispatcher::{self, State},
    kernel,
};

/// Something to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum View {
    /// The ERESOURCEs that are held, as `!locks` shows them.
    Locks,
    /// Every ERESOURCE, as `!locks -v` shows them.
    AllLocks,
    /// The mutexes that are owned. No command of `WinDbg` lists them; the fields are those of
    /// `dt nt!_KMUTANT`.
    Mutexes,
    /// The timers that are set, as `!timer` shows them.
    Timers,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 4] = [Self::Locks, Self::AllLocks, Self::Mutexes, Self::Timers];

    fn of(self, state: &State) -> String {
        match self {
            Self::Locks => locks::text(false),
            Self::AllLocks => locks::text(true),
            Self::Mutexes => mutexes::text(),
            Self::Timers => timers::text(state),
        }
    }
}

/// What every view showed when a bug check stopped the kernel.
static LAST: OnceLock<[String; View::ALL.len()]> = OnceLock::new();

/// Keeps what every view shows, for a kernel that dies. The caller holds the dispatcher lock.
pub fn keep(state: &State) {
    LAST.get_or_init(|| View::ALL.map(|view| view.of(state)));
}

/// What a view shows, of the kernel as it is or as it was when it died.
pub fn show(view: View) -> String {
    dispatcher::peek(|state| {
        let kept = LAST.get().filter(|_| kernel::is_dead());
        kept.map_or_else(|| view.of(state), |texts| texts[view as usize].clone())
    })
}

/// The memory of the kernel and its drivers.
pub fn memory_image() -> MemoryImage {
    image::take()
}

/// The addresses of the ERESOURCEs that are initialised.
pub fn resources() -> Vec<u64> {
    locks::addresses().collect()
}

/// Whether a thread is among the owners of an ERESOURCE.
pub fn owns(thread: u64, resource: u64) -> bool {
    locks::owners(resource).is_some_and(|owners| owners.iter().any(|owner| owner.0 == thread))
}

/// An address as `WinDbg` writes it, without prefix.
fn pointer(address: u64) -> String {
    format!("{address:016x}")
}

/// An address with the symbol that it belongs to, if there is one.
fn symbol(address: u64) -> String {
    crate::symbols::name(address).map_or_else(
        || format!("0x{}", pointer(address)),
        |name| format!("{name} (0x{})", pointer(address)),
    )
}

/// Threads on lines of four.
fn columns(threads: &[String], indent: usize) -> String {
    let separator = format!("\n{:indent$}", "");
    let lines: Vec<_> = threads.chunks(4).map(|line| line.join(" ")).collect();
    lines.join(&separator)
}
