//! Callback objects: drivers and the system tell whoever has registered a routine that something is so.
//!
//! A routine is called at the IRQL of the one who tells, after those that were registered before it. Once it is
//! unregistered it does not run and is not called any more: [`ExUnregisterCallback`] waits for calls that are under
//! way, which no page says, and without which no driver could be unloaded.
//!
//! Sources: the pages of the four functions, "Callback Objects", and that of `ZwMakeTemporaryObject`, which says that a
//! temporary object has a name as long as a handle to it is open. [`ExCreateCallback`] leaves none open, so that an
//! object is found by its name if it was created with `OBJ_PERMANENT`, which its page advises.

use core::{ops::Range, ptr};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use nt_abi::{
    BOOLEAN, KEVENT, KIRQL, NTSTATUS, OBJ_CASE_INSENSITIVE, OBJ_PERMANENT, OBJECT_ATTRIBUTES,
    PCALLBACK_FUNCTION, PCALLBACK_OBJECT, POBJECT_ATTRIBUTES, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_SYNTAX_BAD,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL, object_type,
};
use parking_lot::Mutex;

use crate::{
    Rules, address,
    dispatcher::{self, Deadline, Header, WaitBlock, WaitKind},
    export::exports,
    fault,
    irql::{APC, DISPATCH, PASSIVE},
    ob::{self, ObjectType},
    rtl,
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    ExCreateCallback, ExNotifyCallback, ExRegisterCallback, ExUnregisterCallback,
);

/// `ExCallbackObjectType`.
static CALLBACK_TYPE: ObjectType = ObjectType::new("Callback");

/// The callback objects that the system makes.
const OF_THE_SYSTEM: [&str; 3] = [
    r"\Callback\PowerState",
    r"\Callback\ProcessorAdd",
    r"\Callback\SetSystemTime",
];

/// The body of a callback object.
struct Callback {
    /// The name that it is found by, if it has one.
    name: Option<String>,
    of_the_system: bool,
    /// Whether more than one routine may be registered.
    multiple: bool,
    /// The addresses of the registrations, in their order.
    routines: Mutex<Vec<Arc<Registration>>>,
}

/// A routine that is registered: what a driver knows by its address alone.
struct Registration {
    callback: u64,
    routine: unsafe extern "win64" fn(PVOID, PVOID, PVOID),
    context: u64,
    state: Mutex<State>,
    /// An event that is set when the routine is unregistered and runs no more.
    idle: Header,
}

#[derive(Default)]
struct State {
    unregistered: bool,
    /// The threads that are in the routine.
    running: Vec<u64>,
}

/// The objects that have a name: each is there until its memory is freed.
static NAMES: LazyLock<Mutex<BTreeMap<String, u64>>> = LazyLock::new(|| {
    let objects = OF_THE_SYSTEM.map(|name| {
        let callback = create(Some(name), true, true);
        (name.to_owned(), callback as u64)
    });
    Mutex::new(objects.into())
});

/// What is registered, by its address.
static REGISTRATIONS: Mutex<BTreeMap<u64, Arc<Registration>>> = Mutex::new(BTreeMap::new());

fn create(name: Option<&str>, multiple: bool, of_the_system: bool) -> PVOID {
    let callback = Callback {
        name: name.map(str::to_owned),
        of_the_system,
        multiple,
        routines: Mutex::default(),
    };
    ptr::from_ref(ob::create(&CALLBACK_TYPE, callback))
        .cast_mut()
        .cast()
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            NAMES.lock().remove(name);
        }
    }
}

fn check_irql(highest: KIRQL, rule: u64, function: &'static str) -> &'static Thread {
    let thread = thread::current();
    if thread.irql() > highest {
        verifier::rule(rule, function, "The IRQL is too high.");
    }
    thread
}

/// `ExCreateCallback`: opens the callback object of a name, or with `Create` makes one if there is none. The caller
/// gets a reference, for `ObDereferenceObject`.
///
/// IRQL = `PASSIVE_LEVEL` (rule `IrqlExPassive`, bug check 0xC4 (0x20008); the page of the function allows
/// `APC_LEVEL`).
///
/// `\Callback\PowerState`, `\Callback\ProcessorAdd` and `\Callback\SetSystemTime` are there from the beginning. Returns
/// `STATUS_UNSUCCESSFUL` without a name, and `STATUS_OBJECT_NAME_NOT_FOUND` if there is no such object and none is to
/// be made. To allow several routines is up to the one who makes the object.
///
/// # Safety
///
/// The attributes must be valid, and `CallbackObject` valid for a write.
pub unsafe extern "win64" fn ExCreateCallback(
    CallbackObject: *mut PCALLBACK_OBJECT,
    ObjectAttributes: POBJECT_ATTRIBUTES,
    Create: BOOLEAN,
    AllowMultipleCallbacks: BOOLEAN,
) -> NTSTATUS {
    const NAME: &str = "ExCreateCallback";
    check_irql(PASSIVE, 0x20008, NAME);
    // SAFETY: The caller vouches for the attributes.
    let Some(attributes) = (unsafe { ObjectAttributes.as_ref() }) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: As above.
    let name = unsafe { name_of(attributes) };
    let name = match name {
        Ok(name) => name,
        Err(status) => return status,
    };
    let mut names = NAMES.lock();
    let found = find(&names, &name, attributes.Attributes);
    let object = match found {
        Some(object) => object,
        None if Create == 0 => return STATUS_OBJECT_NAME_NOT_FOUND,
        None if fault::denies_allocation(NAME) => return STATUS_INSUFFICIENT_RESOURCES,
        None => {
            let permanent = attributes.Attributes & OBJ_PERMANENT != 0;
            let object = create(
                permanent.then_some(&name),
                AllowMultipleCallbacks != 0,
                false,
            );
            if permanent {
                // SAFETY: The object was made just now.
                unsafe { ob::make_permanent(object, NAME) };
                names.insert(name, object as u64);
            }
            object
        }
    };
    drop(names);
    // SAFETY: The caller vouches for the pointer.
    unsafe { CallbackObject.write(object.cast()) };
    STATUS_SUCCESS
}

/// The name in object attributes.
///
/// # Safety
///
/// They must be valid.
unsafe fn name_of(attributes: &OBJECT_ATTRIBUTES) -> Result<String, NTSTATUS> {
    if attributes.ObjectName.is_null() {
        return Err(STATUS_UNSUCCESSFUL);
    }
    // SAFETY: This function has the same contract.
    let name = unsafe { rtl::to_string(attributes.ObjectName) };
    if name.is_empty() {
        Err(STATUS_UNSUCCESSFUL)
    } else if name.starts_with('\\') && attributes.RootDirectory.is_null() {
        Ok(name)
    } else {
        Err(STATUS_OBJECT_PATH_SYNTAX_BAD)
    }
}

/// The object of a name, with a reference.
fn find(names: &BTreeMap<String, u64>, name: &str, attributes: u32) -> Option<PVOID> {
    let is_it = |found: &str| {
        found == name
            || attributes & OBJ_CASE_INSENSITIVE != 0 && found.to_lowercase() == name.to_lowercase()
    };
    let object = names.iter().find(|(found, _)| is_it(found))?.1;
    let object = address::pointer(*object);
    // SAFETY: An object is taken off the names before its memory is freed, and the names are locked.
    unsafe { ob::reference_if_alive(object) }.then_some(object)
}

/// The callback object at an address that a driver gives; what is none is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// `object` must be a callback object to which the caller has a reference.
unsafe fn view<'a>(object: PCALLBACK_OBJECT, function: &'static str) -> &'a Callback {
    // SAFETY: This function has the same contract.
    unsafe { verifier::object(object.cast(), function) }
}

/// `ExRegisterCallback`: has a routine called, after those that are registered already. IRQL <= `APC_LEVEL` (rule
/// `IrqlExApcLte2`, bug check 0xC4 (0x20006)).
///
/// Returns what [`ExUnregisterCallback`] needs, or null: there is no memory, or the object allows one routine and has
/// it. The registration keeps a reference to the object.
///
/// # Safety
///
/// `CallbackObject` must be a callback object to which the caller has a reference, and the routine one that may be
/// called until it is unregistered.
pub unsafe extern "win64" fn ExRegisterCallback(
    CallbackObject: PCALLBACK_OBJECT,
    CallbackFunction: PCALLBACK_FUNCTION,
    CallbackContext: PVOID,
) -> PVOID {
    const NAME: &str = "ExRegisterCallback";
    check_irql(APC, 0x20006, NAME);
    // SAFETY: This function has the same contract.
    let callback = unsafe { view(CallbackObject, NAME) };
    let Some(routine) = CallbackFunction else {
        return ptr::null_mut();
    };
    let mut routines = callback.routines.lock();
    if !callback.multiple && !routines.is_empty() || fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    // SAFETY: The caller has a reference.
    unsafe { ob::reference(CallbackObject.cast(), NAME) };
    let registration = Arc::new(Registration {
        callback: CallbackObject as u64,
        routine,
        context: CallbackContext as u64,
        state: Mutex::default(),
        idle: Header::uninitialized(),
    });
    let event = object_type::NotificationEvent;
    registration.idle.initialize(event, size_of::<KEVENT>(), 0);
    routines.push(Arc::clone(&registration));
    drop(routines);
    let address = Arc::as_ptr(&registration);
    REGISTRATIONS.lock().insert(address as u64, registration);
    address.cast_mut().cast()
}

/// `ExUnregisterCallback`: has a routine called no more, and waits until it does not run. IRQL <= `APC_LEVEL` (rule
/// `IrqlExApcLte2`, bug check 0xC4 (0x20006)).
///
/// What is not registered is bug check 0xC4 (0x1007); to unregister a routine from inside of it would wait for itself:
/// 0xC4 (0x1000).
///
/// # Safety
///
/// `CbRegistration` must be what [`ExRegisterCallback`] returned.
pub unsafe extern "win64" fn ExUnregisterCallback(CbRegistration: PVOID) {
    const NAME: &str = "ExUnregisterCallback";
    let thread = check_irql(APC, 0x20006, NAME);
    let address = CbRegistration as u64;
    let found = REGISTRATIONS.lock().remove(&address);
    let Some(registration) = found else {
        let sentence = "No callback routine is registered by this handle.";
        verifier::violation(0x1007, [address, 0, 0], NAME, sentence);
    };
    let object = address::pointer(registration.callback);
    // SAFETY: The registration has a reference to the object.
    let callback = unsafe { view(object, NAME) };
    callback
        .routines
        .lock()
        .retain(|other| !Arc::ptr_eq(other, &registration));
    let mut state = registration.state.lock();
    state.unregistered = true;
    let (runs, runs_here) = (
        !state.running.is_empty(),
        state.running.contains(&thread.address()),
    );
    drop(state);
    if runs_here && verifier::checks(Rules::LOCKS) {
        let sentence =
            "A callback routine unregisters itself, and would wait for itself to return.";
        verifier::violation(0x1000, [address, 0, 0], NAME, sentence);
    }
    if runs {
        let blocks = [WaitBlock::new()];
        dispatcher::wait(
            thread,
            &[&registration.idle],
            &blocks,
            WaitKind::Any,
            Deadline::Never,
        );
    }
    // SAFETY: The registration's reference is given up, once.
    unsafe { ob::dereference(object.cast(), NAME) };
}

/// `ExNotifyCallback`: calls the routines that are registered, in their order, at the IRQL of the caller.
///
/// IRQL <= `DISPATCH_LEVEL` (bug check 0xC4 (0x6E740003)). For an object of the system it is bug check 0xC4 (0x6E740001):
/// [`Kernel::notify`](crate::Kernel::notify) plays the part of the system.
///
/// # Safety
///
/// `CallbackObject` must be a callback object to which the caller has a reference, and the arguments what the routines
/// expect.
pub unsafe extern "win64" fn ExNotifyCallback(
    CallbackObject: PVOID,
    Argument1: PVOID,
    Argument2: PVOID,
) {
    const NAME: &str = "ExNotifyCallback";
    let thread = check_irql(DISPATCH, verifier::WRONG_IRQL, NAME);
    // SAFETY: This function has the same contract.
    let callback = unsafe { view(CallbackObject.cast(), NAME) };
    if callback.of_the_system {
        let sentence = "A driver must not notify a callback object of the system.";
        let parameters = [CallbackObject as u64, 0, 0];
        verifier::violation(verifier::SYSTEM_CALLBACK, parameters, NAME, sentence);
    }
    callback.notify(thread, [Argument1, Argument2]);
}

impl Callback {
    fn notify(&self, thread: &'static Thread, arguments: [PVOID; 2]) {
        let routines = self.routines.lock().clone();
        for registration in routines {
            registration.call(thread, arguments);
        }
    }
}

impl Registration {
    fn call(&self, thread: &'static Thread, [first, second]: [PVOID; 2]) {
        let mut state = self.state.lock();
        if state.unregistered {
            return;
        }
        state.running.push(thread.address());
        drop(state);
        let context = address::pointer(self.context);
        // SAFETY: The driver vouches for the routine until it is unregistered, which waits for this call.
        unsafe { (self.routine)(context, first, second) };
        let mut state = self.state.lock();
        let mine = state.running.iter().position(|&at| at == thread.address());
        if let Some(mine) = mine {
            state.running.swap_remove(mine);
        }
        let was_last = state.unregistered && state.running.is_empty();
        drop(state);
        if was_last {
            dispatcher::lock(thread).signal(&self.idle, 1);
        }
    }
}

/// Notifies the callback object of the system with this name, in the place of the system. False if there is none.
pub fn notify_of_the_system(thread: &'static Thread, name: &str, arguments: [u64; 2]) -> bool {
    let object = find(&NAMES.lock(), name, OBJ_CASE_INSENSITIVE);
    let Some(object) = object else { return false };
    // SAFETY: The object was referenced just now.
    let callback = unsafe { view(object.cast(), "ExNotifyCallback") };
    let of_the_system = callback.of_the_system;
    if of_the_system {
        callback.notify(thread, arguments.map(address::pointer));
    }
    // SAFETY: The reference from above.
    unsafe { ob::dereference(object, "ExNotifyCallback") };
    of_the_system
}

/// What is registered: the addresses of the registrations and of their routines.
fn registered() -> Vec<(u64, u64)> {
    let routine_of = |registration: &Registration| registration.routine as *const () as u64;
    REGISTRATIONS
        .lock()
        .iter()
        .map(|(&address, registration)| (address, routine_of(registration)))
        .collect()
}

/// The routine in a range of memory that is registered.
pub fn find_calling(range: &Range<u64>) -> Option<u64> {
    let mut routines = registered().into_iter().map(|registered| registered.1);
    routines.find(|routine| range.contains(routine))
}

/// What is not deleted or not unregistered: addresses, and what each is.
pub fn left() -> Vec<(u64, String)> {
    let mut left: Vec<_> = NAMES
        .lock()
        .iter()
        .filter(|(name, _)| !OF_THE_SYSTEM.contains(&name.as_str()))
        .map(|(name, &address)| (address, name.clone()))
        .collect();
    left.extend(registered().into_iter().map(|(address, routine)| {
        let detail = format!("routine at 0x{routine:X} is registered");
        (address, detail)
    }));
    left
}
