//! What the driver knows of its own locks: what was asked for, in the words that are shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncstress_protocol::{
    LockClass, LockFeatures, LockHolder, LockHolderFlags, LockOrder, LockProblem, LockReport,
    LockStatistics, LockTimes, LockWatch, SourceLine, TableUse,
};

use crate::{
    client::Client,
    error::Error,
    status::NtStatus,
    wire::{Word, clean, word},
};

/// What builds a driver that can be asked.
pub const HINT: &str = "`cargo xtask build --release --lockdep` builds a driver that watches its \
                    locks; give it with `--driver target/kit/x64/release/lockdep/syncstress.sys`";

/// The order of the driver's locks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Lockdep {
    /// Classes of locks, by their number.
    pub classes: Vec<Class>,
    /// Which class was asked for under which.
    pub orders: Vec<Order>,
    /// What is wrong.
    pub reports: Vec<Finding>,
    /// Tables that had no room for something, so that there may be more than is shown.
    pub full_tables: Vec<FullTable>,
}

/// How often and for how long the driver's locks are wanted and held.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LockStat {
    /// The classes of which a lock was asked for, the most contended first.
    pub classes: Vec<ClassStat>,
    /// Tables that had no room for something, so that there may be more than is shown.
    pub full_tables: Vec<FullTable>,
}

/// All locks that one line of source makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Class {
    /// As NT calls it.
    pub kind: String,
    /// What its author called it, or the type of its data.
    pub name: String,
    /// The line that makes its locks.
    pub made_at: Place,
    /// How deep in others of its class its locks were taken.
    pub nest: u32,
}

/// A line of source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The end of its path.
    pub file: String,
    /// From 1 on.
    pub line: u32,
    /// From 1 on.
    pub column: u32,
}

/// A lock that was asked for under another.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The number of the class that was held.
    pub held: u32,
    /// The number of the class that was asked for.
    pub asked: u32,
    /// Where the one had been asked for.
    pub held_at: Place,
    /// Where the other was.
    pub asked_at: Place,
    /// At which IRQL.
    pub irql: u32,
    /// Which thread; none in a DPC.
    pub thread: Option<u64>,
}

/// A lock that is held, as it was seen at one moment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HeldLock {
    /// The address of the lock.
    pub object: u64,
    /// Its class.
    pub class: Class,
    /// Whether others may hold it, too.
    pub shared: bool,
    /// The address of the thread's object; none in a DPC.
    pub thread: Option<u64>,
    /// Where it was asked for.
    pub asked_at: Place,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What.
    pub problem: Word,
    /// Each link's lock was asked for under the one before it, and the first under the last.
    pub chain: Vec<Order>,
    /// How many links the driver had no room for.
    pub missing_links: u32,
}

/// A table that was full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FullTable {
    /// Of what.
    pub table: String,
    /// For how many there is room.
    pub capacity: u32,
    /// How often there was none.
    pub lost: u32,
}

/// What was counted and measured for a class. Times are in nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClassStat {
    /// The class.
    pub class: Class,
    /// How often its locks were acquired.
    pub acquisitions: u64,
    /// How many of those had to wait for somebody.
    pub contentions: u64,
    /// Tries and waits that came to nothing.
    pub not_acquired: u64,
    /// Waits, of contended acquisitions.
    pub wait: Times,
    /// Holds.
    pub hold: Times,
}

/// Times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub shortest_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// All together.
    pub total_ns: u64,
    /// On average.
    pub average_ns: u64,
}

impl Lockdep {
    /// Asks the driver.
    ///
    /// # Errors
    /// [`Error::Usage`] if it was built without, or any error of the client.
    pub fn read(client: &Client) -> Result<Self, Error> {
        let watch = watched(client, LockFeatures::LOCKDEP, "lockdep")?;
        let orders = client.lock_orders()?;
        let found = client.lock_reports()?;
        let mut reports = Vec::new();
        for (number, report) in (0..).zip(&found) {
            let chain = client.lock_report_links(number)?;
            reports.push(Finding::new(report, &chain));
        }
        // Last: whatever the others name is there by now.
        let classes = client.lock_classes()?;
        Ok(Self {
            classes: classes.iter().map(Class::from).collect(),
            orders: orders.iter().map(Order::from).collect(),
            reports,
            full_tables: full_tables(&watch),
        })
    }

    /// The class of this number.
    #[must_use]
    pub fn class(&self, number: u32) -> Option<&Class> {
        self.classes.get(number as usize)
    }
}

impl HeldLock {
    /// Asks the driver for the locks that are held now; none of a driver that does not know.
    ///
    /// # Errors
    /// Any error of the client.
    pub fn read_if_there(client: &Client) -> Result<Option<Vec<Self>>, Error> {
        if watched(client, LockFeatures::LOCKDEP, "lockdep").is_err_and(|it| it.is_usage()) {
            return Ok(None);
        }
        let holders = client.lock_holders()?;
        let classes = client.lock_classes()?;
        let held = holders.iter().filter_map(|holder| {
            let class = classes.get(holder.class as usize)?;
            Some(Self::new(holder, class))
        });
        Ok(Some(held.collect()))
    }

    fn new(holder: &LockHolder, class: &LockClass) -> Self {
        Self {
            object: holder.object,
            class: Class::from(class),
            shared: holder.flags & LockHolderFlags::SHARED != 0,
            thread: (holder.thread != 0).then_some(holder.thread),
            asked_at: Place::from(&holder.asked_at),
        }
    }
}

impl LockStat {
    /// Asks the driver, if it counts.
    ///
    /// # Errors
    /// Any error of the client.
    pub fn read_if_there(client: &Client) -> Result<Option<Self>, Error> {
        match Self::read(client) {
            Err(error) if error.is_usage() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Asks the driver.
    ///
    /// # Errors
    /// [`Error::Usage`] if it was built without, or any error of the client.
    pub fn read(client: &Client) -> Result<Self, Error> {
        let watch = watched(client, LockFeatures::LOCK_STAT, "lock_stat")?;
        let statistics = client.lock_statistics()?;
        let named = client.lock_classes()?;
        let mut classes: Vec<ClassStat> = statistics
            .iter()
            .filter_map(|counted| {
                let class = named.get(counted.class as usize)?;
                Some(ClassStat::new(class, counted, watch.ticks_per_second))
            })
            .collect();
        classes.sort_by_key(|it| std::cmp::Reverse((it.contentions, it.acquisitions)));
        Ok(Self {
            classes,
            full_tables: full_tables(&watch),
        })
    }
}

/// What the driver watches, if that is this feature.
fn watched(client: &Client, feature: u32, name: &str) -> Result<LockWatch, Error> {
    let without = || {
        Error::usage(
            format!("the driver was built without {name}"),
            HINT.to_owned(),
        )
    };
    match client.lock_watch() {
        Ok(watch) if watch.features & feature != 0 => Ok(watch),
        Ok(_) => Err(without()),
        // One of before the question.
        Err(error) if error.refusal() == Some(NtStatus::INVALID_DEVICE_REQUEST) => Err(without()),
        Err(error) => Err(error.into()),
    }
}

fn full_tables(watch: &LockWatch) -> Vec<FullTable> {
    let tables: [(&'static str, TableUse); 5] = [
        ("classes", watch.classes),
        ("orders", watch.orders),
        ("holders of locks", watch.holders),
        ("reports", watch.reports),
        ("links of reports", watch.report_links),
    ];
    let full = tables.into_iter().filter(|(_, table)| table.lost != 0);
    full.map(|(name, table)| FullTable {
        table: name.to_owned(),
        capacity: table.capacity,
        lost: table.lost,
    })
    .collect()
}

impl From<&LockClass> for Class {
    fn from(class: &LockClass) -> Self {
        Self {
            kind: clean(class.kind.as_str(), false),
            name: clean(class.name.as_str(), false),
            made_at: Place::from(&class.made_at),
            nest: class.nest,
        }
    }
}

impl From<&SourceLine> for Place {
    fn from(at: &SourceLine) -> Self {
        Self {
            file: clean(at.file.as_str(), false),
            line: at.line,
            column: at.column,
        }
    }
}

impl From<&LockOrder> for Order {
    fn from(order: &LockOrder) -> Self {
        Self {
            held: order.held,
            asked: order.asked,
            held_at: Place::from(&order.held_at),
            asked_at: Place::from(&order.asked_at),
            irql: order.irql,
            thread: (order.thread != 0).then_some(order.thread),
        }
    }
}

impl Finding {
    fn new(report: &LockReport, chain: &[LockOrder]) -> Self {
        let known = LockProblem::from_wire(report.problem);
        Self {
            problem: word(report.problem, "problem", known, |problem| match problem {
                LockProblem::Cycle => "cycle",
                LockProblem::SameLock => "same lock",
                LockProblem::SameClass => "same class",
                LockProblem::DpcAndThread => "DPC and thread",
                LockProblem::HeldAtEnd => "held at the end",
            }),
            chain: chain.iter().map(Order::from).collect(),
            missing_links: report.missing_links,
        }
    }
}

impl ClassStat {
    fn new(class: &LockClass, counted: &LockStatistics, ticks_per_second: u64) -> Self {
        Self {
            class: Class::from(class),
            acquisitions: counted.acquisitions,
            contentions: counted.contentions,
            not_acquired: counted.not_acquired,
            wait: Times::new(&counted.wait, ticks_per_second),
            hold: Times::new(&counted.hold, ticks_per_second),
        }
    }
}

impl Times {
    fn new(times: &LockTimes, ticks_per_second: u64) -> Self {
        let nanoseconds = |ticks: u64| {
            let time = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second.max(1));
            u64::try_from(time).unwrap_or(u64::MAX)
        };
        let total_ns = nanoseconds(times.total);
        Self {
            count: times.count,
            shortest_ns: nanoseconds(times.shortest),
            longest_ns: nanoseconds(times.longest),
            total_ns,
            average_ns: total_ns.checked_div(times.count).unwrap_or(0),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)?;
        if self.nest != 0 {
            write!(f, " nested {} deep", self.nest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds() {
        let ticks = LockTimes {
            count: 4,
            shortest: 1,
            longest: 10_000_000,
            total: 20_000_000,
        };
        let times = Times::new(&ticks, 10_000_000);
        assert_eq!((times.shortest_ns, times.longest_ns), (100, 1_000_000_000));
        assert_eq!(
            (times.total_ns, times.average_ns),
            (2_000_000_000, 500_000_000)
        );
        // A driver that does not say how long a tick is.
        assert_eq!(
            Times::new(&LockTimes { count: 0, ..ticks }, 0).average_ns,
            0
        );
    }

    #[test]
    fn a_problem_that_is_not_known_is_a_number() {
        let report = LockReport {
            problem: 77,
            links: 0,
            missing_links: 3,
            reserved: 0,
        };
        let problem = Finding::new(&report, &[]);
        assert_eq!(
            (&*problem.problem, problem.missing_links),
            ("problem 77", 3)
        );
    }
}
