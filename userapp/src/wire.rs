//! Words for the numbers of the protocol, and care with its text.
//!
//! A driver newer than this program may send numbers that it does not know: they are shown as
//! numbers.

use std::{borrow::Cow, time::Duration};

use syncstress_protocol::{ItemKind, Primitive, Role, Unit};

/// A word of this program, or one made up for a number that it does not know.
pub type Word = Cow<'static, str>;

/// The name of an [`ItemKind`].
pub fn kind(number: u32) -> Word {
    word(
        number,
        "kind",
        ItemKind::from_wire(number),
        |kind| match kind {
            ItemKind::BehaviourTest => "behaviour test",
            ItemKind::Scenario => "stress scenario",
            ItemKind::HoldPattern => "hold pattern",
        },
    )
}

/// The name of a [`Primitive`].
pub fn primitive(number: u32) -> Word {
    word(
        number,
        "primitive",
        Primitive::from_wire(number),
        |primitive| match primitive {
            Primitive::SpinLock => "spin lock",
            Primitive::Mutex => "mutex",
            Primitive::Resource => "resource",
            Primitive::FastMutex => "fast mutex",
            Primitive::Timer => "timer",
            Primitive::Event => "event",
            Primitive::Thread => "thread",
            Primitive::Region => "region",
            Primitive::QueuedSpinLock => "queued spin lock",
            Primitive::RwSpinLock => "reader-writer spin lock",
            Primitive::GuardedMutex => "guarded mutex",
            Primitive::PushLock => "push lock",
            Primitive::Semaphore => "semaphore",
            Primitive::Rundown => "rundown protection",
            Primitive::MultipleWait => "wait for several objects",
            Primitive::ExTimer => "EX timer",
            Primitive::SList => "sequenced list",
            Primitive::InterlockedList => "interlocked list",
            Primitive::WorkItem => "work item",
            Primitive::Dpc => "DPC",
        },
    )
}

/// The abbreviation of a [`Unit`], empty for a plain number.
pub fn unit(number: u32) -> Word {
    word(number, "unit", Unit::from_wire(number), |unit| match unit {
        Unit::Count => "",
        Unit::Seconds => "s",
        Unit::Milliseconds => "ms",
        Unit::Microseconds => "us",
        Unit::Percent => "%",
        Unit::Nanoseconds => "ns",
        Unit::PerSecond => "/s",
        Unit::PartsPerMillion => "ppm",
    })
}

/// How long one [`Unit`] is, if it is one of time.
pub const fn unit_of_time(number: u32) -> Option<Duration> {
    match Unit::from_wire(number) {
        Some(Unit::Seconds) => Some(Duration::from_secs(1)),
        Some(Unit::Milliseconds) => Some(Duration::from_millis(1)),
        Some(Unit::Microseconds) => Some(Duration::from_micros(1)),
        Some(Unit::Nanoseconds) => Some(Duration::from_nanos(1)),
        _ => None,
    }
}

/// The name of a [`Role`].
pub fn role(number: u32) -> Word {
    word(number, "role", Role::from_wire(number), |role| match role {
        Role::Writer => "writer",
        Role::Reader => "reader",
        Role::Setter => "setter",
        Role::Canceller => "canceller",
        Role::Dpc => "DPC",
        Role::Producer => "producer",
        Role::Consumer => "consumer",
        Role::Spinner => "spinner",
    })
}

/// The name of a member, or `what` and the number where it is not known.
pub fn word<T>(number: u32, what: &str, member: Option<T>, name: fn(T) -> &'static str) -> Word {
    member.map_or_else(
        || Cow::Owned(format!("{what} {number}")),
        |it| Cow::Borrowed(name(it)),
    )
}

/// `text` without what could steer a terminal: every control character becomes a replacement
/// character. Line ends and tabs stay if `lines` is set.
pub fn clean(text: &str, lines: bool) -> String {
    let keep = |c: char| !c.is_control() || (lines && matches!(c, '\n' | '\t'));
    text.chars()
        .map(|c| {
            if keep(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_are_shown_as_numbers() {
        assert_eq!(primitive(3), "resource");
        assert_eq!(primitive(99), "primitive 99");
        assert_eq!(role(0), "role 0");
    }

    #[test]
    fn text_from_the_driver_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc", false), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(clean("a\x1b[2Jb\nc", true), "a\u{fffd}[2Jb\nc");
    }
}
