//! What was found.

use core::{
    fmt,
    panic::Location,
    sync::atomic::{AtomicPtr, Ordering},
};

use super::{
    context::{self, CONTEXTS},
    edges::{self, Link, edge},
    search,
};
use crate::track::{self, ClassId, Entry, Fill, Table, Writer, alone};

/// How many reports there can be.
pub const MAX_REPORTS: usize = 128;

/// How many links the chains of all reports can have together.
pub const MAX_CHAIN_LINKS: usize = 2048;

static REPORTS: Table<Report, MAX_REPORTS> = Table::new();
static CHAINS: Table<u16, MAX_CHAIN_LINKS> = Table::new();

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The locks of some classes were taken in orders that contradict each other. Threads that come
    /// together badly wait for each other for good.
    Cycle,
    /// A lock was waited for by whoever held it.
    SameLock,
    /// A lock was waited for under another of its class. Nothing says that no other thread takes the
    /// two the other way round. See [`nested`](super::nested).
    SameClass,
    /// Locks of the class are taken in DPCs and held by threads below `DISPATCH_LEVEL`. A DPC that
    /// interrupts the holder on its processor waits for good, or for a KMUTEX acts in the name of
    /// whatever thread it has interrupted.
    DpcAndThread,
    /// A thread or DPC ended while it held a lock.
    HeldAtEnd,
}

/// One thing that was found, once for each kind of problem and class or pair of classes.
pub struct Report {
    problem: Problem,
    link: Link,
    chain: Chain,
}

impl Report {
    /// What is wrong.
    #[must_use]
    pub const fn problem(&self) -> Problem {
        self.problem
    }

    /// What was done when it was found.
    ///
    /// For [`Problem::DpcAndThread`] the two lines are that in the DPC and that below
    /// `DISPATCH_LEVEL`; for [`Problem::HeldAtEnd`], where the lock was acquired and where the end
    /// was noticed.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// The whole cycle: each link's lock was asked for under the one before, which is asked for in
    /// the link before it, and the first under the last. One link for other problems.
    pub fn chain(&self) -> impl Iterator<Item = &Link> {
        let way = (self.chain.first..self.chain.end)
            .filter_map(|place| edge(*CHAINS.get(place)?))
            .map(|edge| &edge.link);
        core::iter::once(&self.link).chain(way)
    }

    /// How many links of the chain are not there, because the table of all chains was full.
    #[must_use]
    pub const fn missing_links(&self) -> usize {
        self.chain.missing
    }
}

/// The place of a chain in the table of all chains.
#[derive(Clone, Copy, Default)]
pub struct Chain {
    first: usize,
    end: usize,
    missing: usize,
}

impl Chain {
    /// Writes down the way that the search found.
    pub fn write(writer: &mut Writer, last: u16) -> Self {
        let first = CHAINS.fill().used;
        let mut chain = Self {
            first,
            end: first,
            missing: 0,
        };
        search::for_each(writer, last, |writer, index| {
            match CHAINS.push(writer, index) {
                Some(place) => chain.end = place + 1,
                None => chain.missing += 1,
            }
        });
        chain
    }
}

/// Whether there is a report of a cycle that this link closed.
pub fn is_known_cycle(new: &Link) -> bool {
    reports().any(|report| {
        report.problem == Problem::Cycle
            && report.link.held == new.held
            && report.link.asked == new.asked
    })
}

/// Reports a cycle.
pub fn add_cycle(writer: &mut Writer, link: Link, chain: Chain) {
    let problem = Problem::Cycle;
    REPORTS.push(
        writer,
        Report {
            problem,
            link,
            chain,
        },
    );
}

/// Reports a problem of one class, the first time.
pub fn add(problem: Problem, link: Link) {
    let Some(class) = link.asked.entry() else {
        return;
    };
    let bit = 1 << problem as u8;
    if class.reported.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return;
    }
    let chain = Chain::default();
    alone(|writer| {
        REPORTS.push(
            writer,
            Report {
                problem,
                link,
                chain,
            },
        )
    });
}

/// Writes down that a lock of this class was acquired in a DPC, or else is held below
/// `DISPATCH_LEVEL`; reports that both are so.
pub fn note_level(class: ClassId, in_dpc: bool, link: impl FnOnce() -> Link) {
    let Some(entry) = class.entry() else { return };
    let place = |entry: &'static Entry, dpc| {
        if dpc {
            &entry.in_dpc
        } else {
            &entry.below_dispatch
        }
    };
    let mine: &AtomicPtr<Location<'static>> = place(entry, in_dpc);
    if !mine.load(Ordering::Relaxed).is_null() {
        return;
    }
    let link = link();
    let site = core::ptr::from_ref(link.asked_site).cast_mut();
    // In one order for all, so that of two who come at once one sees the other.
    mine.store(site, Ordering::SeqCst);
    core::sync::atomic::fence(Ordering::SeqCst);
    if let Some(other) = context::site(place(entry, !in_dpc)) {
        let (held_site, asked_site) = if in_dpc {
            (link.asked_site, other)
        } else {
            (other, link.asked_site)
        };
        let link = Link {
            held_site,
            asked_site,
            ..link
        };
        add(Problem::DpcAndThread, link);
    }
}

/// All reports, the oldest first.
pub fn reports() -> impl Iterator<Item = &'static Report> {
    REPORTS.iter()
}

/// How full the tables are. Where something was lost, what is reported may be less than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Classes of locks.
    pub classes: Fill,
    /// Edges: which class was asked for under which.
    pub edges: Fill,
    /// Threads and DPCs that hold locks. A lock that is acquired without room for that is lost.
    pub holders: Fill,
    /// Reports.
    pub reports: Fill,
    /// Links of the reports' chains.
    pub chain_links: Fill,
}

impl Statistics {
    /// Whether nothing was lost.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.classes.lost == 0
            && self.edges.lost == 0
            && self.holders.lost == 0
            && self.reports.lost == 0
            && self.chain_links.lost == 0
    }
}

/// How full the tables are.
#[must_use]
pub fn statistics() -> Statistics {
    Statistics {
        classes: track::class_fill(),
        edges: edges::fill(),
        holders: Fill {
            used: context::in_use(),
            capacity: CONTEXTS,
            lost: context::lost(),
        },
        reports: REPORTS.fill(),
        chain_links: CHAINS.fill(),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cycle => "possible deadlock: a cycle in the order of locks",
            Self::SameLock => "deadlock: a lock that its holder waits for",
            Self::SameClass => "possible deadlock: two locks of a class, in no order",
            Self::DpcAndThread => "a lock of DPCs that is held below DISPATCH_LEVEL",
            Self::HeldAtEnd => "a lock that is held where its holder ends",
        })
    }
}

/// A class, or that it is unknown, which does not happen: a class is there before a link names it.
struct Shown(ClassId);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.class().map_or(Ok(()), |class| class.fmt(f))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    held:  {}", Shown(self.held))?;
        writeln!(f, "           taken at {}", self.held_site)?;
        writeln!(f, "    asked: {}", Shown(self.asked))?;
        write!(f, "           at {}, IRQL {}", self.asked_site, self.irql)?;
        match self.thread() {
            Some(thread) => write!(f, ", thread {thread:#x}"),
            None => f.write_str(", in a DPC"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        let link = &self.link;
        match self.problem {
            Problem::DpcAndThread => {
                write!(f, "\n    {}", Shown(link.asked))?;
                write!(f, "\n    in a DPC at {}", link.held_site)?;
                write!(f, "\n    below DISPATCH_LEVEL at {}", link.asked_site)
            }
            Problem::HeldAtEnd => {
                write!(f, "\n    {}", Shown(link.asked))?;
                write!(f, "\n    taken at {}", link.held_site)?;
                write!(f, "\n    held at {}", link.asked_site)
            }
            Problem::Cycle | Problem::SameLock | Problem::SameClass => {
                for (number, link) in self.chain().enumerate() {
                    write!(f, "\n  {}.\n{link}", number + 1)?;
                }
                if self.missing_links() != 0 {
                    write!(
                        f,
                        "\n  and {} more, for which there was no room",
                        self.missing_links()
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
