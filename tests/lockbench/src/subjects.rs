//! The locks, each with a number behind it that they protect.

use core::{
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
    ops::Deref,
};

use pinned_init::{PinInit, pin_data, try_pin_init};
use wdk_mutex::{fast_mutex::FastMutex as PeerFastMutex, kmutex::KMutex as PeerMutex};
use wdk_sync::{
    Event, FastMutex, GuardedMutex, Irql, Mutex, NonPaged, Passive, PushLock, QueuedSpinLock,
    Resource, Rundown, RwSpinLock, Signal, SpinLock, Status,
};
use wdk_sys::{
    _EVENT_TYPE, ERESOURCE, EX_PUSH_LOCK, EX_RUNDOWN_REF, EX_SPIN_LOCK, FAST_MUTEX, KEVENT,
    KGUARDED_MUTEX, KMUTEX, KSPIN_LOCK,
    ntddk::{
        ExDeleteResourceLite, ExInitializePushLock, ExInitializeResourceLite,
        ExInitializeRundownProtection, KeInitializeEvent, KeInitializeGuardedMutex,
        KeInitializeMutex,
    },
};

/// A lock of the kernel, and the number.
#[repr(C)]
pub struct RawLock<T> {
    lock: UnsafeCell<T>,
    data: UnsafeCell<u64>,
}

impl<T> RawLock<T> {
    /// One whose bytes are all zero, to be initialised in place.
    const fn zeroed() -> Self {
        // SAFETY: The structures of the kernel are numbers and pointers, which may be zero.
        let lock = unsafe { MaybeUninit::zeroed().assume_init() };
        Self {
            lock: UnsafeCell::new(lock),
            data: UnsafeCell::new(0),
        }
    }

    /// The lock, as the kernel's functions take it.
    #[inline(always)]
    pub const fn get(&self) -> *mut T {
        self.lock.get()
    }

    /// Changes the number.
    ///
    /// # Safety
    ///
    /// The caller has the lock.
    #[inline(always)]
    pub unsafe fn add(&self) {
        // SAFETY: The caller has the lock, so nobody else reaches the number.
        let data = unsafe { &mut *self.data.get() };
        *data = data.wrapping_add(1);
    }

    /// Reads the number.
    ///
    /// # Safety
    ///
    /// The caller has the lock, shared or not.
    #[inline(always)]
    pub unsafe fn read(&self) {
        // SAFETY: The caller has the lock, so nobody changes the number.
        core::hint::black_box(unsafe { *self.data.get() });
    }
}

/// The locks for the raw calls.
pub struct Raw {
    pub spin_lock: RawLock<KSPIN_LOCK>,
    pub queued_spin_lock: RawLock<KSPIN_LOCK>,
    pub rw_spin_lock: RawLock<EX_SPIN_LOCK>,
    pub mutex: RawLock<KMUTEX>,
    pub fast_mutex: RawLock<FAST_MUTEX>,
    pub guarded_mutex: RawLock<KGUARDED_MUTEX>,
    pub resource: RawLock<ERESOURCE>,
    pub push_lock: RawLock<EX_PUSH_LOCK>,
    pub event: RawLock<KEVENT>,
    /// As far from its data as in wdk-sync, which has a flag in between: who runs it down.
    pub rundown: RawLock<(EX_RUNDOWN_REF, u64)>,
}

impl Raw {
    fn new() -> Result<NonPaged<Self>, Status> {
        let raw = NonPaged::new(Self {
            spin_lock: RawLock::zeroed(),
            queued_spin_lock: RawLock::zeroed(),
            rw_spin_lock: RawLock::zeroed(),
            mutex: RawLock::zeroed(),
            fast_mutex: RawLock::zeroed(),
            guarded_mutex: RawLock::zeroed(),
            resource: RawLock::zeroed(),
            push_lock: RawLock::zeroed(),
            event: RawLock::zeroed(),
            rundown: RawLock::zeroed(),
        })?;
        // SAFETY: Here and below: the lock is resident, stays where it is, and is nobody else's yet.
        unsafe { KeInitializeMutex(raw.mutex.get(), 0) };
        raw.initialize_fast_mutex();
        // SAFETY: As above.
        unsafe { KeInitializeGuardedMutex(raw.guarded_mutex.get()) };
        // SAFETY: As above.
        unsafe { ExInitializePushLock(raw.push_lock.get()) };
        // SAFETY: As above.
        unsafe { KeInitializeEvent(raw.event.get(), _EVENT_TYPE::NotificationEvent, 0) };
        // SAFETY: As above.
        unsafe { ExInitializeRundownProtection(raw.rundown.get().cast()) };
        Ok(raw)
    }

    /// `ExInitializeFastMutex`, which is inline in the headers.
    fn initialize_fast_mutex(&self) {
        let mutex = self.fast_mutex.get();
        // SAFETY: The mutex is nobody else's yet; the rest of it is zero.
        unsafe { (*mutex).Count = 1 };
        // SAFETY: `Event` is a member of it.
        let event = unsafe { mutex.byte_add(offset_of!(FAST_MUTEX, Event)) };
        // SAFETY: As above.
        unsafe { KeInitializeEvent(event.cast(), _EVENT_TYPE::SynchronizationEvent, 0) };
    }
}

/// The locks for the raw calls, initialised.
pub struct RawLocks(NonPaged<Raw>);

impl RawLocks {
    pub fn new() -> Result<Self, Status> {
        let raw = Raw::new()?;
        // SAFETY: The resource is resident, stays where it is, and is nobody else's yet.
        Status::from_raw(unsafe { ExInitializeResourceLite(raw.resource.get()) }).ok()?;
        Ok(Self(raw))
    }
}

impl Deref for RawLocks {
    type Target = Raw;

    fn deref(&self) -> &Raw {
        &self.0
    }
}

impl Drop for RawLocks {
    fn drop(&mut self) {
        // SAFETY: The resource was initialised when this was made, and nobody has it.
        let _ = unsafe { ExDeleteResourceLite(self.resource.get()) };
    }
}

/// The locks of wdk-sync, all in one allocation.
#[pin_data]
pub struct Safe {
    pub spin_lock: SpinLock<u64>,
    pub queued_spin_lock: QueuedSpinLock<u64>,
    pub rw_spin_lock: RwSpinLock<u64>,
    #[pin]
    pub mutex: Mutex<u64>,
    #[pin]
    pub fast_mutex: FastMutex<u64>,
    #[pin]
    pub guarded_mutex: GuardedMutex<u64>,
    #[pin]
    pub resource: Resource<u64>,
    #[pin]
    pub push_lock: PushLock<u64>,
    #[pin]
    pub event: Event,
    #[pin]
    pub rundown: Rundown<u64>,
}

impl Safe {
    pub fn new(irql: &Irql<'_, Passive>) -> impl PinInit<Self, Status> {
        try_pin_init!(Self {
            spin_lock: SpinLock::new(0),
            queued_spin_lock: QueuedSpinLock::new(0),
            rw_spin_lock: RwSpinLock::new(0),
            mutex <- Mutex::new(0),
            fast_mutex <- FastMutex::new(0),
            guarded_mutex <- GuardedMutex::new(irql, 0),
            resource <- Resource::new(0),
            push_lock <- PushLock::new(0),
            event <- Event::new(Signal::Notification, false),
            rundown <- Rundown::new(irql, 0),
        }? Status)
    }
}

/// The locks of wdk-mutex, each in an allocation of its own.
pub struct Peer {
    pub mutex: PeerMutex<u64>,
    pub fast_mutex: PeerFastMutex<u64>,
}

impl Peer {
    pub fn new() -> Result<Self, Status> {
        Ok(Self {
            mutex: PeerMutex::new(0).map_err(|_| Status::INSUFFICIENT_RESOURCES)?,
            fast_mutex: PeerFastMutex::new(0).map_err(|_| Status::INSUFFICIENT_RESOURCES)?,
        })
    }
}
