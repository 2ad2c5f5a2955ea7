//! The locks, each with a number behind it that they protect.
//!
//! Raw calls and wdk-sync have theirs at the same places: a page of each, at the beginning of a page, in
//! which each lock has cache lines of its own, and its number is as far from it as in the other page.

use core::{
    cell::UnsafeCell,
    mem::{MaybeUninit, offset_of},
    ops::Deref,
};

use pinned_init::{PinInit, pin_data, pin_init_from_closure, try_pin_init};
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

/// Cache lines for one lock: two at least, since processors fetch them in pairs.
#[pin_data]
#[repr(C, align(128))]
pub struct Apart<T> {
    #[pin]
    lock: T,
}

impl<T> Apart<T> {
    const fn new(lock: T) -> Self {
        Self { lock }
    }

    /// An initialiser by that of the lock.
    fn init<E>(lock: impl PinInit<T, E>) -> impl PinInit<Self, Status>
    where
        Status: From<E>,
    {
        let init = |slot: *mut Self| {
            // SAFETY: This is the initialiser of what is pinned with the slot, and the lock is the first
            // thing in it.
            unsafe { lock.__pinned_init(slot.cast()) }.map_err(Status::from)
        };
        // SAFETY: If it succeeds, the lock is initialised, and nothing else is there.
        unsafe { pin_init_from_closure(init) }
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.lock
    }
}

/// A lock of the kernel, and the number. In between is what wdk-sync has there.
#[repr(C)]
pub struct RawLock<T, Between = ()> {
    lock: UnsafeCell<T>,
    between: Between,
    data: UnsafeCell<u64>,
}

/// In between is a flag: whether there is a guard for exclusive access.
pub type RawResource = RawLock<ERESOURCE, u64>;

/// In between is a flag: whether somebody runs it down.
pub type RawRundown = RawLock<EX_RUNDOWN_REF, u64>;

impl<T, Between> RawLock<T, Between> {
    /// One whose bytes are all zero, to be initialised in place.
    const fn zeroed() -> Self {
        // SAFETY: The structures of the kernel are numbers and pointers, which may be zero, and so may the
        // numbers.
        unsafe { MaybeUninit::zeroed().assume_init() }
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
#[repr(C, align(4096))]
pub struct Raw {
    pub spin_lock: Apart<RawLock<KSPIN_LOCK>>,
    pub queued_spin_lock: Apart<RawLock<KSPIN_LOCK>>,
    pub rw_spin_lock: Apart<RawLock<EX_SPIN_LOCK>>,
    pub mutex: Apart<RawLock<KMUTEX>>,
    pub fast_mutex: Apart<RawLock<FAST_MUTEX>>,
    pub guarded_mutex: Apart<RawLock<KGUARDED_MUTEX>>,
    pub resource: Apart<RawResource>,
    pub push_lock: Apart<RawLock<EX_PUSH_LOCK>>,
    pub event: Apart<RawLock<KEVENT>>,
    pub rundown: Apart<RawRundown>,
}

impl Raw {
    fn new() -> Result<NonPaged<Self>, Status> {
        let raw = NonPaged::new(Self {
            spin_lock: Apart::new(RawLock::zeroed()),
            queued_spin_lock: Apart::new(RawLock::zeroed()),
            rw_spin_lock: Apart::new(RawLock::zeroed()),
            mutex: Apart::new(RawLock::zeroed()),
            fast_mutex: Apart::new(RawLock::zeroed()),
            guarded_mutex: Apart::new(RawLock::zeroed()),
            resource: Apart::new(RawLock::zeroed()),
            push_lock: Apart::new(RawLock::zeroed()),
            event: Apart::new(RawLock::zeroed()),
            rundown: Apart::new(RawLock::zeroed()),
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
        unsafe { ExInitializeRundownProtection(raw.rundown.get()) };
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
#[repr(C, align(4096))]
pub struct Safe {
    pub spin_lock: Apart<SpinLock<u64>>,
    pub queued_spin_lock: Apart<QueuedSpinLock<u64>>,
    pub rw_spin_lock: Apart<RwSpinLock<u64>>,
    #[pin]
    pub mutex: Apart<Mutex<u64>>,
    #[pin]
    pub fast_mutex: Apart<FastMutex<u64>>,
    #[pin]
    pub guarded_mutex: Apart<GuardedMutex<u64>>,
    #[pin]
    pub resource: Apart<Resource<u64>>,
    #[pin]
    pub push_lock: Apart<PushLock<u64>>,
    #[pin]
    pub event: Apart<Event>,
    #[pin]
    pub rundown: Apart<Rundown<u64>>,
}

impl Safe {
    pub fn new(irql: &Irql<'_, Passive>) -> impl PinInit<Self, Status> {
        try_pin_init!(Self {
            spin_lock: Apart::new(SpinLock::new(0)),
            queued_spin_lock: Apart::new(QueuedSpinLock::new(0)),
            rw_spin_lock: Apart::new(RwSpinLock::new(0)),
            mutex <- Apart::init(Mutex::new(0)),
            fast_mutex <- Apart::init(FastMutex::new(0)),
            guarded_mutex <- Apart::init(GuardedMutex::new(irql, 0)),
            resource <- Apart::init(Resource::new(0)),
            push_lock <- Apart::init(PushLock::new(0)),
            event <- Apart::init(Event::new(Signal::Notification, false)),
            rundown <- Apart::init(Rundown::new(irql, 0)),
        }? Status)
    }
}

/// That both have each lock at the same place, and its number, which is the last thing in both.
macro_rules! same_places {
    ($($field:ident: $raw:ty, $safe:ty;)*) => {$(
        const _: () = {
            assert!(offset_of!(Raw, $field) == offset_of!(Safe, $field));
            assert!(size_of::<$raw>() == size_of::<$safe>());
        };
    )*};
}

same_places! {
    spin_lock: RawLock<KSPIN_LOCK>, SpinLock<u64>;
    queued_spin_lock: RawLock<KSPIN_LOCK>, QueuedSpinLock<u64>;
    rw_spin_lock: RawLock<EX_SPIN_LOCK>, RwSpinLock<u64>;
    mutex: RawLock<KMUTEX>, Mutex<u64>;
    fast_mutex: RawLock<FAST_MUTEX>, FastMutex<u64>;
    guarded_mutex: RawLock<KGUARDED_MUTEX>, GuardedMutex<u64>;
    resource: RawResource, Resource<u64>;
    push_lock: RawLock<EX_PUSH_LOCK>, PushLock<u64>;
    rundown: RawRundown, Rundown<u64>;
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
