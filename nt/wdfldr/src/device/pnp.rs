//! Plug and play: how a functional device starts, stops and goes.
//!
//! The order of events is that of "PnP and Power Management Scenarios in WDF Drivers": hardware, D0,
//! power-managed queues, self-managed I/O, interfaces; and backwards on the way down.

use super::{Device, pnp_state, power, query_interface};
use crate::abi::{
    DeviceEvent, DeviceQuery, WDFCMRESLIST, WDFOBJECT, WdfPowerDeviceD3Final,
    WdfRequestStopActionPurge,
};
use crate::interrupt;
use crate::kernel::{Irp, Outcome, check};
use crate::object::{self, Typed};
use crate::resources;
use core::sync::atomic::Ordering;
use nt_abi::{
    IO_STACK_LOCATION, IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE,
    IRP_MN_QUERY_INTERFACE, IRP_MN_QUERY_PNP_DEVICE_STATE, IRP_MN_QUERY_REMOVE_DEVICE,
    IRP_MN_QUERY_STOP_DEVICE, IRP_MN_REMOVE_DEVICE, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE,
    IRP_MN_SURPRISE_REMOVAL, NTSTATUS, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS,
};

/// Where a functional device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PnpState {
    Created,
    Started,
    Stopped,
    SurpriseRemoved,
    /// A start failed; what had begun was undone.
    Failed,
    Removed,
}

/// `IRP_MJ_PNP`. IRQL `PASSIVE_LEVEL`.
pub fn dispatch(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    let lower = device.lower();
    match u32::from(location.MinorFunction) {
        IRP_MN_START_DEVICE => {
            // SAFETY: The dispatch routine owns the IRP, and `lower` is attached below.
            let status = unsafe { irp.forward_and_wait(lower) };
            let outcome = check(status).and_then(|()| start(device, location));
            let status = outcome.map_or_else(|status| status, |()| STATUS_SUCCESS);
            // SAFETY: `forward_and_wait` gave the IRP back.
            unsafe { irp.complete(status) }
        }
        IRP_MN_QUERY_REMOVE_DEVICE => query(device, irp, device.pnp_events.EvtDeviceQueryRemove),
        IRP_MN_QUERY_STOP_DEVICE => query(device, irp, device.pnp_events.EvtDeviceQueryStop),
        IRP_MN_STOP_DEVICE => {
            power_down(device, PnpState::Stopped);
            release_hardware(device);
            pass_success(device, irp)
        }
        IRP_MN_CANCEL_REMOVE_DEVICE | IRP_MN_CANCEL_STOP_DEVICE => {
            device.idle.ask(device.object(), false);
            pass_success(device, irp)
        }
        IRP_MN_SURPRISE_REMOVAL => {
            notify(device, device.pnp_events.EvtDeviceSurpriseRemoval);
            withdraw(device, PnpState::SurpriseRemoved);
            pass_success(device, irp)
        }
        IRP_MN_REMOVE_DEVICE => remove(device, irp),
        IRP_MN_QUERY_PNP_DEVICE_STATE => pnp_state::query(device, irp),
        IRP_MN_QUERY_INTERFACE => query_interface::answer(device, irp, location),
        // SAFETY: The dispatch routine owns the IRP, and `lower` is attached below.
        _ => unsafe { irp.forward(lower) },
    }
}

/// Passes a PnP IRP down with success, as function drivers do with what they handled.
fn pass_success(device: &Device, irp: Irp) -> NTSTATUS {
    // SAFETY: The dispatch routine owns the IRP.
    unsafe { irp.set_status(STATUS_SUCCESS) };
    // SAFETY: As above, and `lower` is attached below.
    unsafe { irp.forward(device.lower()) }
}

/// Asks the client, whose device is in D0 then, and lets the lower drivers decide too if it agrees.
fn query(device: &Typed<Device>, irp: Irp, event: DeviceQuery) -> NTSTATUS {
    device.idle.ask(device.object(), true);
    let answer = if device.stoppable.load(Ordering::Relaxed) {
        ask(device, event)
    } else {
        Err(STATUS_INVALID_DEVICE_STATE)
    };
    match answer {
        Ok(()) => pass_success(device, irp),
        // SAFETY: The dispatch routine owns the IRP.
        Err(status) => unsafe { irp.complete(status) },
    }
}

/// Calls an event that may refuse.
///
/// # Errors
/// What the client said.
pub fn ask(device: &Typed<Device>, event: DeviceQuery) -> Outcome {
    event.map_or(Ok(()), |event| {
        // SAFETY: The client registered the event for its device; PnP runs at `PASSIVE_LEVEL`.
        check(unsafe { event(device.handle()) })
    })
}

fn notify(device: &Typed<Device>, event: DeviceEvent) {
    if let Some(event) = event {
        // SAFETY: As in `ask`.
        unsafe { event(device.handle()) };
    }
}

/// Brings a device up. What fails is undone.
fn start(device: &Typed<Device>, location: &IO_STACK_LOCATION) -> Outcome {
    let first = device.state.with(|state| *state == PnpState::Created);
    let undone = |status| {
        device.state.with(|state| *state = PnpState::Failed);
        status
    };
    prepare_hardware(device, location).map_err(undone)?;
    if let Err(status) = power_up(device, first) {
        release_hardware(device);
        return Err(undone(status));
    }
    if let Err(status) = device.enable_interfaces() {
        device.disable_interfaces();
        power_down(device, PnpState::Failed);
        release_hardware(device);
        return Err(status);
    }
    device.idle.settled();
    Ok(())
}

fn prepare_hardware(device: &Typed<Device>, location: &IO_STACK_LOCATION) -> Outcome {
    // SAFETY: Every member of the union is words; a start request has the raw and the translated
    // resources in the first two.
    let [raw, translated, ..] = unsafe { location.Parameters.Others };
    // SAFETY: They live through the request.
    interrupt::assign(device, unsafe { resources::descriptors(translated) });
    let Some(event) = device.pnp_events.EvtDevicePrepareHardware else {
        return Ok(());
    };
    let raw = resources::create(device, raw)?;
    let translated = resources::create(device, translated)?;
    device.preparing_hardware.store(true, Ordering::Relaxed);
    // SAFETY: The client registered the event for its device; PnP runs at `PASSIVE_LEVEL`.
    let status = unsafe { event(device.handle(), raw.handle(), translated.handle()) };
    device.preparing_hardware.store(false, Ordering::Relaxed);
    object::delete(&raw);
    object::delete(&translated);
    check(status)
}

fn release_hardware(device: &Typed<Device>) {
    if let Some(event) = device.pnp_events.EvtDeviceReleaseHardware {
        let list = resources::create(device, core::ptr::null_mut());
        let handle: WDFCMRESLIST = list.as_ref().map_or(WDFOBJECT::NULL, |list| list.handle());
        // SAFETY: The client registered the event for its device; PnP runs at `PASSIVE_LEVEL`.
        unsafe { event(device.handle(), handle) };
        if let Ok(list) = list {
            object::delete(&list);
        }
    }
    interrupt::release(device);
}

/// Into D0: the device, its queues, its self-managed I/O.
fn power_up(device: &Typed<Device>, first: bool) -> Outcome {
    let events = &device.pnp_events;
    device.idle.start();
    if let Err(status) = power::enter_d0(device, WdfPowerDeviceD3Final) {
        device.idle.stop();
        return Err(status);
    }
    device.state.with(|state| *state = PnpState::Started);
    let self_managed = if first {
        events.EvtDeviceSelfManagedIoInit
    } else {
        events.EvtDeviceSelfManagedIoRestart
    };
    power::resume(device, self_managed).inspect_err(|_| power_down(device, PnpState::Failed))
}

/// Out of D0, if the device is in it.
fn power_down(device: &Typed<Device>, next: PnpState) {
    let in_d0 = device.idle.stop();
    let was_up = device.state.with(|state| core::mem::replace(state, next)) == PnpState::Started;
    if was_up && in_d0 {
        // A failure to suspend or to leave D0 stops nobody: the device goes down either way.
        let _ = power::leave_d0(device, WdfPowerDeviceD3Final);
    }
}

/// Out of D0, and without hardware.
fn take_down(device: &Typed<Device>, next: PnpState) {
    let before = device.state.with(|state| *state);
    let had_hardware = before == PnpState::Started;
    power_down(device, next);
    if had_hardware {
        release_hardware(device);
    }
}

/// What removal and surprise removal have in common: the device leaves D0 and loses its hardware, then
/// nobody finds it any more, and its power-managed queues lose their requests.
fn withdraw(device: &Typed<Device>, next: PnpState) {
    let started_once = device.state.with(|state| *state != PnpState::Created);
    take_down(device, next);
    device.disable_interfaces();
    device.each_queue(|queue| queue.purge_power_managed(WdfRequestStopActionPurge));
    if started_once {
        notify(device, device.pnp_events.EvtDeviceSelfManagedIoFlush);
    }
}

/// `IRP_MN_REMOVE_DEVICE`: the end of the device. Its queues without power management lose their requests
/// only now, and what the client has below it is cleaned up before the drivers below hear of the removal.
fn remove(device: &Typed<Device>, irp: Irp) -> NTSTATUS {
    let events = device.pnp_events;
    let before = device.state.with(|state| *state);
    let started_once = before != PnpState::Created;
    if before == PnpState::SurpriseRemoved {
        device.state.with(|state| *state = PnpState::Removed);
    } else {
        withdraw(device, PnpState::Removed);
    }
    device.each_queue(Typed::shut_down);
    if started_once {
        notify(device, events.EvtDeviceSelfManagedIoCleanup);
    }
    let disposed = object::dispose_early(device.object());
    let status = pass_success(device, irp);
    if disposed {
        object::end(device.object());
    }
    status
}
