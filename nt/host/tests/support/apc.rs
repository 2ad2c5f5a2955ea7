//! APCs that log what ran.

use core::ptr;
use std::sync::{
    Mutex,
    atomic::{AtomicPtr, Ordering::SeqCst},
};

use nthost::ntddk::*;

use super::*;

/// What ran, where, and at which IRQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ran(pub &'static str, pub Routine, pub KIRQL);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routine {
    Kernel,
    Normal,
    Rundown,
}
pub use Routine::{Kernel, Normal, Rundown};

/// The log of the thread that owns the APCs, of what ran on any.
#[derive(Default)]
pub struct Log(Mutex<Vec<Ran>>);

impl Log {
    pub fn add(&self, name: &'static str, routine: Routine) {
        let ran = Ran(name, routine, irql());
        self.0.lock().expect("no thread panics here").push(ran);
    }

    /// What ran since the last time.
    pub fn take(&self) -> Vec<Ran> {
        core::mem::take(&mut self.0.lock().expect("no thread panics here"))
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().expect("no thread panics here").is_empty()
    }
}

/// An APC, with what its routines need: they get its address.
#[repr(C)]
pub struct Probe<'a> {
    pub apc: KAPC,
    pub name: &'static str,
    pub log: &'a Log,
    /// What its kernel routine does besides.
    pub in_kernel: Option<&'a (dyn Fn() + Sync)>,
    /// What its normal routine does besides.
    pub in_normal: Option<&'a (dyn Fn() + Sync)>,
    /// The thread that it ran on.
    pub ran_on: AtomicPtr<KTHREAD>,
}

pub type Held<'a> = Object<Probe<'a>>;

unsafe extern "win64" fn kernel(
    apc: *mut KAPC,
    _: *mut PKNORMAL_ROUTINE,
    _: *mut PVOID,
    _: *mut PVOID,
    _: *mut PVOID,
) {
    // SAFETY: The APC is the first field of a probe that is alive.
    let probe = unsafe { &*apc.cast::<Probe<'_>>() };
    probe.ran_on.store(nt!(KeGetCurrentThread()), SeqCst);
    probe.log.add(probe.name, Kernel);
    if let Some(body) = probe.in_kernel {
        body();
    }
}

pub unsafe extern "win64" fn normal(context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is a probe that is alive.
    let probe = unsafe { &*context.cast::<Probe<'_>>() };
    probe.log.add(probe.name, Normal);
    if let Some(body) = probe.in_normal {
        body();
    }
}

unsafe extern "win64" fn rundown(apc: *mut KAPC) {
    // SAFETY: The APC is the first field of a probe that is alive.
    let probe = unsafe { &*apc.cast::<Probe<'_>>() };
    probe.log.add(probe.name, Rundown);
}

pub const fn zeroed() -> KAPC {
    // SAFETY: Numbers, null pointers and no routines.
    unsafe { core::mem::zeroed() }
}

pub fn probe<'a>(log: &'a Log, name: &'static str) -> Probe<'a> {
    Probe {
        apc: zeroed(),
        name,
        log,
        in_kernel: None,
        in_normal: None,
        ran_on: AtomicPtr::default(),
    }
}

pub fn initialize(
    probe: &Held<'_>,
    thread: PKTHREAD,
    normal: PKNORMAL_ROUTINE,
    mode: KPROCESSOR_MODE,
) {
    nt!(KeInitializeApc(
        probe.get().cast(),
        thread,
        _KAPC_ENVIRONMENT::OriginalApcEnvironment,
        Some(kernel),
        Some(rundown),
        normal,
        mode,
        probe.get().cast()
    ));
}

/// A special kernel APC for a thread.
pub fn special(probe: Probe<'_>, thread: PKTHREAD) -> Held<'_> {
    let held = Object::new(probe);
    initialize(&held, thread, None, 0);
    held
}

/// A normal kernel APC for a thread.
pub fn ordinary(probe: Probe<'_>, thread: PKTHREAD) -> Held<'_> {
    let held = Object::new(probe);
    initialize(&held, thread, Some(normal), 0);
    held
}

pub fn insert(apc: &Held<'_>) -> BOOLEAN {
    let null = ptr::null_mut();
    nt!(KeInsertQueueApc(apc.get().cast(), null, null, 0))
}

pub fn me() -> PKTHREAD {
    nt!(KeGetCurrentThread())
}

pub const SPECIAL: Ran = Ran("special", Kernel, APC);
pub const NORMAL: [Ran; 2] = [Ran("normal", Kernel, APC), Ran("normal", Normal, PASSIVE)];
pub const BOTH: [Ran; 3] = [SPECIAL, NORMAL[0], NORMAL[1]];
