//! Classes, source lines and tables as the wire has them.

use core::panic::Location;

use syncstress_protocol::{ListRequest, LockClass, SourceLine, TableUse, Text};
use wdk_sync::Status;
#[cfg(not(feature = "lockdep"))]
use wdk_sync::lock_stat as watched;
#[cfg(feature = "lockdep")]
use wdk_sync::lockdep as watched;

use zerocopy::{Immutable, IntoBytes};

use crate::{dispatch::list, message::Message};

/// Lists the classes.
pub fn list_classes(message: Message<'_>) -> Result<usize, Status> {
    #[cfg(feature = "lockdep")]
    let classes = || watched::classes().map(class);
    #[cfg(not(feature = "lockdep"))]
    let classes = || watched::classes().map(|it| class(it.class));
    list_all(message, classes)
}

fn class(class: watched::LockClass) -> LockClass {
    LockClass {
        kind: Text::new(class.kind().name()),
        name: Text::end_of(class.name()),
        made_at: line(class.site()),
        nest: class.nest().into(),
        reserved: 0,
    }
}

/// A line of source.
pub const fn line(at: &Location<'_>) -> SourceLine {
    SourceLine {
        file: Text::end_of(at.file()),
        line: at.line(),
        column: at.column(),
    }
}

/// How full a table is.
pub fn table_use(fill: watched::Fill) -> TableUse {
    TableUse {
        used: number(fill.used),
        capacity: number(fill.capacity),
        lost: fill.lost,
        reserved: 0,
    }
}

/// A count or an index.
pub fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Lists all of something that there is one list of.
pub fn list_all<T, I>(message: Message<'_>, entries: impl Fn() -> I) -> Result<usize, Status>
where
    T: IntoBytes + Immutable,
    I: Iterator<Item = T>,
{
    let request: ListRequest = message.input()?;
    if request.item != 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    list_from(message, request.first, entries)
}

/// Lists as many as fit, from an index on.
pub fn list_from<T, I>(
    message: Message<'_>,
    first: u32,
    entries: impl Fn() -> I,
) -> Result<usize, Status>
where
    T: IntoBytes + Immutable,
    I: Iterator<Item = T>,
{
    list(message, first, number(entries().count()), entries())
}
