//! Callback objects: who is called, when and at which IRQL, and what misuse ends in.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use nthost::{Kernel, LeakKind, bugcheck::BugCheckReport, ntddk::*, testing::expect_bug_check};
use support::{driver::Text, *};

/// What `ExCreateCallback` says of a name.
fn open(name: &str, attributes: ULONG, create: bool) -> Result<PCALLBACK_OBJECT, NTSTATUS> {
    open_for(name, attributes, create, TRUE)
}

fn open_for(
    name: &str,
    attributes: ULONG,
    create: bool,
    multiple: BOOLEAN,
) -> Result<PCALLBACK_OBJECT, NTSTATUS> {
    let name = Text::new(name);
    let mut name = name.counted();
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: 48,
        ObjectName: &raw mut name,
        Attributes: attributes,
        ..OBJECT_ATTRIBUTES::default()
    };
    let mut object = ptr::null_mut();
    let status = nt!(ExCreateCallback(
        &raw mut object,
        &raw mut attributes,
        create.into(),
        multiple
    ));
    if status == STATUS_SUCCESS {
        Ok(object)
    } else {
        Err(status)
    }
}

/// An object without a name.
fn temporary() -> PCALLBACK_OBJECT {
    open(r"\Callback\Temporary", 0, true).expect("it is made")
}

fn let_go(object: PCALLBACK_OBJECT) {
    nt!(ObfDereferenceObject(object.cast()));
}

/// What a routine was called with, and at which IRQL.
#[derive(Default)]
struct Log(Mutex<Vec<(usize, usize, KIRQL)>>);

impl Log {
    fn take(&self) -> Vec<(usize, usize, KIRQL)> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    fn register(&self, object: PCALLBACK_OBJECT) -> PVOID {
        let context = ptr::from_ref(self).cast_mut().cast();
        nt!(ExRegisterCallback(object, Some(record), context))
    }
}

unsafe extern "win64" fn record(context: PVOID, first: PVOID, second: PVOID) {
    // SAFETY: The tests register this with a log that outlives the registration.
    let log = unsafe { &*context.cast::<Log>() };
    let call = (first as usize, second as usize, irql());
    log.0.lock().expect("no panic").push(call);
}

fn notify(object: PCALLBACK_OBJECT, arguments: [usize; 2]) {
    let [first, second] = arguments.map(ptr::without_provenance_mut);
    nt!(ExNotifyCallback(object.cast(), first, second));
}

unsafe extern "win64" fn push_one(context: PVOID, first: PVOID, _: PVOID) {
    push(context, first, 1);
}

unsafe extern "win64" fn push_two(context: PVOID, first: PVOID, _: PVOID) {
    push(context, first, 2);
}

fn push(context: PVOID, list: PVOID, number: usize) {
    // SAFETY: The test passes a list as the first argument.
    let list = unsafe { &*list.cast::<Mutex<Vec<(usize, usize)>>>() };
    let call = (context as usize, number);
    list.lock().expect("no panic").push(call);
}

#[test]
fn routines_are_called_in_the_order_of_registration() {
    let object = temporary();
    let register = |routine: PCALLBACK_FUNCTION, context: usize| {
        let context = ptr::without_provenance_mut(context);
        nt!(ExRegisterCallback(object, routine, context))
    };
    let registered = [
        register(Some(push_two), 7),
        register(Some(push_one), 8),
        register(Some(push_two), 9),
    ];
    assert!(
        registered
            .iter()
            .all(|registration| !registration.is_null())
    );
    let calls = Mutex::new(Vec::<(usize, usize)>::new());
    let list: PVOID = (&raw const calls).cast_mut().cast();
    nt!(ExNotifyCallback(object.cast(), list, ptr::null_mut()));
    nt!(ExUnregisterCallback(registered[1]));
    nt!(ExNotifyCallback(object.cast(), list, ptr::null_mut()));
    assert_eq!(
        calls.into_inner().expect("no panic"),
        [(7, 2), (8, 1), (9, 2), (7, 2), (9, 2)]
    );
    nt!(ExUnregisterCallback(registered[0]));
    nt!(ExUnregisterCallback(registered[2]));
    let_go(object);
}

#[test]
fn routines_run_at_the_irql_of_the_caller() {
    let (object, log) = (temporary(), Log::default());
    let registration = log.register(object);
    for level in [PASSIVE, APC, DISPATCH] {
        let old = raise(level);
        notify(object, [1, 2]);
        lower(old);
        assert_eq!(log.take(), [(1, 2, level)]);
    }
    nt!(ExUnregisterCallback(registration));
    notify(object, [3, 4]);
    assert_eq!(log.take(), []);
    let_go(object);
}

#[test]
fn the_maker_says_whether_there_may_be_several_routines() {
    let object = open_for(r"\Callback\One", 0, true, FALSE).expect("it is made");
    let log = Log::default();
    let first = log.register(object);
    assert!(!first.is_null());
    assert!(log.register(object).is_null());
    nt!(ExUnregisterCallback(first));
    let again = log.register(object);
    assert!(!again.is_null());
    nt!(ExUnregisterCallback(again));
    let_go(object);
}

#[test]
fn an_object_is_found_by_its_name() {
    let name = r"\Callback\Found";
    assert_eq!(open(name, 0, false), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert_eq!(open("", 0, true), Err(STATUS_UNSUCCESSFUL), "no name");
    let made = open(name, OBJ_PERMANENT, true).expect("it is made");
    assert_eq!(open(name, 0, false), Ok(made));
    assert_eq!(
        open(name, OBJ_PERMANENT, true),
        Ok(made),
        "opened, not made"
    );
    let other_case = r"\CALLBACK\found";
    assert_eq!(
        open(other_case, 0, false),
        Err(STATUS_OBJECT_NAME_NOT_FOUND)
    );
    assert_eq!(open(other_case, OBJ_CASE_INSENSITIVE, false), Ok(made));
    (0..4).for_each(|_| let_go(made));
    assert_eq!(open(name, 0, false), Ok(made), "it is permanent");
    let is_left = || {
        let leaks = Kernel::get().leaks().entries;
        leaks.iter().any(|leak| {
            leak.kind == LeakKind::Callback && leak.detail == name && leak.address == made as u64
        })
    };
    assert!(is_left());
    let mut handle = ptr::null_mut();
    let status = nt!(ObOpenObjectByPointer(
        made.cast(),
        OBJ_KERNEL_HANDLE,
        ptr::null_mut(),
        0,
        ptr::null_mut(),
        0,
        &raw mut handle
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let_go(made);
    for _ in 0..2 {
        assert_eq!(nt!(ZwMakeTemporaryObject(handle)), STATUS_SUCCESS);
    }
    assert_eq!(nt!(ZwClose(handle)), STATUS_SUCCESS);
    assert_eq!(open(name, 0, false), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert!(!is_left());
}

#[test]
fn a_handle_is_of_the_type_of_its_object() {
    let object = temporary();
    let mut handle = ptr::null_mut();
    let status = nt!(ObOpenObjectByPointer(
        object.cast(),
        OBJ_KERNEL_HANDLE,
        ptr::null_mut(),
        0,
        PsThreadType.get(),
        0,
        &raw mut handle
    ));
    assert_eq!(status, STATUS_OBJECT_TYPE_MISMATCH);
    let_go(object);
}

#[test]
fn a_temporary_object_has_no_name() {
    let object = temporary();
    let name = r"\Callback\Temporary";
    assert_eq!(open(name, 0, false), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let_go(object);
}

#[test]
fn the_system_tells_by_its_own_objects() {
    let names = [
        r"\Callback\PowerState",
        r"\Callback\ProcessorAdd",
        r"\Callback\SetSystemTime",
    ];
    for name in names {
        let object = open(name, OBJ_CASE_INSENSITIVE, false).expect("it is there");
        let log = Log::default();
        let registration = log.register(object);
        assert!(matches!(Kernel::get().notify(name, [3, 1]), Ok(true)));
        assert_eq!(log.take(), [(3, 1, PASSIVE)]);
        nt!(ExUnregisterCallback(registration));
        assert!(matches!(Kernel::get().notify(name, [3, 1]), Ok(true)));
        assert_eq!(log.take(), []);
        let_go(object);
    }
}

/// What a routine and its test say to each other.
#[derive(Default)]
struct Gate {
    inside: AtomicBool,
    open: AtomicBool,
}

unsafe extern "win64" fn linger(context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The test registers this with a gate that outlives the registration.
    let gate = unsafe { &*context.cast::<Gate>() };
    gate.inside.store(true, SeqCst);
    while !gate.open.load(SeqCst) {
        thread::yield_now();
    }
    gate.inside.store(false, SeqCst);
}

#[test]
fn unregistering_waits_for_a_call_that_is_under_way() {
    let gate = Gate::default();
    let object = temporary() as usize;
    let object = || ptr::with_exposed_provenance_mut::<_CALLBACK_OBJECT>(object);
    let context = (&raw const gate).cast_mut().cast();
    let registration = nt!(ExRegisterCallback(object(), Some(linger), context));
    thread::scope(|scope| {
        scope.spawn(|| notify(object(), [0, 0]));
        while !gate.inside.load(SeqCst) {
            thread::yield_now();
        }
        scope.spawn(|| {
            sleep(20);
            gate.open.store(true, SeqCst);
        });
        nt!(ExUnregisterCallback(registration));
        assert!(!gate.inside.load(SeqCst), "the call has ended");
    });
    let_go(object());
}

fn first_parameter(report: &BugCheckReport) -> u64 {
    assert_eq!(report.code, VERIFIER, "{report}");
    report.parameters[0]
}

#[test]
fn at_an_irql_that_is_too_high() {
    let create = first_parameter(&expect_bug_check(|| {
        raise(DISPATCH);
        temporary();
    }));
    let register = first_parameter(&expect_bug_check(|| {
        let object = temporary();
        raise(DISPATCH);
        Log::default().register(object);
    }));
    let unregister = first_parameter(&expect_bug_check(|| {
        let log = Log::default();
        let registration = log.register(temporary());
        raise(DISPATCH);
        nt!(ExUnregisterCallback(registration));
    }));
    let notify = first_parameter(&expect_bug_check(|| {
        let object = temporary();
        raise(CLOCK);
        notify(object, [0, 0]);
    }));
    assert_eq!(
        [create, register, unregister, notify],
        [0x20008, 0x20006, 0x20006, 0x6E74_0003]
    );
}

#[test]
fn notifying_an_object_of_the_system() {
    let rule = first_parameter(&expect_bug_check(|| {
        notify(
            open(r"\Callback\PowerState", 0, false).expect("it is there"),
            [0, 0],
        );
    }));
    assert_eq!(rule, 0x6E74_0001);
}

#[test]
fn unregistering_twice() {
    let rule = first_parameter(&expect_bug_check(|| {
        let log = Log::default();
        let registration = log.register(temporary());
        nt!(ExUnregisterCallback(registration));
        nt!(ExUnregisterCallback(registration));
    }));
    assert_eq!(rule, 0x1007);
}

unsafe extern "win64" fn unregister(_: PVOID, registration: PVOID, _: PVOID) {
    nt!(ExUnregisterCallback(registration));
}

#[test]
fn a_routine_that_unregisters_itself() {
    let rule = first_parameter(&expect_bug_check(|| {
        let object = temporary();
        let none = ptr::null_mut();
        let registration = nt!(ExRegisterCallback(object, Some(unregister), none));
        nt!(ExNotifyCallback(object.cast(), registration, none));
    }));
    assert_eq!(rule, 0x1000);
}
