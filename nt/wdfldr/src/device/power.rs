//! Into D0 and out of it: what the client hears, and what its power-managed queues do.
//!
//! The order is that of "A Device Enters a Low-Power State" and "A Device Returns to Its Working State".

use super::Device;
use super::pnp::ask;
use crate::abi::{DevicePower, DeviceQuery};
use crate::interrupt;
use crate::kernel::{Outcome, check};
use crate::object::Typed;

/// `WdfRequestStopActionSuspend`.
const SUSPEND: u32 = 1;

/// Calls an event for a change of power. `other` is the `WDF_POWER_DEVICE_STATE` on the other side of it.
fn tell(device: &Typed<Device>, event: DevicePower, other: i32) -> Outcome {
    event.map_or(Ok(()), |event| {
        // SAFETY: The client registered the event for its device; power changes at `PASSIVE_LEVEL`.
        check(unsafe { event(device.handle(), other) })
    })
}

/// The device gets power; before, it was in the state `previous`. IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// What the client said; the device has no power then.
pub fn enter_d0(device: &Typed<Device>, previous: i32) -> Outcome {
    let events = &device.pnp_events;
    tell(device, events.EvtDeviceD0Entry, previous)?;
    interrupt::enable(device)?;
    let enabled = events.EvtDeviceD0EntryPostInterruptsEnabled;
    tell(device, enabled, previous).inspect_err(|_| {
        // What the client says now changes nothing: the device goes down.
        let _ = interrupt::disable(device);
    })
}

/// The device has power: its queues dispatch, and its self-managed I/O goes on, of which `event` tells the
/// client. IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// What the client said.
pub fn resume(device: &Typed<Device>, event: DeviceQuery) -> Outcome {
    device.each_queue(Typed::power_on);
    ask(device, event)
}

/// The device loses its power, and is in the state `target` next. IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// What the client said first that was none of success: the device goes down either way.
pub fn leave_d0(device: &Typed<Device>, target: i32) -> Outcome {
    let events = &device.pnp_events;
    let suspended = ask(device, events.EvtDeviceSelfManagedIoSuspend);
    device.each_queue(|queue| queue.hold(SUSPEND));
    let early = tell(device, events.EvtDeviceD0ExitPreInterruptsDisabled, target);
    let disabled = interrupt::disable(device);
    let left = tell(device, events.EvtDeviceD0Exit, target);
    suspended.and(early).and(disabled).and(left)
}
