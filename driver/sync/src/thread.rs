//! System threads, and waiting for their end.

use core::{cell::UnsafeCell, fmt, mem, ptr};

use crate::{
    Alertable, Irql, Level, NonPaged, Passive, Status, Timeout, WaitStatus, Waitable,
    dispatcher::DispatcherObject,
    held::{self, Held},
    irql::{Apc, At, AtMost},
    nt, track,
    wait::wait_for,
};

/// A system thread that is running, and the result that it will give.
///
/// The thread is joined when this is dropped, at `IRQL <= APC_LEVEL`: no code of a driver runs in a
/// thread that nobody waits for, and so none runs after its unload.
///
/// A system thread starts at `PASSIVE_LEVEL` inside a critical region.
///
/// Pages: `PsCreateSystemThread`, `PsTerminateSystemThread`, `ObReferenceObjectByHandle`,
/// `KeWaitForSingleObject`.
///
/// ```
/// use wdk_sync::Thread;
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let thread = Thread::spawn(irql, |irql| irql.level() + 41)?;
/// assert_eq!(thread.join(irql), Some(41));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub struct Thread<R> {
    /// A referenced thread object.
    object: nt::PVOID,
    result: NonPaged<ResultSlot<R>>,
}

// SAFETY: A thread object may be waited for from any thread; the result moves to whoever joins.
unsafe impl<R: Send> Send for Thread<R> {}
// SAFETY: Shared, it gives access to nothing but the end of the thread.
unsafe impl<R: Send> Sync for Thread<R> {}

/// Where a thread leaves its result. Written by the thread before it ends, read after that.
struct ResultSlot<R>(UnsafeCell<Option<R>>);

/// What a thread starts with. Its closure is moved out as soon as the thread runs.
struct Start<F, R> {
    closure: F,
    result: *const ResultSlot<R>,
}

impl<R: Send + 'static> Thread<R> {
    /// Starts a system thread.
    ///
    /// IRQL: `PASSIVE_LEVEL`. Page: `PsCreateSystemThread`.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted, or the status of
    /// `PsCreateSystemThread`.
    pub fn spawn<L: At<Passive>, F>(_irql: &mut Irql<'_, L>, closure: F) -> Result<Self, Status>
    where
        F: FnOnce(&mut Irql<'_, Passive>) -> R + Send + 'static,
    {
        let result = NonPaged::new(ResultSlot(UnsafeCell::new(None)))?;
        let start = NonPaged::new(Start {
            closure,
            result: &raw const *result,
        })?;
        let mut handle: nt::HANDLE = ptr::null_mut();
        let mut attributes = nt::kernel_handle_attributes();
        // SAFETY: The handle is a place to write to, and the optional arguments are null or describe
        // a kernel handle. The routine takes over `start`, which is of its type.
        let status = unsafe {
            nt::PsCreateSystemThread(
                &raw mut handle,
                nt::THREAD_ALL_ACCESS,
                &raw mut attributes,
                ptr::null_mut(),
                ptr::null_mut(),
                Some(run_thread::<F, R>),
                start.as_ptr().cast(),
            )
        };
        Status::from_raw(status).ok()?;
        // The thread owns it now.
        mem::forget(start);
        Ok(Self {
            object: thread_object(handle),
            result,
        })
    }

    /// Waits for the end of the thread and gives its result; `None` if it ended itself before it had
    /// one.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn join<L: AtMost<Apc>>(self, _irql: &mut Irql<'_, L>) -> Option<R> {
        self.wait_for_end();
        // SAFETY: The thread has ended, and it alone wrote here; `self` is the only reader.
        unsafe { &mut *self.result.0.get() }.take()
    }
}

impl<R> Thread<R> {
    /// The address of the thread's object, for whoever looks at it in a debugger: what `!thread` takes.
    #[must_use]
    pub fn address(&self) -> usize {
        self.object.addr()
    }

    /// Waits for the end of the thread until the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<L: AtMost<Apc>>(&self, _irql: &mut Irql<'_, L>, timeout: Timeout) -> WaitStatus {
        // SAFETY: The object is referenced, and the token says that the IRQL is at most APC_LEVEL.
        unsafe { wait_for(self.object, timeout, Alertable::No) }
    }

    /// Whether the thread has ended.
    pub fn has_ended<L: AtMost<Apc>>(&self, irql: &mut Irql<'_, L>) -> bool {
        self.wait(irql, Timeout::ZERO).is_satisfied()
    }

    fn wait_for_end(&self) {
        // SAFETY: The object is referenced; the callers are at an IRQL of at most APC_LEVEL.
        let _ended = unsafe { wait_for(self.object, Timeout::Never, Alertable::No) };
    }
}

impl<R> Drop for Thread<R> {
    fn drop(&mut self) {
        held::require_irql(Apc::IRQL, Held::Thread, self.object.cast());
        if self.object == nt::current_thread() {
            // It would wait for its own end.
            held::stop(Held::Thread, self.object.cast());
        }
        self.wait_for_end();
        // SAFETY: The reference was taken by `thread_object` and is given back once.
        unsafe { nt::ObfDereferenceObject(self.object) };
    }
}

// SAFETY: A thread object is initialised and resident, is referenced while the handle is there, and
// has no owner.
unsafe impl<R> DispatcherObject for Thread<R> {
    fn object(&self) -> nt::PVOID {
        self.object
    }
}

impl<R> Waitable for Thread<R> {}

impl<R> fmt::Debug for Thread<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

/// A reference to the object of a thread that was just created, in place of its handle.
fn thread_object(handle: nt::HANDLE) -> nt::PVOID {
    let mut object: nt::PVOID = ptr::null_mut();
    // SAFETY: The handle is open with full access. A kernel-mode caller may leave the type open.
    let status = unsafe {
        nt::ObReferenceObjectByHandle(
            handle,
            nt::THREAD_ALL_ACCESS,
            ptr::null_mut(),
            nt::KERNEL_MODE,
            &raw mut object,
            ptr::null_mut(),
        )
    };
    if !Status::from_raw(status).is_success() {
        // The kernel refuses no kernel-mode caller a handle that it just gave. If it did, the thread
        // could not be waited for, and everything it uses would be freed under it.
        held::stop(Held::Thread, handle.cast());
    }
    // SAFETY: The handle is open and closed once.
    let _success = unsafe { nt::ZwClose(handle) };
    object
}

nt::callback! {
    /// The start routine of every thread.
    ///
    /// # Safety
    ///
    /// `context` is a `NonPaged<Start<F, R>>` that was given away, and the IRQL is `PASSIVE_LEVEL`.
    unsafe fn run_thread[F: FnOnce(&mut Irql<'_, Passive>) -> R, R](context: nt::PVOID) {
        // SAFETY: By the contract above.
        let start = unsafe { NonPaged::<Start<F, R>>::from_ptr(context.cast()) };
        // SAFETY: The closure was moved there and nothing points to it.
        let Start { closure, result } = unsafe { start.into_inner() };
        let value = closure(&mut Irql::new());
        // SAFETY: The slot is freed after this thread has ended.
        let slot = unsafe { &*result };
        // SAFETY: Nobody looks into the slot before this thread has ended.
        unsafe { *slot.0.get() = Some(value) };
        track::thread_ends();
        // SAFETY: PASSIVE_LEVEL again, in a system thread, which owns nothing any more. The wait of
        // a join ends when no instruction of the driver is left to run here.
        let _never = unsafe { nt::PsTerminateSystemThread(Status::SUCCESS.into_raw()) };
    }
}
