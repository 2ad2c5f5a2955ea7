//! The interrupt spin lock: data that an interrupt service routine shares with the rest of its driver.

use core::{
    cell::UnsafeCell,
    fmt, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::{Dirql, Dispatch, Irql, irql::AtMost, nt};

/// Data behind the spin lock of an interrupt object.
///
/// | | |
/// |---|---|
/// | acquire | `<= DISPATCH_LEVEL`, runs at the interrupt's `SynchronizeIrql` |
/// | recursion | does not compile: nothing at that level takes the lock |
/// | for | a few words that the interrupt service routine shares with DPCs and threads |
///
/// The kernel holds the lock while the service routine runs, and there the data is reached by
/// [`in_service_routine`](Self::in_service_routine). Everywhere else it is reached by
/// [`with`](Self::with). A closure, not a guard, in both cases: it cannot be forgotten, and it is the
/// form that `KeSynchronizeExecution` has. Its token is of the level [`Dirql`], which no operation of this
/// crate allows: neither a spin lock nor an event compiles there. What a service routine leaves for
/// later is a [`Dpc`](crate::Dpc), which may be queued at any level.
///
/// The lock is the kernel's, in the interrupt object, and this is no more than the data and where that
/// object is. So it may be made before the interrupt is connected, which it must be, for its address is
/// part of the context of the service routine. It is not tracked by the features `lockdep` and
/// `lock_stat`: they record nothing above `DISPATCH_LEVEL`, where they would have to take locks of their
/// own that an interrupt may have found held.
///
/// A driver on KMDF has the interrupt object of its `WDFINTERRUPT` by `WdfInterruptWdmGetInterrupt`.
///
/// # What has been shown
///
/// No device interrupts in `nthost`: a test does it in a device's place, on a thread. What excludes whom, and
/// at which level, is shown there. What a machine would still have to show is that an interrupt comes in the
/// middle of code at `DISPATCH_LEVEL` of the same processor, which `nthost` lets it wait for; how
/// long the lock is held; and what a level-triggered line does that nobody acknowledges.
///
/// Pages: `KeSynchronizeExecution`, `IoConnectInterruptEx`, `KSERVICE_ROUTINE`.
///
/// ```
/// # use nthost::{Kernel, ntddk::*};
/// use wdk_sync::InterruptLock;
///
/// static BYTES: InterruptLock<u32> = InterruptLock::new(0);
///
/// # #[cfg(any())]
/// unsafe extern "C" fn service(interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
/// # unreachable!() }
/// # unsafe extern "win64" fn service(_interrupt: PKINTERRUPT, _context: PVOID) -> BOOLEAN {
///     // SAFETY: This is the service routine of the interrupt that BYTES is connected to.
///     unsafe { BYTES.in_service_routine(|bytes, _irql| *bytes += 16) };
///     1
/// }
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// # let mut interrupt = core::ptr::null_mut();
/// # let specified = IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
/// #     PhysicalDeviceObject: core::ptr::dangling_mut(), InterruptObject: &raw mut interrupt,
/// #     ServiceRoutine: Some(service), SynchronizeIrql: 7, Irql: 7, Vector: 0x33,
/// #     ProcessorEnableMask: 1, ..Default::default() };
/// # let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
/// #     Version: CONNECT_FULLY_SPECIFIED,
/// #     __bindgen_anon_1: _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 { FullySpecified: specified },
/// # };
/// # let status = unsafe { IoConnectInterruptEx(&raw mut parameters) };
/// # assert_eq!(status, 0);
/// // SAFETY: IoConnectInterruptEx gave this interrupt, whose routine is `service`; it stays connected.
/// unsafe { BYTES.connect(interrupt) };
/// # assert!(Kernel::get().interrupt(0x33, 0).unwrap());
/// let bytes = BYTES.with(irql, |bytes, _irql| core::mem::take(bytes))?;
/// assert_eq!(bytes, 16);
/// # Ok::<(), wdk_sync::NotConnected>(())
/// # }).unwrap();
/// ```
pub struct InterruptLock<T> {
    /// The interrupt object; null while none is connected. The bindings name it as a pointer alone.
    interrupt: AtomicPtr<()>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by one holder of the interrupt's lock at a time; handing it from holder to
// holder moves it between threads, which `T: Send` allows.
unsafe impl<T: Send> Sync for InterruptLock<T> {}

impl<T> InterruptLock<T> {
    /// Data that no interrupt is connected to yet.
    pub const fn new(data: T) -> Self {
        Self {
            interrupt: AtomicPtr::new(ptr::null_mut()),
            data: UnsafeCell::new(data),
        }
    }

    /// Says whose spin lock the data is behind. Any IRQL.
    ///
    /// # Safety
    ///
    /// - `interrupt` is connected, with a `SynchronizeIrql` above `DISPATCH_LEVEL`, and stays so until
    ///   [`disconnect`](Self::disconnect) was called and every [`with`](Self::with) that began before has
    ///   returned; a [`Rundown`](crate::Rundown) can tell when.
    /// - Whatever reaches the data, before and after, holds the spin lock of this interrupt: the lock is
    ///   connected to no other one, unless both were given the same spin lock and `SynchronizeIrql`.
    /// - The closures that are given to `with` are fit for the interrupt's IRQL in what no token tells:
    ///   they neither allocate nor free memory, and drop nothing that does, or that belongs to another
    ///   lock.
    pub unsafe fn connect(&self, interrupt: nt::PKINTERRUPT) {
        self.interrupt.store(interrupt.cast(), Ordering::Release);
    }

    /// Forgets the interrupt, before it is disconnected: from now on [`with`](Self::with) is refused. Those
    /// that run go on to their end, and are to be waited for. Any IRQL.
    pub fn disconnect(&self) {
        self.interrupt.store(ptr::null_mut(), Ordering::Release);
    }

    /// Runs `f` with the data, at the interrupt's IRQL and with its spin lock held. `f` is to be quick: it
    /// keeps the device waiting, and everything else on the processor.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeSynchronizeExecution`.
    ///
    /// # Errors
    ///
    /// [`NotConnected`] if no interrupt is.
    #[inline]
    pub fn with<L, R, F>(&self, _irql: &mut Irql<'_, L>, f: F) -> Result<R, NotConnected>
    where
        L: AtMost<Dispatch>,
        F: FnOnce(&mut T, &mut Irql<'_, Dirql>) -> R,
    {
        let interrupt: nt::PKINTERRUPT = self.interrupt.load(Ordering::Acquire).cast();
        if interrupt.is_null() {
            return Err(NotConnected);
        }
        let mut call = Call {
            data: self.data.get(),
            closure: Some(f),
            result: None,
        };
        // SAFETY: The interrupt is connected while this runs, by the contract of `connect`, and the token
        // says that the IRQL is below its own. The routine fits its context, which outlives the call.
        unsafe {
            nt::KeSynchronizeExecution(interrupt, Some(run::<T, R, F>), (&raw mut call).cast());
        }
        call.result.ok_or(NotConnected)
    }

    /// Runs `f` with the data in the interrupt's service routine, for which the kernel has acquired the
    /// spin lock.
    ///
    /// Page: `KSERVICE_ROUTINE`.
    ///
    /// # Safety
    ///
    /// The caller is the service routine of the interrupt that the lock is connected to, or will be as
    /// soon as the driver knows its address, and not within another such closure. `f` is fit for the IRQL,
    /// as [`connect`](Self::connect) has it.
    #[inline]
    pub unsafe fn in_service_routine<R>(
        &self,
        f: impl FnOnce(&mut T, &mut Irql<'_, Dirql>) -> R,
    ) -> R {
        // SAFETY: The caller holds the spin lock and nothing else there has the data.
        let data = unsafe { &mut *self.data.get() };
        f(data, &mut Irql::new())
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// Takes the data out again.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: Default> Default for InterruptLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for InterruptLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterruptLock")
            .field("interrupt", &self.interrupt)
            .finish_non_exhaustive()
    }
}

/// No interrupt is connected to the lock, so nothing could keep its service routine out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotConnected;

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no interrupt is connected to the lock")
    }
}

impl core::error::Error for NotConnected {}

/// A closure on its way through the kernel, and its result on the way back.
struct Call<T, R, F> {
    data: *mut T,
    closure: Option<F>,
    result: Option<R>,
}

nt::callback! {
    /// The synchronized routine of a [`Call`], which is its context.
    ///
    /// # Safety
    ///
    /// `context` points to such a call, whose data nothing else reaches meanwhile; the IRQL is that of
    /// the interrupt.
    unsafe fn run[T, R, F: FnOnce(&mut T, &mut Irql<'_, Dirql>) -> R](
        context: nt::PVOID,
    ) -> nt::BOOLEAN {
        // SAFETY: By the contract above.
        let call = unsafe { &mut *context.cast::<Call<T, R, F>>() };
        // SAFETY: By the contract above.
        let data = unsafe { &mut *call.data };
        call.result = call.closure.take().map(|f| f(data, &mut Irql::new()));
        nt::TRUE
    }
}
