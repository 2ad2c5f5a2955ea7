//! IRQL as a type: tokens that say at which level the code runs.
//!
//! An [`Irql`] is a zero-sized proof. An operation that NT allows up to some level takes `&mut` of a
//! token whose level is [`AtMost`] that; a guard keeps the token borrowed while it lives and gives
//! out the token of the level that it raised to. So these do not compile:
//!
//! - a wait under a spin lock: the token there says [`Dispatch`];
//! - an ERESOURCE or a fast mutex at `DISPATCH_LEVEL`;
//! - two guards dropped out of order: the inner one borrows the token of the outer one.
//!
//! Tokens come from where NT defines the level: a system thread starts at `PASSIVE_LEVEL`
//! ([`Thread::spawn`](crate::Thread::spawn)), a DPC runs at `DISPATCH_LEVEL`
//! ([`Timer`](crate::Timer)). In a callback that NT or KMDF calls, [`Irql::assume`] states the level
//! that its page documents, once and in an `unsafe` block.
//!
//! The proof is as good as the guards are kept: a guard that goes to [`core::mem::forget`] leaves its
//! lock held and its level raised, as in any language. Closures (`with`) cannot be forgotten.

use core::marker::PhantomData;

use crate::{Holding, Rank, Unranked, nt};

pub mod sealed {
    /// Keeps the levels to this crate.
    pub trait Sealed {}
    impl Sealed for super::Passive {}
    impl Sealed for super::Apc {}
    impl Sealed for super::Dispatch {}
    impl Sealed for super::Dirql {}
}

/// `PASSIVE_LEVEL`: threads; everything may be called, waits and paged memory included.
#[derive(Debug)]
pub enum Passive {}

/// `APC_LEVEL`: threads that no APC interrupts; waits are allowed.
#[derive(Debug)]
pub enum Apc {}

/// `DISPATCH_LEVEL`: DPCs and holders of spin locks; no wait, no paged memory.
#[derive(Debug)]
pub enum Dispatch {}

/// The level of a device's interrupts, its DIRQL, somewhere above `DISPATCH_LEVEL`: no operation of this
/// crate that takes a token allows it. See [`InterruptLock`](crate::InterruptLock).
#[derive(Debug)]
pub enum Dirql {}

/// What a token says: [`Passive`], [`Apc`], [`Dispatch`] or [`Dirql`], or one of them while a lock with a rank is
/// held ([`Holding`](crate::Holding)).
pub trait Level: sealed::Sealed {
    /// The level as NT counts it; of [`Dirql`], the lowest that a device has.
    const IRQL: u8;

    /// The level alone.
    type Base: Base;

    /// The rank of the lock that is held; of several, the one that comes after the others.
    type Held: Rank;

    /// The level `B`, with what is held.
    type On<B: Base>: At<B>;
}

/// One of [`Passive`], [`Apc`], [`Dispatch`] and [`Dirql`].
pub trait Base: Level<Base = Self, Held = Unranked> + AtMost<Self> + Sized {}

macro_rules! levels {
    ($($level:ident = $irql:literal),*) => {$(
        impl Level for $level {
            const IRQL: u8 = $irql;
            type Base = Self;
            type Held = Unranked;
            type On<B: Base> = B;
        }

        impl Base for $level {}
    )*};
}

levels!(Passive = 0, Apc = 1, Dispatch = 2, Dirql = 3);

/// Levels at or below `Ceiling`.
#[diagnostic::on_unimplemented(
    message = "this may be called at IRQL <= {Ceiling}, and the code here runs at {Self}",
    label = "the token says {Self}",
    note = "under a spin lock and in a DPC the level is DISPATCH_LEVEL: drop the guard first, or \
            hand the work to a system thread or a work item"
)]
pub trait AtMost<Ceiling: Base>: Level {}

impl AtMost<Self> for Passive {}
impl AtMost<Apc> for Passive {}
impl AtMost<Dispatch> for Passive {}
impl AtMost<Self> for Apc {}
impl AtMost<Dispatch> for Apc {}
impl AtMost<Self> for Dispatch {}
impl AtMost<Self> for Dirql {}

/// The level `B`, whatever is held.
#[diagnostic::on_unimplemented(
    message = "this may be called at IRQL {B} alone, and the code here runs at {Self}",
    label = "the token says {Self}"
)]
pub trait At<B: Base>: Level<Base = B> + AtMost<B> {}

impl<B: Base> At<B> for B {}
impl<B: Base, K: Rank> At<B> for Holding<B, K> {}

/// The proof that the code runs at level `L`. Zero-sized; it stays on its thread:
///
/// ```compile_fail,E0277
/// # use wdk_sync::{Irql, Passive, yield_now};
/// fn send(irql: &mut Irql<'_, Passive>) {
///     std::thread::scope(|scope| {
///         scope.spawn(move || yield_now(irql));
///     });
/// }
/// ```
#[must_use = "a token does nothing by itself: pass it to what needs the level"]
#[derive(Debug)]
pub struct Irql<'scope, L: Level> {
    // No `PhantomData`, which the compiler would explain by the standard library's source.
    _not_send: [*mut (); 0],
    // Invariant in the scope, so that a token can never be exchanged for one of another scope.
    scope: PhantomData<fn(&'scope ()) -> &'scope ()>,
    level: PhantomData<L>,
}

impl<L: Level> Irql<'_, L> {
    /// States that the code runs at level `L`.
    ///
    /// # Safety
    ///
    /// - The current IRQL is `L` and stays so for `'scope`, but for what is done through this token.
    /// - No other token of this thread that is not borrowed by an enclosing scope is used in
    ///   `'scope`.
    /// - The code does not interrupt the thread, as the routine of an APC does, unless it is at
    ///   `DISPATCH_LEVEL` or above, as a DPC and an interrupt's service routine are. What may be called there does not rely on the thread.
    ///
    /// At the top of a callback whose page documents its level, both hold for the callback's run.
    pub const unsafe fn assume() -> Self {
        Self::new()
    }

    pub(crate) const fn new() -> Self {
        Self {
            scope: PhantomData,
            level: PhantomData,
            _not_send: [],
        }
    }

    /// The level as NT counts it, by type alone; of [`Dirql`], the lowest that a device has.
    #[must_use]
    pub const fn level(&self) -> u8 {
        L::IRQL
    }
}

impl<L: AtMost<Apc>> Irql<'_, L> {
    /// Runs `f` at `APC_LEVEL`, at which no APC is delivered to the thread, and comes back.
    ///
    /// Pages: `KfRaiseIrql`, `KeLowerIrql`.
    ///
    /// ```
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let level = irql.at_apc_level(|irql| irql.level());
    /// assert_eq!(level, 1);
    /// # });
    /// ```
    pub fn at_apc_level<R>(&mut self, f: impl FnOnce(&mut Irql<'_, L::On<Apc>>) -> R) -> R {
        // SAFETY: The token says that the level is at most APC_LEVEL, so this raises.
        let old = unsafe { nt::KfRaiseIrql(Apc::IRQL) };
        let _restore = Restore(old);
        f(&mut Irql::new())
    }
}

impl<L: AtMost<Dispatch>> Irql<'_, L> {
    /// Runs `f` at `DISPATCH_LEVEL`, at which the thread keeps its processor, and comes back.
    ///
    /// Pages: `KeRaiseIrqlToDpcLevel`, `KeLowerIrql`.
    ///
    /// ```
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let level = irql.at_dispatch_level(|irql| irql.level());
    /// assert_eq!(level, 2);
    /// # });
    /// ```
    pub fn at_dispatch_level<R>(
        &mut self,
        f: impl FnOnce(&mut Irql<'_, L::On<Dispatch>>) -> R,
    ) -> R {
        // SAFETY: The token says that the level is at most DISPATCH_LEVEL, so this does not lower.
        let old = unsafe { nt::KeRaiseIrqlToDpcLevel() };
        let _restore = Restore(old);
        f(&mut Irql::new())
    }
}

/// Lowers the IRQL again, when a closure unwinds too (on the host; in the kernel a panic stops).
struct Restore(nt::KIRQL);

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: The level was raised from this one, and whatever was raised since was restored by
        // guards that borrowed the token of the raised scope.
        unsafe { nt::KeLowerIrql(self.0) };
    }
}

/// The current IRQL as the kernel has it. For checks and reports; it gives no token, because a token
/// from nowhere could be held beside one that is borrowed.
///
/// IRQL: any. Page: `KeGetCurrentIrql`.
///
/// ```
/// # wdk_sync::testing::at_passive_level(|irql| {
/// assert_eq!(wdk_sync::current_irql(), 0);
/// irql.at_dispatch_level(|_irql| assert_eq!(wdk_sync::current_irql(), 2));
/// # });
/// ```
#[must_use]
pub fn current_irql() -> u8 {
    // SAFETY: KeGetCurrentIrql has no preconditions.
    unsafe { nt::KeGetCurrentIrql() }
}
