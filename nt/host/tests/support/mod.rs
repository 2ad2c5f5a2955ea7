//! What the tests of the kernel share: calling it, and objects that stay where they are.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test binary uses its part of this"
)]

use core::{cell::UnsafeCell, ptr};

use nthost::ntddk::*;

/// Calls a function of the kernel.
///
/// This is what the tests are about: their objects are initialised and outlive their use, unless the test
/// shows what the kernel does when they are not.
macro_rules! nt {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        #[allow(clippy::macro_metavars_in_unsafe, reason = "arguments of tests are safe expressions")]
        // SAFETY: The test keeps the contract of the function, or breaks it in order to be answered
        // with a bug check, which the kernel gives before it does anything.
        unsafe { nthost::ntddk::$function($($argument),*) }
    }};
}
pub(crate) use nt;

pub mod apc;
pub mod driver;
pub mod image;
pub mod resource;

pub const PASSIVE: KIRQL = 0;
pub const APC: KIRQL = 1;
pub const DISPATCH: KIRQL = 2;
pub const CLOCK: KIRQL = 13;
pub const HIGH: KIRQL = 15;

/// The bug check of the rules of Driver Verifier.
pub const VERIFIER: u32 = bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION;

/// One millisecond from now, as a time-out.
pub const MS: i64 = -10_000;

/// An object of the kernel in memory that does not move and that threads share.
#[derive(Default)]
pub struct Object<T>(Box<UnsafeCell<T>>);

// SAFETY: Objects of the kernel are there to be used by several threads; other contents are touched under
// a lock that the test shows to work.
unsafe impl<T> Sync for Object<T> {}

impl<T> Object<T> {
    pub fn new(value: T) -> Self {
        Self(Box::new(UnsafeCell::new(value)))
    }

    pub fn get(&self) -> *mut T {
        self.0.get()
    }

    /// The object as a dispatcher object to wait for.
    pub fn object(&self) -> PVOID {
        self.get().cast()
    }

    /// A copy of what is there now.
    pub fn read(&self) -> T
    where
        T: Copy,
    {
        // SAFETY: The memory is there, and the test does not read what changes meanwhile.
        unsafe { self.get().read_volatile() }
    }

    pub fn write(&self, value: T) {
        // SAFETY: The memory is there, and the test holds what protects it.
        unsafe { self.get().write_volatile(value) };
    }
}

pub fn irql() -> KIRQL {
    nt!(KeGetCurrentIrql())
}

pub fn raise(to: KIRQL) -> KIRQL {
    nt!(KfRaiseIrql(to))
}

pub fn lower(to: KIRQL) {
    nt!(KeLowerIrql(to));
}

/// Waits for one object; `None` is without a time-out.
pub fn wait(object: PVOID, timeout: Option<i64>) -> NTSTATUS {
    with_timeout(timeout, |timeout| {
        nt!(KeWaitForSingleObject(object, 0, 0, FALSE, timeout))
    })
}

/// Waits for several objects, with wait blocks for all of them.
pub fn wait_for(objects: &[PVOID], kind: WAIT_TYPE, timeout: Option<i64>) -> NTSTATUS {
    let mut objects = objects.to_vec();
    let mut blocks = vec![KWAIT_BLOCK::default(); objects.len()];
    let count = objects.len().try_into().expect("a small number");
    let (objects, blocks) = (objects.as_mut_ptr(), blocks.as_mut_ptr());
    with_timeout(timeout, |timeout| {
        nt!(KeWaitForMultipleObjects(
            count, objects, kind, 0, 0, FALSE, timeout, blocks
        ))
    })
}

fn with_timeout(timeout: Option<i64>, wait: impl FnOnce(PLARGE_INTEGER) -> NTSTATUS) -> NTSTATUS {
    let mut value = LARGE_INTEGER {
        QuadPart: timeout.unwrap_or_default(),
    };
    wait(if timeout.is_some() {
        &raw mut value
    } else {
        ptr::null_mut()
    })
}

/// Lets `milliseconds` pass.
pub fn sleep(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}

/// Runs a closure on a system thread and waits for its end.
pub fn on_system_thread<F: FnOnce() + Send>(body: F) {
    let handle = start_system_thread(body);
    join(handle);
}

/// Starts a system thread, which must be joined while what the closure borrows is alive.
pub fn start_system_thread<F: FnOnce() + Send>(body: F) -> HANDLE {
    unsafe extern "win64" fn start<F: FnOnce()>(context: PVOID) {
        // SAFETY: The creator gave the closure away.
        let body = unsafe { Box::from_raw(context.cast::<F>()) };
        body();
    }
    let mut handle = ptr::null_mut();
    let context = Box::into_raw(Box::new(body));
    let status = nt!(PsCreateSystemThread(
        &raw mut handle,
        THREAD_ALL_ACCESS,
        ptr::null_mut(),
        ptr::null_mut(),
        ptr::null_mut(),
        Some(start::<F>),
        context.cast(),
    ));
    assert_eq!(status, STATUS_SUCCESS);
    handle
}

/// Waits for the end of a system thread.
pub fn join(handle: HANDLE) {
    let mut object = ptr::null_mut();
    let kind = PsThreadType.get();
    let status = nt!(ObReferenceObjectByHandle(
        handle,
        SYNCHRONIZE,
        kind,
        0,
        &raw mut object,
        ptr::null_mut()
    ));
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(wait(object, None), STATUS_SUCCESS);
    nt!(ObfDereferenceObject(object));
    assert_eq!(nt!(ZwClose(handle)), STATUS_SUCCESS);
}
