//! `!timer`: the timers that are set, the first to expire first.

use core::{fmt::Write as _, mem::offset_of};

use nt_abi::{DISPATCHER_HEADER, KDPC, KTIMER};
use time::{Duration, OffsetDateTime};

use super::{memory, pointer, symbol};
use crate::{clock, dispatcher::State};

pub fn text(state: &State) -> String {
    let now = clock::interrupt_time();
    // What to add to an interrupt time to get the system time.
    let offset = clock::system_time().saturating_sub(now);
    let mut text = format!(
        "Dump system timers\n\nInterrupt time: {} [{}]\n\n\
         List Timer             Interrupt Low/High     Fire Time                  DPC/thread\n",
        halves(now),
        date(now.saturating_add(offset)),
    );
    for address in state.timers.addresses() {
        let Some(line) = timer(address, offset) else {
            continue;
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The line of a timer: the processor on which it was set, its address, `P` if it is periodic, when it
/// expires, and what happens then.
fn timer(address: u64, offset: u64) -> Option<String> {
    let field = |offset: usize| address + offset as u64;
    let due = memory::u64_at(field(offset_of!(KTIMER, DueTime)))?;
    let processor = memory::u16_at(field(offset_of!(KTIMER, Processor)))?;
    let period = memory::u32_at(field(offset_of!(KTIMER, Period)))?;
    let dpc = memory::u64_at(field(offset_of!(KTIMER, Dpc)))?;
    let what = if dpc == 0 {
        let threads = memory::waiters(field(offset_of!(DISPATCHER_HEADER, Type)));
        let threads: Vec<_> = threads
            .into_iter()
            .map(|thread| format!("thread {}", pointer(thread)))
            .collect();
        threads.join(", ")
    } else {
        let routine = memory::u64_at(dpc + offset_of!(KDPC, DeferredRoutine) as u64)?;
        let routine = crate::symbols::name(routine).unwrap_or_else(|| pointer(routine));
        format!("{routine} (DPC @ {})", symbol(dpc))
    };
    Some(format!(
        "{processor:4} {} {} {} [{}]  {what}",
        pointer(address),
        if period == 0 { ' ' } else { 'P' },
        halves(due),
        date(due.saturating_add(offset)),
    ))
}

/// The two halves of a time, the low one first.
fn halves(time: u64) -> String {
    format!("{:08x} {:08x}", time & 0xFFFF_FFFF, time >> 32)
}

/// The day and time of a system time.
fn date(time: u64) -> String {
    let since_1601 = clock::from_units(time);
    let since_1970 = Duration::try_from(since_1601).ok().and_then(|span| {
        span.checked_sub(Duration::seconds(clock::UNIX_EPOCH_SECONDS.cast_signed()))
    });
    let moment = since_1970.and_then(|span| OffsetDateTime::UNIX_EPOCH.checked_add(span));
    moment.map_or_else(
        || "NEVER".to_owned(),
        |at| {
            format!(
                "{:2}/{:2}/{} {:02}:{:02}:{:02}.{:03}",
                u8::from(at.month()),
                at.day(),
                at.year(),
                at.hour(),
                at.minute(),
                at.second(),
                at.millisecond()
            )
        },
    )
}
