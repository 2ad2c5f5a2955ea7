//! Behaviour tests and stress scenarios of the NT locks, and the engine that runs them.
//!
//! An [`Engine`] is what a driver has once; a [`Session`] is what each of its file handles has.
//! [`Session::dispatch`] answers the control codes of `syncstress-protocol` and never waits for a
//! run: a run has a supervisor, a system thread of its own, that starts the workers, ends them when
//! their time is over, and writes down what came out.
//!
//! | module | what is there |
//! |---|---|
//! | `engine`, `session`, `dispatch`, `inspect` | handles, control codes, limits |
//! | `device` | the device object that a handle is of |
//! | `registry` | the runs of all handles |
//! | `locks` | what `wdk-sync` finds out of the driver's own locks, if it was built to |
//! | `run` | one run: its workers' counters, its supervisor, its outcome |
//! | `measure` | histograms, the clock, and what measuring costs |
//! | `behaviour` | one function per documented behaviour of a primitive |
//! | `scenario` | many threads on one primitive, its invariant checked on every pass |
//! | `hold` | locks and timers in known states, for whoever looks at them in a debugger |
//!
//! Nothing here panics on a request, whatever is in it; memory that cannot be had is a status.
#![no_std]
// `pin_init!` recurses for each field of a run.
#![recursion_limit = "256"]
#![allow(
    clippy::expl_impl_clone_on_copy,
    reason = "in what `pin_data` generates, where no attribute reaches"
)]

extern crate alloc;

mod behaviour;
mod catalog;
mod device;
mod dispatch;
mod engine;
mod hold;
mod inspect;
mod limits;
mod locks;
mod log;
mod measure;
mod message;
mod registry;
mod run;
mod scenario;
mod session;
mod settings;
mod thread_state;

pub use device::Device;
pub use engine::Engine;
pub use session::Session;
