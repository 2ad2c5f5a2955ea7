//! noticeboard.sys: a small WDM driver on wdk-sync, to read and to copy from.
//!
//! Programs put notices up, each under a topic and for some time; they read them, and they wait for
//! the next one of a topic.
//!
//! | module | what is there | what it uses of wdk-sync |
//! |---|---|---|
//! | `interface` | control codes and structures, for programs too | |
//! | `driver` | `DriverEntry`, unload | `BoundTimer`, `BoundWorkItem`, `Rundown` |
//! | `dispatch` | what the I/O manager calls for requests | `Rundown`, `Irql::assume` |
//! | `board` | the notices and who waits for them | `Resource`, `QueuedSpinLock` |
//! | `queue` | requests that wait | |
//!
//! Requests as values and the device come from `wdm-shell`, beside this crate.
//!
//! Which lock is where follows from who comes at which IRQL, and what is wrong does not compile:
//!
//! - Threads read the table of notices much oftener than they change it, at `PASSIVE_LEVEL`: an
//!   `ERESOURCE`.
//! - Requests that wait are taken by threads, by the timer's DPC and by cancel routines: a spin lock,
//!   queued so that whoever waits for it longest is next.
//! - The DPC cannot have the table (`AtMost<Apc>` is not satisfied): it queues a work item, which
//!   takes down what has expired.
//! - DPC, work item and dispatch routines use the board under rundown protection, so that unload has
//!   it to itself before it goes.
#![no_std]

mod board;
mod dispatch;
mod driver;
mod interface;
mod queue;

use wdk_alloc::WdkAllocator;
use wdk_panic as _;

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;
