//! `KEVENT`.

use wdk_sync::{Event, Irql, Passive};
use wdk_sys::{
    KEVENT,
    ntddk::{KeClearEvent, KeSetEvent},
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { CYCLE = "event_set_and_clear", same, passive,
    raw(event: RawLock<KEVENT> = event) {
        // SAFETY: The event is initialised, and the IRQL is low.
        unsafe { KeSetEvent(event.get(), 0, 0) };
        // SAFETY: As above.
        unsafe { KeClearEvent(event.get()) };
    }
    safe(event: Event = event, irql) {
        event.set(irql);
        event.clear(irql);
    }
}

pair! { "event_set", same,
    raw(event: &RawLock<KEVENT>) -> bool {
        // SAFETY: The event is initialised, and the IRQL is low.
        unsafe { KeSetEvent(event.get(), 0, 0) != 0 }
    }
    safe(event: &Event, irql: &mut Irql<'_, Passive>) -> bool {
        event.set(irql)
    }
}
