//! Device stacks: who is attached to whom.

use core::ptr;

use nt_abi::{
    DO_DEVICE_INITIALIZING, NTSTATUS, PDEVICE_OBJECT, PFILE_OBJECT, STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
};

use super::{
    device::{TOPOLOGY, finish_deletion},
    object::{DeviceObject, FileObject},
    rules::{Rule, dispatch_level, passive_level},
    violation,
};

/// Attaches `source` to the top of the stack of `target`, and returns what it is attached to; none if
/// that device is being initialised or deleted. `tell` is called before anybody finds `source` in the stack.
fn attach(
    source: DeviceObject,
    target: DeviceObject,
    tell: impl FnOnce(DeviceObject),
) -> Option<DeviceObject> {
    let _topology = TOPOLOGY.lock();
    let top = target.top();
    let deleted = top.kernel().state.lock().deleted;
    if top.flags() & DO_DEVICE_INITIALIZING != 0 || deleted {
        return None;
    }
    tell(top);
    source.set_stack_size(top.stack_size().saturating_add(1));
    source.set_alignment(top.alignment());
    source.set_sector_size(top.sector_size());
    source.kernel().state.lock().lower = Some(top);
    top.set_upper(source.as_ptr());
    Some(top)
}

/// Attaches a device to the top of a stack and returns the device below it, or null.
/// `<= DISPATCH_LEVEL`. DDI: `IoAttachDeviceToDeviceStack`.
///
/// # Safety
///
/// Both must be device objects.
pub unsafe extern "win64" fn IoAttachDeviceToDeviceStack(
    SourceDevice: PDEVICE_OBJECT,
    TargetDevice: PDEVICE_OBJECT,
) -> PDEVICE_OBJECT {
    dispatch_level("IoAttachDeviceToDeviceStack");
    // SAFETY: Valid by the contract of this function.
    let source = unsafe { DeviceObject::new(SourceDevice) };
    // SAFETY: As above.
    let target = unsafe { DeviceObject::new(TargetDevice) };
    let lower = source
        .zip(target)
        .and_then(|(source, target)| attach(source, target, |_| ()));
    lower.map_or(ptr::null_mut(), DeviceObject::as_ptr)
}

/// As [`IoAttachDeviceToDeviceStack`], with a place for the device below.
///
/// It is stored before the first IRP can arrive. `STATUS_NO_SUCH_DEVICE`, and nothing is stored, if there is none. DDI:
/// `IoAttachDeviceToDeviceStackSafe` (ntddk).
///
/// # Safety
///
/// Both must be device objects, `AttachedToDeviceObject` valid for a write.
pub unsafe extern "win64" fn IoAttachDeviceToDeviceStackSafe(
    SourceDevice: PDEVICE_OBJECT,
    TargetDevice: PDEVICE_OBJECT,
    AttachedToDeviceObject: *mut PDEVICE_OBJECT,
) -> NTSTATUS {
    dispatch_level("IoAttachDeviceToDeviceStackSafe");
    // SAFETY: Valid by the contract of this function.
    let source = unsafe { DeviceObject::new(SourceDevice) };
    // SAFETY: As above.
    let target = unsafe { DeviceObject::new(TargetDevice) };
    // SAFETY: As above: valid for a write.
    let tell = |lower: DeviceObject| unsafe { AttachedToDeviceObject.write(lower.as_ptr()) };
    let lower = source
        .zip(target)
        .and_then(|(source, target)| attach(source, target, tell));
    lower.map_or(STATUS_NO_SUCH_DEVICE, |_| STATUS_SUCCESS)
}

/// Detaches the device above a lower one. `PASSIVE_LEVEL`. DDI: `IoDetachDevice`.
///
/// Bug check 0xC9 (0x202) if nothing is attached to it.
///
/// # Safety
///
/// `TargetDevice` must be the lower device, which the attach function returned.
pub unsafe extern "win64" fn IoDetachDevice(TargetDevice: PDEVICE_OBJECT) {
    const NAME: &str = "IoDetachDevice";
    passive_level(Rule::IO_PASSIVE_3, NAME);
    // SAFETY: Valid by the contract of this function.
    let target = unsafe { DeviceObject::new(TargetDevice) };
    let topology = TOPOLOGY.lock();
    let pair = target.and_then(|target| Some((target, target.upper()?)));
    if let Some((target, upper)) = pair {
        target.set_upper(ptr::null_mut());
        upper.kernel().state.lock().lower = None;
    }
    drop(topology);
    match pair {
        Some((target, _)) => finish_deletion(target),
        None => violation::raise(
            0x202,
            None,
            target,
            NAME,
            "Nothing is attached to the device.",
        ),
    }
}

/// The topmost device of a stack. `<= DISPATCH_LEVEL`. DDI: `IoGetAttachedDevice` (ntifs).
///
/// # Safety
///
/// It must be a device object.
pub unsafe extern "win64" fn IoGetAttachedDevice(DeviceObject: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    dispatch_level("IoGetAttachedDevice");
    let _topology = TOPOLOGY.lock();
    // SAFETY: Valid by the contract of this function.
    let device = unsafe { super::object::DeviceObject::new(DeviceObject) };
    device.map_or(ptr::null_mut(), |device| device.top().as_ptr())
}

/// The topmost device of a stack, with a reference that the caller gives up. `<= DISPATCH_LEVEL`.
/// DDI: `IoGetAttachedDeviceReference`.
///
/// # Safety
///
/// It must be a device object.
pub unsafe extern "win64" fn IoGetAttachedDeviceReference(
    DeviceObject: PDEVICE_OBJECT,
) -> PDEVICE_OBJECT {
    dispatch_level("IoGetAttachedDeviceReference");
    let _topology = TOPOLOGY.lock();
    // SAFETY: Valid by the contract of this function.
    let device = unsafe { super::object::DeviceObject::new(DeviceObject) };
    device.map_or(ptr::null_mut(), |device| {
        let top = device.top();
        top.reference();
        top.as_ptr()
    })
}

/// The device that requests for a file go to. `<= DISPATCH_LEVEL`. DDI: `IoGetRelatedDeviceObject`.
///
/// # Safety
///
/// It must be a file object.
pub unsafe extern "win64" fn IoGetRelatedDeviceObject(FileObject: PFILE_OBJECT) -> PDEVICE_OBJECT {
    dispatch_level("IoGetRelatedDeviceObject");
    // SAFETY: Valid by the contract of this function.
    let file = unsafe { self::FileObject::new(FileObject) };
    let device = file.map_or(ptr::null_mut(), FileObject::device_pointer);
    // SAFETY: A file's device is alive.
    unsafe { IoGetAttachedDevice(device) }
}

crate::export::exports! {
    "ntoskrnl.exe";
    IoAttachDeviceToDeviceStack, IoAttachDeviceToDeviceStackSafe, IoDetachDevice,
    IoGetAttachedDevice, IoGetAttachedDeviceReference, IoGetRelatedDeviceObject,
}
