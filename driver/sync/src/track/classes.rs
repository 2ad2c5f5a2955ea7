//! The classes of locks: all locks that one line of source makes are one class.

use core::{fmt, mem::offset_of, panic::Location};
#[cfg(feature = "lockdep")]
use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, AtomicU16},
};

use super::{
    Fill, Kind, Table, TableAt, Writer, alone, offset,
    registry::{self, Text},
};
#[cfg(feature = "lock_stat")]
use crate::lock_stat::Counters;

/// How many classes there can be.
pub const MAX_CLASSES: usize = 256;

static CLASSES: Table<Entry, MAX_CLASSES> = Table::new();

/// What a lock is called.
#[derive(Clone, Copy)]
pub enum Name {
    /// By the type of its data.
    OfType(fn() -> &'static str),
    /// By its author.
    #[cfg(feature = "lockdep")]
    Given(&'static str),
}

impl Name {
    /// What its author called it, or else the type of its data.
    fn text(self) -> &'static str {
        match self {
            Self::OfType(name) => name(),
            #[cfg(feature = "lockdep")]
            Self::Given(name) => name,
        }
    }

    /// What its author called it.
    const fn given(self) -> Option<&'static str> {
        match self {
            Self::OfType(_) => None,
            #[cfg(feature = "lockdep")]
            Self::Given(name) => Some(name),
        }
    }
}

/// The number of a class in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassId(u16);

impl ClassId {
    /// The class of this index, which the table has room for.
    pub const fn from_index(index: usize) -> Option<Self> {
        if index >= MAX_CLASSES {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than MAX_CLASSES")]
        Some(Self(index as u16))
    }

    /// The index in the table.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The class, as reports name it.
    #[cfg(feature = "lockdep")]
    pub fn class(self) -> Option<LockClass> {
        let entry = self.entry()?;
        Some(LockClass { id: self, entry })
    }

    /// The class.
    pub fn entry(self) -> Option<&'static Entry> {
        CLASSES.get(self.index())
    }
}

/// A class and what is known of it.
pub struct Entry {
    name: Name,
    kind: Kind,
    site: &'static Location<'static>,
    /// What a debugger reads of name and line.
    text: Text,
    file: Text,
    line: u32,
    column: u32,
    /// How deep in others of its class: [`nested`](crate::lockdep::nested).
    nest: u8,
    /// Index, plus 1, of the newest edge that leaves here.
    #[cfg(feature = "lockdep")]
    pub(crate) edges: AtomicU16,
    /// Problems of the class by itself that were reported.
    #[cfg(feature = "lockdep")]
    pub(crate) reported: AtomicU8,
    /// Where a lock of this class was first acquired in a DPC.
    #[cfg(feature = "lockdep")]
    pub(crate) in_dpc: AtomicPtr<Location<'static>>,
    /// Where a lock of this class was first held below `DISPATCH_LEVEL`.
    #[cfg(feature = "lockdep")]
    pub(crate) below_dispatch: AtomicPtr<Location<'static>>,
    #[cfg(feature = "lock_stat")]
    pub(crate) counters: Counters,
}

impl Entry {
    fn new(name: Name, kind: Kind, site: &'static Location<'static>, nest: u8) -> Self {
        Self {
            name,
            kind,
            site,
            text: Text::new(name.text()),
            file: Text::new(site.file()),
            line: site.line(),
            column: site.column(),
            nest,
            #[cfg(feature = "lockdep")]
            edges: AtomicU16::new(0),
            #[cfg(feature = "lockdep")]
            reported: AtomicU8::new(0),
            #[cfg(feature = "lockdep")]
            in_dpc: AtomicPtr::new(ptr::null_mut()),
            #[cfg(feature = "lockdep")]
            below_dispatch: AtomicPtr::new(ptr::null_mut()),
            #[cfg(feature = "lock_stat")]
            counters: Counters::new(),
        }
    }

    /// The kind of its locks.
    #[cfg(feature = "lockdep")]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the class of these. A name that an author gave tells classes apart, too: a macro
    /// makes all its locks in one line.
    fn is(&self, name: Name, kind: Kind, site: &Location<'_>, nest: u8) -> bool {
        self.kind == kind
            && self.nest == nest
            && *self.site == *site
            && self.name.given() == name.given()
    }
}

/// The class of locks of this kind that this line makes; `None` if there is no room for it.
///
/// IRQL: `<= DISPATCH_LEVEL`.
pub fn register(
    name: Name,
    kind: Kind,
    site: &'static Location<'static>,
    nest: u8,
) -> Option<ClassId> {
    let known = || {
        CLASSES
            .iter()
            .position(|entry| entry.is(name, kind, site, nest))
    };
    let add = |writer: &mut Writer| {
        registry::keep();
        // Another thread may have been first.
        known().or_else(|| CLASSES.push(writer, Entry::new(name, kind, site, nest)))
    };
    known().or_else(|| alone(add)).and_then(ClassId::from_index)
}

/// The class of those locks of a class that are taken inside others of it, so deep.
///
/// IRQL: `<= DISPATCH_LEVEL`.
#[cfg(feature = "lockdep")]
pub fn nested(class: ClassId, nest: u8) -> Option<ClassId> {
    let entry = class.entry()?;
    register(entry.name, entry.kind, entry.site, nest)
}

/// Where the classes are, for a debugger.
pub const fn table() -> TableAt {
    CLASSES.place()
}

/// Where their members are.
pub const MEMBERS: [u32; 8] = [
    offset(offset_of!(Entry, kind)),
    offset(offset_of!(Entry, nest)),
    offset(offset_of!(Entry, text)),
    offset(offset_of!(Entry, file)),
    offset(offset_of!(Entry, line)),
    offset(offset_of!(Entry, column)),
    #[cfg(feature = "lock_stat")]
    offset(offset_of!(Entry, counters) + Counters::CONTENTIONS),
    #[cfg(feature = "lock_stat")]
    offset(offset_of!(Entry, counters) + Counters::ACQUISITIONS),
    #[cfg(not(feature = "lock_stat"))]
    registry::NOWHERE,
    #[cfg(not(feature = "lock_stat"))]
    registry::NOWHERE,
];

/// All classes, with what is known of each.
pub fn entries() -> impl Iterator<Item = (LockClass, &'static Entry)> {
    CLASSES.iter().enumerate().filter_map(|(index, entry)| {
        let id = ClassId::from_index(index)?;
        Some((LockClass { id, entry }, entry))
    })
}

/// How full the table of the classes is.
pub fn fill() -> Fill {
    CLASSES.fill()
}

/// A class of locks: all that one line of source makes.
#[derive(Clone, Copy)]
pub struct LockClass {
    id: ClassId,
    entry: &'static Entry,
}

impl LockClass {
    /// Its number among all classes, which it keeps.
    #[must_use]
    pub const fn number(self) -> usize {
        self.id.index()
    }

    /// The name that its author gave it, or else the type of its data.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry.name.text()
    }

    /// The kind of its locks.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.entry.kind
    }

    /// The line that makes its locks.
    #[must_use]
    pub const fn site(self) -> &'static Location<'static> {
        self.entry.site
    }

    /// How deep in others of its class its locks were taken: 0, or what
    /// `lockdep::nested` was told.
    #[must_use]
    pub const fn nest(self) -> u8 {
        self.entry.nest
    }
}

impl PartialEq for LockClass {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for LockClass {}

impl fmt::Display for LockClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())?;
        if self.nest() != 0 {
            write!(f, " nested {} deep", self.nest())?;
        }
        write!(f, " of {}", self.site())
    }
}

impl fmt::Debug for LockClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
