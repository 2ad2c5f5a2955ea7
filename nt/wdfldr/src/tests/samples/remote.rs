//! `hid/firefly` and `toastmon`, in what they do with the device of another stack: it is opened by its name, asked,
//! closed and opened again.

use super::lower::{self, ANSWER, KEEP};
use super::requester::{ask, contents, create, delete, descriptor};
use super::target::send;
use crate::abi::{
    SendFlags, WDF_IO_TARGET_OPEN_PARAMS, WDFIOTARGET, WDFOBJECT, WdfIoTargetClosed,
    WdfIoTargetClosedForQueryRemove, WdfIoTargetOpenByName, WdfIoTargetOpenReopen,
    WdfIoTargetOpenUseExistingDevice, WdfIoTargetStarted,
};
use crate::kernel::ulong;
use crate::tests::callbacks::{driver, wdf};
use crate::tests::harness::{ATTRIBUTES, note, noted, null, turn, wide};
use crate::tests::support::{child, create_device};
use nt_abi::{
    _DEVICE_REGISTRY_PROPERTY, NTSTATUS, STATUS_BUFFER_TOO_SMALL, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS, UNICODE_STRING,
};
use nthost::Kernel;
use std::string::String;
use std::vec::Vec;

/// `WDF_IO_TARGET_OPEN_PARAMS_INIT_OPEN_BY_NAME`.
fn by_name(name: UNICODE_STRING) -> WDF_IO_TARGET_OPEN_PARAMS {
    WDF_IO_TARGET_OPEN_PARAMS {
        Size: ulong(size_of::<WDF_IO_TARGET_OPEN_PARAMS>()),
        Type: WdfIoTargetOpenByName,
        EvtIoTargetQueryRemove: None,
        EvtIoTargetRemoveCanceled: None,
        EvtIoTargetRemoveComplete: None,
        TargetDeviceObject: null(),
        TargetFileObject: null(),
        TargetDeviceName: name,
        DesiredAccess: 0xC000_0000,
        ShareAccess: 0,
        FileAttributes: 0x80,
        CreateDisposition: 1,
        CreateOptions: 0x40,
        EaBuffer: null(),
        EaBufferLength: 0,
        AllocationSize: null(),
        FileInformation: 0xEE,
        FileName: UNICODE_STRING::default(),
    }
}

fn open(target: WDFIOTARGET, parameters: &mut WDF_IO_TARGET_OPEN_PARAMS) -> NTSTATUS {
    wdf!(io_target::WdfIoTargetOpen(target, parameters))
}

fn open_name(target: WDFIOTARGET, name: &str) -> (NTSTATUS, u32) {
    let (_characters, name) = wide(name);
    let mut parameters = by_name(name);
    (open(target, &mut parameters), parameters.FileInformation)
}

/// Opens a target in another way.
fn open_as(target: WDFIOTARGET, kind: i32, device: WDFIOTARGET) -> NTSTATUS {
    let mut parameters = by_name(UNICODE_STRING::default());
    parameters.Type = kind;
    if device != WDFOBJECT::NULL {
        parameters.TargetDeviceObject =
            wdf!(io_target::WdfIoTargetWdmGetTargetDeviceObject(device));
    }
    open(target, &mut parameters)
}

fn state(target: WDFIOTARGET) -> i32 {
    wdf!(io_target::WdfIoTargetGetState(target))
}

fn close(target: WDFIOTARGET) {
    wdf!(io_target::WdfIoTargetClose(target));
}

/// A new target of the test's device.
fn remote() -> WDFIOTARGET {
    let mut target = WDFOBJECT::NULL;
    let device = child().ParentObject;
    let status = wdf!(io_target::WdfIoTargetCreate(
        device,
        null(),
        &raw mut target
    ));
    assert_eq!(status, STATUS_SUCCESS);
    target
}

/// Has a driver do `work` with a target, and the name of another driver's device.
fn with_other_stack(work: fn(WDFIOTARGET, &str)) -> Vec<String> {
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: Both are drivers.
    let other = unsafe { kernel.load_in_process("lower", lower::entry) }.expect("DriverEntry");
    let theirs = other.add_device().expect("a device");
    // SAFETY: As above.
    let driver = unsafe { kernel.load_in_process("remote", driver!(create_device)) };
    let driver = driver.expect("DriverEntry");
    let device = driver.add_device().expect("a device");
    let names = other.open_names();
    kernel
        .run(|| work(remote(), &names[0]))
        .expect("no bug check");
    device.remove().expect("remove");
    driver.unload().expect("unload");
    theirs.remove().expect("nobody has it open");
    other.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    noted()
}

#[test]
fn a_device_is_opened_by_its_name_and_closed_and_opened_again() {
    with_other_stack(|target, name| {
        let none = WDFOBJECT::NULL;
        let file = || wdf!(io_target::WdfIoTargetWdmGetTargetFileObject(target));
        let handle = || wdf!(io_target::WdfIoTargetWdmGetTargetFileHandle(target));
        assert_eq!(state(target), WdfIoTargetClosed);
        assert_eq!(ask(target, none, ANSWER).0, STATUS_INVALID_DEVICE_STATE);
        assert_eq!(
            wdf!(io_target::WdfIoTargetStart(target)),
            STATUS_INVALID_DEVICE_STATE
        );
        assert!(file().is_null() && handle().is_null());
        assert_eq!(
            open_name(target, name),
            (STATUS_SUCCESS, 0),
            "what the driver says"
        );
        assert_eq!(state(target), WdfIoTargetStarted);
        assert!(!file().is_null() && !handle().is_null());
        assert_eq!(ask(target, none, ANSWER), (STATUS_SUCCESS, 4, [1, 2, 3, 4]));
        assert_eq!(
            open_name(target, name).0,
            STATUS_INVALID_DEVICE_STATE,
            "it is open"
        );
        wdf!(io_target::WdfIoTargetCloseForQueryRemove(target));
        assert_eq!(state(target), WdfIoTargetClosedForQueryRemove);
        assert!(file().is_null() && handle().is_null());
        assert_eq!(ask(target, none, ANSWER).0, STATUS_INVALID_DEVICE_STATE);
        assert_eq!(open_as(target, WdfIoTargetOpenReopen, none), STATUS_SUCCESS);
        assert_eq!(ask(target, none, ANSWER).0, STATUS_SUCCESS);
        // A device object in the place of a name; nothing is left of the name then.
        let same = remote();
        assert_eq!(
            open_as(same, WdfIoTargetOpenUseExistingDevice, target),
            STATUS_SUCCESS
        );
        assert_eq!(ask(same, none, ANSWER).0, STATUS_SUCCESS);
        close(same);
        assert_eq!(
            open_as(same, WdfIoTargetOpenReopen, none),
            STATUS_INVALID_DEVICE_REQUEST
        );
        close(target);
        assert_eq!(state(target), WdfIoTargetClosed);
        // The deletion of its device closes the one that is open.
        assert_eq!(open_name(target, name).0, STATUS_SUCCESS);
    });
}

#[test]
fn what_cannot_be_opened_stays_closed() {
    with_other_stack(|target, name| {
        let none = WDFOBJECT::NULL;
        let missing = open_name(target, r"\Device\NoSuchDevice").0;
        assert_eq!(missing, STATUS_OBJECT_NAME_NOT_FOUND);
        assert_eq!(
            open_as(target, WdfIoTargetOpenUseExistingDevice, none),
            STATUS_INVALID_PARAMETER
        );
        assert_eq!(open_as(target, 4, none), STATUS_INVALID_PARAMETER);
        let mut parameters = by_name(UNICODE_STRING::default());
        parameters.Size -= 1;
        assert_eq!(open(target, &mut parameters), STATUS_INFO_LENGTH_MISMATCH);
        assert_eq!(state(target), WdfIoTargetClosed);
        assert_eq!(open_name(target, name).0, STATUS_SUCCESS);
        // A parent that does not belong to the device.
        // SAFETY: The globals are the driver's.
        let driver = unsafe { (*crate::tests::harness::globals()).Driver };
        let mut attributes = ATTRIBUTES;
        attributes.ParentObject = driver;
        let mut other = none;
        let status = wdf!(io_target::WdfIoTargetCreate(
            child().ParentObject,
            &raw mut attributes,
            &raw mut other
        ));
        assert_eq!(status, STATUS_INVALID_DEVICE_REQUEST);
        wdf!(object::WdfObjectDelete(target));
    });
}

#[test]
fn closing_brings_back_what_is_out() {
    let log = with_other_stack(|target, name| {
        assert_eq!(open_name(target, name).0, STATUS_SUCCESS);
        let request = create(target);
        assert!(send(
            target,
            request,
            KEEP,
            SendFlags::IGNORE_TARGET_STATE,
            0
        ));
        close(target);
        note("closed");
        let mut bytes = [0; 4];
        let given = descriptor(&mut bytes);
        let written = wdf!(request::WdfIoTargetSendWriteSynchronously(
            target,
            WDFOBJECT::NULL,
            &raw const given,
            null(),
            null(),
            null()
        ));
        assert_eq!(written, STATUS_INVALID_DEVICE_STATE);
        delete(request);
    });
    assert_eq!(log, ["back with c0000120", "closed"]);
}

/// What the PnP manager says of a target's device, and how long that is.
fn property(target: WDFIOTARGET, buffer: &mut [u16]) -> (NTSTATUS, u32) {
    let mut needed = 0;
    let status = wdf!(io_target::WdfIoTargetQueryTargetProperty(
        target,
        _DEVICE_REGISTRY_PROPERTY::DevicePropertyEnumeratorName,
        ulong(size_of_val(buffer)),
        buffer.as_mut_ptr().cast(),
        &raw mut needed
    ));
    (status, needed)
}

#[test]
fn what_is_known_of_the_device_is_known_while_the_target_is_open() {
    with_other_stack(|target, name| {
        let pdo = || wdf!(io_target::WdfIoTargetWdmGetTargetPhysicalDevice(target));
        let in_memory = |memory: &mut WDFOBJECT| {
            wdf!(io_target::WdfIoTargetAllocAndQueryTargetProperty(
                target,
                _DEVICE_REGISTRY_PROPERTY::DevicePropertyEnumeratorName,
                1,
                null(),
                &raw mut *memory
            ))
        };
        let (mut characters, mut memory) = ([0; 5], WDFOBJECT::NULL);
        let closed = [property(target, &mut characters).0, in_memory(&mut memory)];
        assert_eq!(closed, [STATUS_INVALID_DEVICE_REQUEST; 2]);
        assert!(pdo().is_null());
        assert_eq!(open_name(target, name).0, STATUS_SUCCESS);
        assert!(!pdo().is_null());
        let mut short = [0; 4];
        assert_eq!(property(target, &mut short), (STATUS_BUFFER_TOO_SMALL, 10));
        assert_eq!(property(target, &mut characters), (STATUS_SUCCESS, 10));
        assert!(characters.into_iter().eq("ROOT\0".encode_utf16()));
        assert_eq!(in_memory(&mut memory), STATUS_SUCCESS);
        let bytes: [u8; 10] = contents(memory);
        let expected = characters.map(u16::to_le_bytes);
        assert_eq!(bytes.as_slice(), expected.as_flattened());
        delete(memory);
        close(target);
        assert!(pdo().is_null());
    });
}
