//! The mutexes that threads own, by the list of each thread.

use core::{fmt::Write as _, mem::offset_of};

use nt_abi::{DISPATCHER_HEADER, KMUTANT, KTHREAD};

use super::{columns, memory, pointer, symbol};
use crate::thread;

pub fn text() -> String {
    let mut threads = Vec::new();
    thread::each(|thread| threads.push((thread.address(), thread.name().to_owned())));
    let link = offset_of!(KMUTANT, MutantListEntry) as u64;
    let mut text = "Mutexes that are owned:\n".to_owned();
    for (thread, name) in threads {
        let head = thread + offset_of!(KTHREAD, MutantListHead) as u64;
        for entry in memory::list(head) {
            text.push('\n');
            text.push_str(&mutex(entry - link, thread, &name));
        }
    }
    text
}

fn mutex(address: u64, owner: u64, name: &str) -> String {
    let field = |offset: usize| address + offset as u64;
    let state = memory::u32_at(field(offset_of!(DISPATCHER_HEADER, SignalState)));
    let apc_disable = memory::u8_at(field(offset_of!(KMUTANT, ApcDisable)));
    let mut text = format!(
        "Mutex @ {}    Owned by {} \"{name}\"\n    SignalState = {}, ApcDisable = {}\n",
        symbol(address),
        pointer(owner),
        state.unwrap_or_default().cast_signed(),
        apc_disable.unwrap_or_default(),
    );
    let waiters = memory::waiters(address);
    let waiters: Vec<_> = waiters.into_iter().map(pointer).collect();
    if !waiters.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "     Threads Waiting: {}", columns(&waiters, 22));
    }
    text
}
