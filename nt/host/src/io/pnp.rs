//! Plug and Play: a root bus whose devices come and go as the library says.
//!
//! The bus driver of this kernel is the `PnP` manager's own, as for root-enumerated devices on Windows.
//! Every device is at full power from its start on: no power IRP is sent.

use core::{
    iter::{once, successors},
    ptr,
};
use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use nt_abi::{
    DEVICE_RELATIONS, DO_DEVICE_INITIALIZING, FILE_DEVICE_SECURE_OPEN, IRP_MJ_PNP, IRP_MJ_POWER,
    IRP_MJ_SYSTEM_CONTROL, IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE,
    IRP_MN_QUERY_CAPABILITIES, IRP_MN_QUERY_DEVICE_RELATIONS, IRP_MN_QUERY_PNP_DEVICE_STATE,
    IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_QUERY_STOP_DEVICE, IRP_MN_REMOVE_DEVICE,
    IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE, IRP_MN_SURPRISE_REMOVAL, IoStackParameters,
    NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIRP, PNP_DEVICE_NOT_DISABLEABLE, PNP_DEVICE_STATE,
    POOL_FLAG_PAGED, PVOID, STATUS_DEVICE_BUSY, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_SUCH_DEVICE, STATUS_NOT_SUPPORTED,
    STATUS_PLUGPLAY_QUERY_VETOED, STATUS_SUCCESS, TargetDeviceRelation, ULONG,
};
use parking_lot::Mutex;

use super::{
    complete::IofCompleteRequest,
    device::{self, NewDevice, finish_deletion},
    device_state, driver, interface,
    irp::{Irp, Stack},
    object::{DeviceObject, DriverObject},
    request::{self, Outcome, SystemBuffer},
    resource::{InterruptResource, ResourceList},
    turn, violation,
};
use crate::{
    Rules, ex::pool::ddk::ExAllocatePool2, ob::ObfReferenceObject, thread::Thread, verifier,
};

const DO_BUS_ENUMERATED_DEVICE: ULONG = 0x1000;
const FILE_DEVICE_CONTROLLER: ULONG = 4;

/// What is known of a device of the root bus.
#[derive(Clone, Debug)]
pub struct Node {
    /// The physical device object.
    pub pdo: DeviceObject,
    /// `ROOT\DRIVER\0000`, which no other device ever has.
    pub instance_path: String,
    /// The driver that it was found for, and those that filter it.
    drivers: Vec<DriverObject>,
    /// Whether its stack was started and not removed.
    started: bool,
    /// Whether it is gone without having been asked, and its stack is still to be removed.
    surprised: bool,
    /// What its drivers said last of its state.
    state: PNP_DEVICE_STATE,
    /// Its hardware resources.
    interrupts: Vec<InterruptResource>,
}

static NODES: Mutex<Vec<Node>> = Mutex::new(Vec::new());

/// What is known of the device with this physical device object.
pub fn node(pdo: DeviceObject) -> Option<Node> {
    NODES.lock().iter().find(|node| node.pdo == pdo).cloned()
}

/// Whether a device may be opened: one of this bus must be started.
pub fn may_be_opened(device: DeviceObject) -> bool {
    NODES
        .lock()
        .iter()
        .find(|node| node.pdo == device)
        .is_none_or(|node| node.started)
}

/// Whether a driver has devices of this bus.
pub fn has_nodes(driver: DriverObject) -> bool {
    NODES
        .lock()
        .iter()
        .any(|node| node.drivers.contains(&driver))
}

fn set_started(pdo: DeviceObject, started: bool) {
    if let Some(node) = NODES.lock().iter_mut().find(|node| node.pdo == pdo) {
        node.started = started;
    }
}

/// What is known now of a device that is not gone.
fn present(device: &Node) -> Result<Node, NTSTATUS> {
    NODES
        .lock()
        .iter()
        .find(|node| node.instance_path == device.instance_path && !node.surprised)
        .cloned()
        .ok_or(STATUS_NO_SUCH_DEVICE)
}

/// Whether a device is there and started.
pub fn is_started(device: &Node) -> bool {
    present(device).is_ok_and(|node| node.started)
}

/// The first interrupt among the resources of the device with this physical device object.
pub fn interrupt_of(pdo: PDEVICE_OBJECT) -> Option<InterruptResource> {
    NODES
        .lock()
        .iter()
        .find(|node| node.pdo.as_ptr() == pdo)
        .and_then(|node| node.interrupts.first().copied())
}

/// What the drivers of a device that is there said last of its state.
///
/// # Errors
///
/// `STATUS_NO_SUCH_DEVICE`.
pub fn state(device: &Node) -> Result<PNP_DEVICE_STATE, NTSTATUS> {
    present(device).map(|node| node.state)
}

/// Keeps what the drivers of a device say of its state.
pub fn set_state(device: &Node, state: PNP_DEVICE_STATE) {
    if let Some(node) = NODES.lock().iter_mut().find(|node| node.pdo == device.pdo) {
        node.state = state;
    }
}

static BUS: LazyLock<DriverObject> = LazyLock::new(|| {
    let bus = driver::create("PnpManager", None, 0, 0);
    let mut majors = bus.majors();
    majors[IRP_MJ_PNP as usize] = Some(bus_pnp);
    majors[IRP_MJ_POWER as usize] = Some(bus_power);
    majors[IRP_MJ_SYSTEM_CONTROL as usize] = Some(bus_system_control);
    bus.set_majors(majors);
    bus
});

/// Finds a device for a driver: makes its PDO, lets the driver and then its upper filters, from the lowest
/// on, add their own, starts the stack and asks for its state, which may be the end of it.
///
/// # Errors
///
/// `STATUS_INVALID_DEVICE_REQUEST` if a driver has no `AddDevice`; what an `AddDevice` or the start said.
pub fn add(
    thread: &Thread,
    driver: DriverObject,
    filters: &[DriverObject],
    interrupts: &[InterruptResource],
) -> Result<Node, NTSTATUS> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let _turn = turn::take(thread);
    let drivers: Vec<_> = once(driver).chain(filters.iter().copied()).collect();
    if drivers
        .iter()
        .any(|each| each.add_device_routine().is_none())
    {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let new = NewDevice {
        extension_size: 0,
        name: Some(device::generated_name()),
        device_type: FILE_DEVICE_CONTROLLER,
        characteristics: FILE_DEVICE_SECURE_OPEN,
        exclusive: false,
    };
    let pdo = device::create(*BUS, &new)?;
    pdo.set_flags(pdo.flags() & !DO_DEVICE_INITIALIZING | DO_BUS_ENUMERATED_DEVICE);
    let instance_path = format!(
        r"ROOT\{}\{:04}",
        driver.kernel().name.to_uppercase(),
        number - 1
    );
    let node = Node {
        pdo,
        instance_path,
        drivers: drivers.clone(),
        started: false,
        surprised: false,
        state: 0,
        interrupts: interrupts.to_vec(),
    };
    NODES.lock().push(node.clone());
    let added = drivers.iter().try_for_each(|driver| add_to(*driver, pdo));
    if let Err(status) = added.and_then(|()| start_stack(thread, &node)) {
        if pdo.upper().is_some() {
            finish_removal(thread, pdo);
        } else {
            forget(pdo);
        }
        return Err(status);
    }
    device_state::query(thread, &node);
    Ok(node)
}

/// Lets a driver add its device to a stack.
fn add_to(driver: DriverObject, pdo: DeviceObject) -> Result<(), NTSTATUS> {
    let add_device = driver
        .add_device_routine()
        .ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    // SAFETY: The routine is the driver's `AddDevice`, for this driver object and a PDO.
    let status = unsafe { add_device(driver.as_ptr(), pdo.as_ptr()) };
    if NT_SUCCESS(status) {
        check_added(pdo);
        Ok(())
    } else {
        Err(status)
    }
}

/// Starts a device again after [`stop`].
///
/// # Errors
///
/// `STATUS_NO_SUCH_DEVICE` if it is gone; what the drivers said.
pub fn start(thread: &Thread, device: &Node) -> Result<(), NTSTATUS> {
    let _turn = turn::take(thread);
    present(device)?;
    start_stack(thread, device)
}

fn start_stack(thread: &Thread, device: &Node) -> Result<(), NTSTATUS> {
    let mut resources =
        (!device.interrupts.is_empty()).then(|| ResourceList::new(&device.interrupts));
    let resources = resources
        .as_mut()
        .map_or(ptr::null_mut(), ResourceList::address);
    // Raw and translated are the same on this machine.
    let parameters = [resources, resources, ptr::null_mut(), ptr::null_mut()];
    let status = send_with(thread, device.pdo, IRP_MN_START_DEVICE, parameters).status;
    if NT_SUCCESS(status) {
        set_started(device.pdo, true);
        Ok(())
    } else {
        Err(status)
    }
}

/// Stops a device, as the `PnP` manager does to hand out resources anew. Files stay open on it.
///
/// # Errors
///
/// `STATUS_NO_SUCH_DEVICE` if it is gone; what a driver said that does not want to.
pub fn stop(thread: &Thread, device: &Node) -> Result<(), NTSTATUS> {
    let _turn = turn::take(thread);
    let pdo = present(device)?.pdo;
    let status = send(thread, pdo, IRP_MN_QUERY_STOP_DEVICE).status;
    if NT_SUCCESS(status) {
        send(thread, pdo, IRP_MN_STOP_DEVICE);
        Ok(())
    } else {
        send(thread, pdo, IRP_MN_CANCEL_STOP_DEVICE);
        Err(status)
    }
}

/// What `AddDevice` must have done.
fn check_added(pdo: DeviceObject) {
    let name = "AddDevice";
    let top = pdo.top();
    if top == pdo || !verifier::checks(Rules::IO) {
        return;
    }
    if top.flags() & DO_DEVICE_INITIALIZING != 0 {
        let sentence = "The driver did not clear DO_DEVICE_INITIALIZING at the end of AddDevice.";
        violation::raise(0x243, None, Some(top), name, sentence);
    }
}

/// Removes a device that the user asks to remove: the drivers may refuse.
///
/// # Errors
///
/// `STATUS_NO_SUCH_DEVICE` if it is gone, `STATUS_PLUGPLAY_QUERY_VETOED` if its drivers said that it cannot
/// be disabled, `STATUS_DEVICE_BUSY` while a file is open on the stack; what the driver said.
pub fn remove(thread: &Thread, device: &Node) -> Result<(), NTSTATUS> {
    let _turn = turn::take(thread);
    let Node { pdo, state, .. } = present(device)?;
    if state & PNP_DEVICE_NOT_DISABLEABLE != 0 {
        return Err(STATUS_PLUGPLAY_QUERY_VETOED);
    }
    let status = if is_open(pdo) {
        STATUS_DEVICE_BUSY
    } else {
        send(thread, pdo, IRP_MN_QUERY_REMOVE_DEVICE).status
    };
    if NT_SUCCESS(status) {
        finish_removal(thread, pdo);
        return Ok(());
    }
    if status != STATUS_DEVICE_BUSY {
        send(thread, pdo, IRP_MN_CANCEL_REMOVE_DEVICE);
    }
    Err(status)
}

/// Tells the drivers that the device is gone. The remove IRP follows when no file is open on the
/// stack: at once, or with the last [`closed`].
///
/// # Errors
///
/// `STATUS_NO_SUCH_DEVICE` if it is gone already.
pub fn surprise_remove(thread: &Thread, device: &Node) -> Result<(), NTSTATUS> {
    let _turn = turn::take(thread);
    let pdo = present(device)?.pdo;
    set_started(pdo, false);
    send(thread, pdo, IRP_MN_SURPRISE_REMOVAL);
    if let Some(node) = NODES.lock().iter_mut().find(|node| node.pdo == pdo) {
        node.surprised = true;
    }
    remove_surprised(thread, pdo);
    Ok(())
}

/// A file on `device` was closed.
pub fn closed(thread: &Thread, device: DeviceObject) {
    let surprised: Vec<_> = NODES
        .lock()
        .iter()
        .filter(|node| node.surprised)
        .map(|node| node.pdo)
        .collect();
    for pdo in surprised {
        if successors(Some(pdo), |each| each.upper()).any(|each| each == device) {
            remove_surprised(thread, pdo);
        }
    }
}

/// Removes the stack of a device that is gone, if no file is open on it, once.
fn remove_surprised(thread: &Thread, pdo: DeviceObject) {
    let _turn = turn::take(thread);
    if is_open(pdo) {
        return;
    }
    let due = NODES
        .lock()
        .iter_mut()
        .find(|node| node.pdo == pdo)
        .is_some_and(|node| core::mem::take(&mut node.surprised));
    if due {
        finish_removal(thread, pdo);
    }
}

/// Whether a file is open on some device of the stack.
pub fn is_open(pdo: DeviceObject) -> bool {
    let mut device = Some(pdo);
    while let Some(current) = device {
        if current.kernel().state.lock().opens != 0 {
            return true;
        }
        device = current.upper();
    }
    false
}

/// Sends the remove IRP and sees that the stack is gone.
fn finish_removal(thread: &Thread, pdo: DeviceObject) {
    set_started(pdo, false);
    send(thread, pdo, IRP_MN_REMOVE_DEVICE);
    if let Some(upper) = pdo.upper().filter(|_| verifier::checks(Rules::IO)) {
        let sentence = "The driver did not detach its device upon the remove IRP.";
        violation::raise(0x21D, None, Some(upper), "IRP_MN_REMOVE_DEVICE", sentence);
    }
    forget(pdo);
}

/// Takes a PDO away.
fn forget(pdo: DeviceObject) {
    interface::forget(pdo);
    NODES.lock().retain(|node| node.pdo != pdo);
    if let Some(name) = &pdo.kernel().name {
        super::namespace::remove_device(name);
    }
    pdo.kernel().state.lock().deleted = true;
    finish_deletion(pdo);
}

/// Sends a Plug and Play IRP without parameters to the top of a stack.
pub fn send(thread: &Thread, pdo: DeviceObject, minor: u32) -> Outcome {
    send_with(thread, pdo, minor, [ptr::null_mut(); 4])
}

fn send_with(thread: &Thread, pdo: DeviceObject, minor: u32, parameters: [PVOID; 4]) -> Outcome {
    let (_, outcome) = request::send(
        thread,
        pdo,
        None,
        SystemBuffer::new(0, &[]),
        |irp, stack| {
            irp.set_status(STATUS_NOT_SUPPORTED);
            stack.set_major(IRP_MJ_PNP as u8);
            stack.set_minor(minor as u8);
            stack.set_parameters(IoStackParameters { Others: parameters });
        },
    );
    outcome
}

/// Completes an IRP of the bus, with a status or as it stands.
fn complete(irp: PIRP, answer: impl FnOnce(Irp, Stack) -> Option<NTSTATUS>) -> NTSTATUS {
    // SAFETY: The I/O manager passes an IRP that is alive, with a stack location for this driver.
    let Some(irp) = (unsafe { Irp::new(irp) }) else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    if let Some(status) = irp.stack().and_then(|stack| answer(irp, stack)) {
        irp.set_status(status);
    }
    let status = irp.status();
    // SAFETY: This driver owns the IRP, and gives it up here.
    unsafe { IofCompleteRequest(irp.as_ptr(), 0) };
    status
}

/// Names the physical device of its stack to who asks for that relation; the others are as they stand.
fn relations(device: PDEVICE_OBJECT, irp: Irp, stack: Stack) -> Option<NTSTATUS> {
    const TAG: ULONG = u32::from_le_bytes(*b"Pnp ");
    let size = size_of::<DEVICE_RELATIONS>() as u64;
    // SAFETY: Every member of the union is words.
    let kind = unsafe { stack.parameters().Others[0] };
    if kind.addr() != TargetDeviceRelation {
        return None;
    }
    // SAFETY: The function has no other contract than every call into the kernel.
    let place = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, size, TAG) };
    if place.is_null() {
        return Some(STATUS_INSUFFICIENT_RESOURCES);
    }
    // SAFETY: It is a device of this bus, alive.
    unsafe { ObfReferenceObject(device.cast()) };
    let relations = DEVICE_RELATIONS {
        Count: 1,
        Objects: [device],
    };
    // SAFETY: The block has that size, and the alignment of pool.
    unsafe { place.cast::<DEVICE_RELATIONS>().write(relations) };
    irp.set_information(place as u64);
    Some(STATUS_SUCCESS)
}

unsafe extern "win64" fn bus_pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, |irp, stack| {
        if u32::from(stack.minor()) == IRP_MN_QUERY_DEVICE_RELATIONS {
            return relations(device, irp, stack);
        }
        let known = [
            IRP_MN_START_DEVICE,
            IRP_MN_QUERY_REMOVE_DEVICE,
            IRP_MN_REMOVE_DEVICE,
            IRP_MN_CANCEL_REMOVE_DEVICE,
            IRP_MN_STOP_DEVICE,
            IRP_MN_QUERY_STOP_DEVICE,
            IRP_MN_CANCEL_STOP_DEVICE,
            IRP_MN_SURPRISE_REMOVAL,
            IRP_MN_QUERY_PNP_DEVICE_STATE,
            IRP_MN_QUERY_CAPABILITIES,
        ];
        known
            .contains(&u32::from(stack.minor()))
            .then_some(STATUS_SUCCESS)
    })
}

unsafe extern "win64" fn bus_power(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, |_, _| Some(STATUS_SUCCESS))
}

unsafe extern "win64" fn bus_system_control(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, |_, _| None)
}
