//! Driver-defined interfaces, as the toaster bus driver has one and its function driver asks for it.

use super::callbacks::{event, wdf};
use super::harness::{note, noted, null};
use super::support::{as_driver, child};
use crate::abi::{WDF_QUERY_INTERFACE_CONFIG, WDFDEVICE, WDFIOTARGET};
use crate::kernel::{ulong, ushort};
use core::ffi::c_void;
use nt_abi::{
    GUID, INTERFACE, NTSTATUS, PVOID, STATUS_ACCESS_DENIED, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_BUFFER_SIZE, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};

/// An interface with one function of its own.
#[repr(C)]
#[derive(Clone, Copy)]
struct Toaster {
    header: INTERFACE,
    crispiness: Option<unsafe extern "win64" fn(PVOID) -> u8>,
}

/// The type of an interface.
const fn kind(n: u32) -> GUID {
    GUID {
        Data1: n,
        ..super::harness::INTERFACE
    }
}

static TOASTER: GUID = kind(0xB0A5_7E40);
static OTHER: GUID = kind(0xB0A5_7E41);

static CONTEXT: u8 = 7;

fn context() -> PVOID {
    (&raw const CONTEXT).cast_mut().cast()
}

unsafe extern "win64" fn crispiness(context: PVOID) -> u8 {
    // SAFETY: The context of the interface is a byte that nobody writes.
    unsafe { context.cast::<u8>().read() }
}

fn toaster() -> Toaster {
    Toaster {
        header: INTERFACE {
            Size: ushort(size_of::<Toaster>()),
            Version: 2,
            Context: context(),
            InterfaceReference: Some(event!(|context: PVOID| {
                assert_eq!(context, super::interfaces::context());
                note("referenced");
            })),
            InterfaceDereference: Some(event!(|_context: PVOID| note("dereferenced"))),
        },
        crispiness: Some(crispiness),
    }
}

/// A structure for the answer to a query.
const fn asked() -> Toaster {
    Toaster {
        header: INTERFACE {
            Size: 0,
            Version: 0,
            Context: null(),
            InterfaceReference: None,
            InterfaceDereference: None,
        },
        crispiness: None,
    }
}

/// `WDF_QUERY_INTERFACE_CONFIG_INIT`.
fn config(interface: &mut Toaster, kind: &'static GUID) -> WDF_QUERY_INTERFACE_CONFIG {
    WDF_QUERY_INTERFACE_CONFIG {
        Size: ulong(size_of::<WDF_QUERY_INTERFACE_CONFIG>()),
        Interface: (&raw mut *interface).cast(),
        InterfaceType: kind,
        SendQueryToParentStack: 0,
        EvtDeviceProcessQueryInterfaceRequest: None,
        ImportInterface: 0,
    }
}

fn device() -> WDFDEVICE {
    child().ParentObject
}

fn add(mut config: WDF_QUERY_INTERFACE_CONFIG) -> NTSTATUS {
    wdf!(device::WdfDeviceAddQueryInterface(
        device(),
        &raw mut config
    ))
}

/// Adds the toaster's interface as it is.
fn add_toaster() {
    assert_eq!(add(config(&mut toaster(), &TOASTER)), STATUS_SUCCESS);
}

/// Asks the stack of the test's device.
fn query(kind: &GUID, answer: &mut Toaster, size: usize, version: u16) -> NTSTATUS {
    wdf!(device::WdfFdoQueryForInterface(
        device(),
        kind,
        (&raw mut *answer).cast(),
        ushort(size),
        version,
        null()
    ))
}

const SIZE: usize = size_of::<Toaster>();

#[test]
fn a_query_gets_a_copy_with_a_reference() {
    as_driver(|_| {
        add_toaster();
        let mut answer = asked();
        assert_eq!(query(&TOASTER, &mut answer, SIZE, 2), STATUS_SUCCESS);
        assert_eq!(noted(), ["referenced"]);
        assert_eq!(
            (answer.header.Version, answer.header.Context),
            (2, context())
        );
        let crispiness = answer.crispiness.expect("the interface's function");
        // SAFETY: It is called with the context of its interface.
        assert_eq!(unsafe { crispiness(answer.header.Context) }, 7);
        let dereference = answer.header.InterfaceDereference.expect("a function");
        // SAFETY: As above.
        unsafe { dereference(answer.header.Context) };
        assert_eq!(noted(), ["dereferenced"]);
    });
}

#[test]
fn one_that_nobody_has_is_not_supported() {
    as_driver(|_| {
        add_toaster();
        let mut answer = asked();
        let status = query(&OTHER, &mut answer, SIZE, 2);
        assert_eq!((status, answer.header.Size), (STATUS_NOT_SUPPORTED, 0));
    });
}

#[test]
fn a_query_for_one_that_is_larger_or_newer_may_have_it_but_no_other() {
    as_driver(|_| {
        add_toaster();
        for (size, version, expected) in [
            (SIZE + 8, 3, STATUS_SUCCESS),
            (SIZE - 8, 2, STATUS_INVALID_BUFFER_SIZE),
            (SIZE, 1, STATUS_INVALID_BUFFER_SIZE),
        ] {
            let mut answer = [asked(), asked()];
            let status = query(&TOASTER, &mut answer[0], size, version);
            assert_eq!(status, expected);
            let given = answer[0].crispiness.is_some();
            assert_eq!(given, expected == STATUS_SUCCESS);
        }
        assert_eq!(noted(), ["referenced"]);
    });
}

#[test]
fn without_functions_for_references_it_gets_some_that_do_nothing() {
    as_driver(|_| {
        let mut bare = toaster();
        bare.header.InterfaceReference = None;
        bare.header.InterfaceDereference = None;
        assert_eq!(add(config(&mut bare, &TOASTER)), STATUS_SUCCESS);
        let mut answer = asked();
        assert_eq!(query(&TOASTER, &mut answer, SIZE, 2), STATUS_SUCCESS);
        for nothing in [
            answer.header.InterfaceReference,
            answer.header.InterfaceDereference,
        ] {
            // SAFETY: The functions of an interface take its context.
            unsafe { nothing.expect("a function")(answer.header.Context) };
        }
    });
}

unsafe extern "win64" fn process(
    device: WDFDEVICE,
    kind: *const GUID,
    exposed: *mut INTERFACE,
    data: *mut c_void,
) -> NTSTATUS {
    assert_eq!(device, super::interfaces::device());
    // SAFETY: The framework passes the type that is asked for.
    assert_eq!(unsafe { kind.read() }, TOASTER);
    // SAFETY: The test passes a status to return.
    let status = unsafe { data.cast::<NTSTATUS>().read() };
    // SAFETY: It is the structure of whoever asks.
    let toaster = unsafe { &mut *exposed.cast::<Toaster>() };
    note(std::format!("version {}", toaster.header.Version));
    toaster.header.Version = 9;
    status
}

/// Asks with a status for the client's event to return; that of the query, and the version of what came back.
fn query_for(mut status: NTSTATUS) -> (NTSTATUS, u16) {
    let mut answer = asked();
    answer.header.Version = 4;
    let returned = wdf!(device::WdfFdoQueryForInterface(
        device(),
        &raw const TOASTER,
        (&raw mut answer).cast(),
        ushort(SIZE),
        2,
        (&raw mut status).cast()
    ));
    (returned, answer.header.Version)
}

#[test]
fn the_client_sees_what_is_handed_out_and_may_refuse() {
    as_driver(|_| {
        let mut interface = toaster();
        let mut config = config(&mut interface, &TOASTER);
        config.EvtDeviceProcessQueryInterfaceRequest = Some(process);
        assert_eq!(add(config), STATUS_SUCCESS);
        assert_eq!(query_for(STATUS_SUCCESS), (STATUS_SUCCESS, 9));
        assert_eq!(noted(), ["version 2", "referenced"]);
        assert_eq!(query_for(STATUS_ACCESS_DENIED).0, STATUS_ACCESS_DENIED);
        assert_eq!(noted(), ["version 2"]);
        // That status is for the drivers below to change.
        assert_eq!(query_for(STATUS_NOT_SUPPORTED).0, STATUS_NOT_SUPPORTED);
        assert_eq!(noted(), ["version 2", "referenced"]);
    });
}

#[test]
fn one_that_is_imported_is_left_to_the_client() {
    as_driver(|_| {
        let mut interface = toaster();
        let mut config = config(&mut interface, &TOASTER);
        config.Interface = null();
        config.ImportInterface = 1;
        assert_eq!(add(config), STATUS_INVALID_PARAMETER, "it has no event");
        config.EvtDeviceProcessQueryInterfaceRequest = Some(process);
        assert_eq!(add(config), STATUS_SUCCESS);
        assert_eq!(query_for(STATUS_SUCCESS), (STATUS_SUCCESS, 9));
        assert_eq!(noted(), ["version 4"], "what came with the query");
    });
}

#[test]
fn configurations_that_are_refused() {
    as_driver(|_| {
        let mut interface = toaster();
        let good = config(&mut interface, &TOASTER);
        let mut small = toaster();
        small.header.Size = ushort(size_of::<INTERFACE>()) - 1;
        for (config, expected) in [
            (
                WDF_QUERY_INTERFACE_CONFIG { Size: 8, ..good },
                STATUS_INFO_LENGTH_MISMATCH,
            ),
            (
                WDF_QUERY_INTERFACE_CONFIG {
                    Interface: null(),
                    ..good
                },
                STATUS_INVALID_PARAMETER,
            ),
            (
                WDF_QUERY_INTERFACE_CONFIG {
                    SendQueryToParentStack: 1,
                    ..good
                },
                STATUS_INVALID_PARAMETER,
            ),
            (config(&mut small, &TOASTER), STATUS_INVALID_PARAMETER),
        ] {
            assert_eq!(add(config), expected);
        }
        assert_eq!(query(&TOASTER, &mut asked(), SIZE, 2), STATUS_NOT_SUPPORTED);
    });
}

#[test]
fn the_calls_are_for_passive_level() {
    as_driver(|_| {
        // SAFETY: The level is lowered again below.
        let old = unsafe { nthost::ntddk::KfRaiseIrql(1) };
        let statuses = [
            add(config(&mut toaster(), &TOASTER)),
            query(&TOASTER, &mut asked(), SIZE, 2),
        ];
        // SAFETY: It is the level from before.
        unsafe { nthost::ntddk::KeLowerIrql(old) };
        assert_eq!(statuses, [STATUS_INVALID_DEVICE_REQUEST; 2]);
    });
}

#[test]
fn a_targets_stack_is_asked_from_its_top() {
    as_driver(|_| {
        add_toaster();
        let target: WDFIOTARGET = wdf!(io_target::WdfDeviceGetIoTarget(device()));
        let mut answer = asked();
        let status = wdf!(io_target::WdfIoTargetQueryForInterface(
            target,
            &raw const TOASTER,
            (&raw mut answer).cast(),
            ushort(SIZE),
            2,
            null()
        ));
        assert_eq!((status, answer.header.Version), (STATUS_SUCCESS, 2));
        assert_eq!(noted(), ["referenced"]);
    });
}
