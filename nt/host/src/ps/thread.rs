//! System threads, and asking for the current thread.

use nt_abi::{
    HANDLE, NTSTATUS, PASSIVE_LEVEL, PCLIENT_ID, PETHREAD, PHANDLE, PKSTART_ROUTINE, PKTHREAD,
    POBJECT_ATTRIBUTES, PVOID, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS, ULONG,
};

use crate::{
    Rules,
    export::{Export, exports},
    fault, ob, recovery,
    thread::{self, Origin, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeGetCurrentThread, PsCreateSystemThread, PsGetCurrentThread, PsGetCurrentThreadId,
    PsTerminateSystemThread,
);

/// The variables of this module that drivers import.
pub(crate) const VARIABLES: &[Export] = &[Export {
    image: "ntoskrnl.exe",
    name: "PsThreadType",
    address: (&raw const super::PsThreadType).cast(),
}];

/// `PsCreateSystemThread`: starts a system thread at `PASSIVE_LEVEL`, inside of a critical region. IRQL =
/// `PASSIVE_LEVEL` (rule `IrqlPsPassive`, bug check 0xC4 (0x2001C)).
///
/// All threads belong to one process, whatever `ProcessHandle` says. Returns
/// `STATUS_INSUFFICIENT_RESOURCES` if the host can start no thread.
///
/// # Safety
///
/// `ThreadHandle` must be valid for a write, `ClientId` too or null; `StartRoutine` must be a thread
/// routine that may be called with `StartContext`.
pub unsafe extern "win64" fn PsCreateSystemThread(
    ThreadHandle: PHANDLE,
    _DesiredAccess: ULONG,
    _ObjectAttributes: POBJECT_ATTRIBUTES,
    _ProcessHandle: HANDLE,
    ClientId: PCLIENT_ID,
    StartRoutine: PKSTART_ROUTINE,
    StartContext: PVOID,
) -> NTSTATUS {
    const NAME: &str = "PsCreateSystemThread";
    let creator = thread::current();
    if u32::from(creator.irql()) > PASSIVE_LEVEL {
        verifier::rule(0x2001C, NAME, "IRQL must be PASSIVE_LEVEL.");
    }
    let Some(routine) = StartRoutine else {
        return STATUS_INVALID_PARAMETER;
    };
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let context = Context(StartContext);
    let started = start(Origin::System, "system thread", move || {
        let context = context;
        // SAFETY: The creator vouches for routine and context.
        unsafe { routine(context.0) };
    });
    let Ok(thread) = started else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    thread.set_start_routine(routine as *const () as u64);
    let body = thread.kthread();
    // SAFETY: `start` gave a reference, which keeps the object alive.
    let handle = unsafe { ob::insert(body.cast()) };
    if !ClientId.is_null() {
        let id = thread.object.client_id();
        // SAFETY: The caller vouches for a pointer that is not null.
        unsafe { ClientId.write(id) };
    }
    ob::dereference_typed(thread);
    // SAFETY: The caller vouches for the pointer.
    unsafe { ThreadHandle.write(handle) };
    STATUS_SUCCESS
}

/// A driver's pointer on its way to a thread that the driver starts.
struct Context(PVOID);

// SAFETY: The driver that gives the pointer to a new thread is responsible for what is behind it.
unsafe impl Send for Context {}

/// Starts a thread of the kernel. The caller gets a reference to it.
///
/// # Errors
///
/// The host's, if it cannot start a thread.
pub fn start(
    origin: Origin,
    name: &str,
    routine: impl FnOnce() + Send + 'static,
) -> std::io::Result<&'static Thread> {
    start_on_host(origin, name, routine).map(|started| started.0)
}

/// As [`start`], with the host's thread.
///
/// # Errors
///
/// As for [`start`].
pub fn start_on_host(
    origin: Origin,
    name: &str,
    routine: impl FnOnce() + Send + 'static,
) -> std::io::Result<(&'static Thread, std::thread::Thread)> {
    let thread = thread::create(origin, name.to_owned());
    // SAFETY: The object was made just now. Two references are needed: the thread's own and this.
    unsafe { ob::reference(thread.kthread().cast(), "PsCreateSystemThread") };
    thread::enlist(thread);
    let spawned = std::thread::Builder::new()
        .name(format!("{name} {}", thread.id()))
        .spawn(move || thread::run_system(thread, || run(thread, routine)));
    match spawned {
        Ok(host) => Ok((thread, host.thread().clone())),
        Err(error) => {
            thread::delist(thread);
            ob::dereference_typed(thread);
            ob::dereference_typed(thread);
            Err(error)
        }
    }
}

/// Runs a routine that may terminate its thread.
fn run(thread: &Thread, routine: impl FnOnce()) {
    let _ = recovery::run(thread, || {
        thread.set_exit();
        routine();
    });
    thread.clear_exit();
}

/// `PsTerminateSystemThread`: ends the calling system thread; does not return. IRQL = `PASSIVE_LEVEL`.
///
/// A call above `PASSIVE_LEVEL` is bug check 0xC4 (0x2001C), a thread that holds a lock 0xC4 (0x100A), one with APCs
/// off, or that returns from its routine above `PASSIVE_LEVEL`, 0x20.
/// Returns `STATUS_INVALID_PARAMETER` if this is no system thread.
///
/// # Safety
///
/// Nothing on the stack of the thread is dropped.
pub unsafe extern "win64" fn PsTerminateSystemThread(_ExitStatus: NTSTATUS) -> NTSTATUS {
    let thread = thread::current();
    let exit = thread.exit();
    if thread.origin() != Origin::System || exit.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    if u32::from(thread.irql()) > PASSIVE_LEVEL && verifier::checks(Rules::IRQL) {
        let sentence = "IrqlPsPassive: IRQL must be PASSIVE_LEVEL.";
        verifier::rule(0x2001C, "PsTerminateSystemThread", sentence);
    }
    verifier::check_thread_end(thread);
    // SAFETY: The exit is that of the `run` in which the thread's routine runs; no lock of the kernel
    // is held here.
    unsafe { recovery::escape(exit) }
}

/// `PsGetCurrentThread`: the thread that calls. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn PsGetCurrentThread() -> PETHREAD {
    thread::current().kthread()
}

/// `KeGetCurrentThread`: the thread that calls. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeGetCurrentThread() -> PKTHREAD {
    thread::current().kthread()
}

/// `PsGetCurrentThreadId`: the identifier of the thread that calls. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn PsGetCurrentThreadId() -> HANDLE {
    thread::current().object.client_id().UniqueThread
}
