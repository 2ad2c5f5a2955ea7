//! The order of locks as types.
//!
//! [`lock_ranks!`](crate::lock_ranks) tells how they are used. What is held is part of the level that a
//! token says ([`Holding`]), so that code for any level is code for whatever is held, too.

use core::marker::PhantomData;

use crate::irql::{AtMost, Base, Level, sealed::Sealed};

/// The rank of a lock: [`Unranked`], or a type that [`lock_ranks!`](crate::lock_ranks) declares.
pub trait Rank: Before<Unranked> + 'static {
    /// What the code runs at if it was at `L` and has taken a lock of this rank.
    type Over<L: Level>: Level;
}

/// No rank: the lock may be taken whatever is held, and says nothing about what is taken after it.
#[derive(Debug)]
pub enum Unranked {}

impl Rank for Unranked {
    type Over<L: Level> = L;
}

/// Ranks that may be held while a lock of rank `K` is taken.
///
/// Implemented by [`lock_ranks!`](crate::lock_ranks).
// It is not the other way round, `After<Held>` for the ranks that may be taken, because the compiler
// would take the one implementation of a rank that comes after no other for what is meant, and say
// that the tokens differ.
#[diagnostic::on_unimplemented(
    message = "a lock of rank `{K}` is taken while one of rank `{Self}` is held",
    label = "the token says that a lock of rank `{Self}` is held",
    note = "`lock_ranks!` does not declare `{K}` to come after `{Self}`: take this lock first, or drop \
            the other one"
)]
pub trait Before<K> {}

impl<K: Rank> Before<K> for Unranked {}

/// The level `L`, in code that holds a lock of rank `K`, and none that comes after it.
#[derive(Debug)]
pub struct Holding<L, K>(PhantomData<(L, K)>);

impl<L: Base, K: Rank> Sealed for Holding<L, K> {}
impl<L: Base, K: Rank> Level for Holding<L, K> {
    const IRQL: u8 = L::IRQL;
    type Base = L;
    type Held = K;
    type On<B: Base> = Holding<B, K>;
}

impl<C: Base, L: Base + AtMost<C>, K: Rank> AtMost<C> for Holding<L, K> {}

/// What the code runs at if it was at `L` and has taken a lock of rank `K` that leaves the IRQL alone.
pub type Under<L, K> = <K as Rank>::Over<L>;

/// What the code runs at if it was at `L` and has taken a lock of rank `K` that raises to `B`.
pub type RaisedUnder<B, L, K> = <K as Rank>::Over<<L as Level>::On<B>>;

/// Declares ranks of locks and the order in which they are taken.
///
/// A lock may have a rank, a type that [`lock_ranks!`](crate::lock_ranks) declares together with those
/// that it comes after. While a ranked lock is held, the token says so ([`Holding`](crate::Holding)), and another lock
/// can be taken only if the rank held is declared to come [`Before`](crate::Before) its own. So two threads that take the same two
/// ranked locks take them in the same order, or one of them does not compile:
///
/// ```
/// use wdk_sync::{FastMutex, NonPaged, SpinLock, lock_ranks};
///
/// lock_ranks! {
///     /// The table of open files.
///     pub Table;
///     /// One entry of the table.
///     pub Entry after Table;
///     /// The journal of changes, written with an entry held or without.
///     pub Journal after Entry;
/// }
///
/// static JOURNAL: SpinLock<u32, Journal> = SpinLock::ranked(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = NonPaged::pin_init(FastMutex::<_, Table>::ranked([0u32; 4]))?;
/// let mut table = table.lock(irql).expect("not owned by this thread");
/// let (table, irql) = table.parts();
/// table[0] += 1;
/// *JOURNAL.lock(irql) += 1;
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
///
/// ```compile_fail,E0277
/// # use wdk_sync::{SpinLock, lock_ranks};
/// # lock_ranks! { Table; Journal after Table; }
/// # fn f(table: &SpinLock<u32, Table>, journal: &SpinLock<u32, Journal>, irql: &mut wdk_sync::Irql<'_, wdk_sync::Passive>) {
/// let mut journal = journal.lock(irql);
/// let table = table.lock(journal.irql()); // does not compile
/// # }
/// ```
///
/// The order is over all kinds of locks, whatever their IRQL. A rank is taken once at a time: of two
/// locks of one rank, neither comes after the other. ([`lock_all`](crate::lock_all) takes several at
/// one moment, for which their order does not matter.)
///
/// A lock without a rank is [`Unranked`](crate::Unranked) and may be taken at any time; nothing is said about it, and
/// the tokens are as if there were no ranks. What may find its order at run time is the feature
/// `lockdep`. [`HandedOver`](crate::HandedOver) access, which belongs to no thread, is checked when it
/// is acquired and not remembered by a token.
///
/// # The order
///
/// ```
/// wdk_sync::lock_ranks! {
///     /// The table of devices.
///     pub Devices;
///     /// The queue of one device.
///     pub Queue after Devices;
///     /// The statistics of one device.
///     pub Statistics after Devices;
///     /// The log, which all of them write to.
///     pub Log after Queue, Statistics;
/// }
/// ```
///
/// It is transitive: `Log` comes after `Devices`, too. It is partial: `Queue` and `Statistics` are not
/// taken together. A cycle does not compile. One declaration has all ranks that an order is between, so
/// that there is one place to look at.
///
/// Code that takes a ranked lock at any level says what may be held:
///
/// ```
/// # wdk_sync::lock_ranks! { pub Log; }
/// use wdk_sync::{AtMost, Before, Dispatch, Irql, SpinLock};
///
/// fn log<L: AtMost<Dispatch>>(lines: &SpinLock<u32, Log>, irql: &mut Irql<'_, L>)
/// where
///     L::Held: Before<Log>,
/// {
///     *lines.lock(irql) += 1;
/// }
/// ```
#[macro_export]
macro_rules! lock_ranks {
    ($($ranks:tt)*) => {
        $crate::__declare_ranks! { $crate; $($ranks)* }
    };
}
