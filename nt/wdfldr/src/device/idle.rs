//! Idle power-down: a device that has nothing to do leaves D0 while the system goes on working, and comes
//! back when it has.
//!
//! What keeps it in D0 are references: of the client (`WdfDeviceStopIdle`) and of each power-managed queue that
//! has a request. Without any, a timer runs; when it has run out, a worker thread takes the device down. The
//! drivers above and below are not told, for no power IRP is sent: the bus here has no power to save. Sources:
//! "Supporting Idle Power-Down", the pages of the functions, and the public source for statuses.

use super::{Device, pnp_state, power};
use crate::abi::WDFOBJECT;
use crate::dpc::wait_for_dpcs;
use crate::kernel::{
    KeCancelTimer, KeInitializeDpc, KeInitializeTimerEx, KeSetTimerEx, Outcome, SpinLock,
};
use crate::object::{self, ObjectRef, Typed};
use crate::work_item::SystemWorkItem;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use nt_abi::{
    _TIMER_TYPE, DEVICE_OBJECT, KDPC, KTIMER, LARGE_INTEGER, NTSTATUS, PVOID,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING, STATUS_POWER_STATE_INVALID, STATUS_SUCCESS,
};

/// What the client wants of an idle device.
#[derive(Clone, Copy)]
pub struct Settings {
    pub enabled: bool,
    /// The `WDF_POWER_DEVICE_STATE` that it goes to.
    pub target: i32,
    pub timeout_milliseconds: u32,
    /// Whether the system decides on the time-out, which the client says once.
    pub system_managed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    D0,
    /// A worker thread is taking it up or down.
    Moving,
    /// In the state with this number.
    Dx(i32),
}

#[allow(clippy::struct_excessive_bools, reason = "they change independently")]
struct State {
    settings: Option<Settings>,
    /// How often the client stopped idling.
    stops: u32,
    /// The power-managed queues that have requests.
    busy_queues: u32,
    /// Whether the PnP manager has started the device.
    started: bool,
    /// Whether it has come up, so that it may become idle.
    settled: bool,
    /// The PnP manager asks whether the device may go, for which it is to be in D0.
    asked: bool,
    power: Power,
    /// The timer has run out and nothing happened since.
    expired: bool,
    /// A change of power has failed; the device is about to be removed.
    failed: bool,
}

impl State {
    const fn is_used(&self) -> bool {
        self.stops != 0 || self.busy_queues != 0 || self.asked
    }

    /// The settings, if the device may go down when it is idle.
    fn enabled(&self) -> Option<Settings> {
        self.settings.filter(|settings| settings.enabled)
    }

    fn is_idle(&self) -> bool {
        self.started && self.settled && !self.is_used() && self.power == Power::D0
    }

    /// Begins the next change of power, if one is due.
    fn next(&mut self) -> Option<Change> {
        if !self.started || self.failed {
            return None;
        }
        match self.power {
            Power::D0 if self.expired && self.is_idle() => {
                let settings = self.enabled()?;
                self.power = Power::Moving;
                Some(Change::Down(settings.target))
            }
            Power::Dx(from) if self.is_used() || self.enabled().is_none() => {
                self.power = Power::Moving;
                Some(Change::Up(from))
            }
            _ => None,
        }
    }
}

enum Change {
    Down(i32),
    Up(i32),
}

/// The idle machine of a device. It does not move once it is ready, for the kernel links its timer and DPC.
pub struct Idle {
    timer: UnsafeCell<KTIMER>,
    expiry: UnsafeCell<KDPC>,
    state: SpinLock<State>,
    worker: SystemWorkItem,
    /// The device's.
    handle: AtomicUsize,
}

// SAFETY: The kernel objects are only passed to the kernel's functions.
unsafe impl Sync for Idle {}
// SAFETY: As above.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for Idle {}

impl Idle {
    /// For a new device, which is not started.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(device: *mut DEVICE_OBJECT) -> Outcome<Self> {
        Ok(Self {
            timer: UnsafeCell::new(KTIMER::default()),
            expiry: UnsafeCell::new(KDPC::default()),
            state: SpinLock::new(State {
                settings: None,
                stops: 0,
                busy_queues: 0,
                started: false,
                settled: false,
                asked: false,
                power: Power::D0,
                expired: false,
                failed: false,
            }),
            worker: SystemWorkItem::new(device)?,
            handle: AtomicUsize::new(0),
        })
    }

    /// Makes it ready where it lies, for the device with this handle.
    pub fn init(&self, device: WDFOBJECT) {
        self.handle.store(device.0, Ordering::Release);
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: The DPC is at its final address, and not queued.
        unsafe { KeInitializeDpc(self.expiry.get(), Some(expired), context) };
        // SAFETY: The timer is at its final address, and not set.
        unsafe { KeInitializeTimerEx(self.timer.get(), _TIMER_TYPE::NotificationTimer) };
    }

    fn cancel_timer(&self) {
        // SAFETY: The timer was initialised with the device.
        unsafe { KeCancelTimer(self.timer.get()) };
    }

    /// Lets the time run anew, if the device is idle and may go down.
    fn restart_timer(&self, state: &mut State) {
        state.expired = false;
        self.cancel_timer();
        if let (Some(settings), true) = (state.enabled(), state.is_idle()) {
            let due = LARGE_INTEGER {
                QuadPart: -10_000 * i64::from(settings.timeout_milliseconds),
            };
            // SAFETY: Timer and DPC were initialised with the device.
            unsafe { KeSetTimerEx(self.timer.get(), due, 0, self.expiry.get()) };
        }
    }

    /// What holds the device in D0, or lets it go, has changed. IRQL <= `DISPATCH_LEVEL`.
    fn changed(&self, state: &mut State, device: &ObjectRef) {
        self.restart_timer(state);
        let due = state.is_used() || state.enabled().is_none();
        if due && state.power != Power::D0 {
            self.worker.enqueue(settle, device.clone());
        }
    }

    /// Whether the device has the power that its queues need.
    pub fn is_in_d0(&self) -> bool {
        self.state.with(|state| state.power == Power::D0)
    }

    /// The device is about to enter D0 on behalf of the PnP manager.
    pub fn start(&self) {
        self.state.with(|state| {
            state.started = true;
            state.asked = false;
            state.failed = false;
            state.power = Power::D0;
        });
    }

    /// The device has come up: it may become idle from here on.
    pub fn settled(&self) {
        self.state.with(|state| {
            state.settled = true;
            self.restart_timer(state);
        });
    }

    /// The PnP manager takes over: the power stays as it is. Returns whether that is D0.
    /// IRQL `PASSIVE_LEVEL`.
    pub fn stop(&self) -> bool {
        self.state.with(|state| {
            state.started = false;
            state.settled = false;
            state.expired = false;
            self.cancel_timer();
        });
        wait_for_dpcs(&self.worker, WDFOBJECT(self.handle.load(Ordering::Acquire)));
        self.worker.flush();
        self.is_in_d0()
    }

    /// A power-managed queue has requests now, or has none any more. IRQL <= `DISPATCH_LEVEL`.
    pub fn queue_is_busy(&self, device: &ObjectRef, busy: bool) {
        self.state.with(|state| {
            state.busy_queues = if busy {
                state.busy_queues + 1
            } else {
                state.busy_queues - 1
            };
            self.changed(state, device);
        });
    }

    /// The PnP manager asks whether the device may go, or asks no more. The device is in D0 when this
    /// returns, unless that fails. IRQL `PASSIVE_LEVEL`.
    pub fn ask(&self, device: &ObjectRef, asked: bool) {
        self.state.with(|state| {
            state.asked = asked;
            self.changed(state, device);
        });
        if asked {
            self.worker.flush();
        }
    }

    /// `WdfDeviceAssignS0IdleSettings`. IRQL <= `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_REQUEST` for another kind of time-out than before.
    pub fn assign(&self, device: &ObjectRef, settings: Settings) -> Outcome {
        self.state.with(|state| {
            let differs = |before: Settings| before.system_managed != settings.system_managed;
            if state.settings.is_some_and(differs) {
                return Err(STATUS_INVALID_DEVICE_REQUEST);
            }
            state.settings = Some(settings);
            self.changed(state, device);
            Ok(())
        })
    }

    /// `WdfDeviceStopIdle`. IRQL <= `DISPATCH_LEVEL`; `PASSIVE_LEVEL` to wait.
    pub fn hold(&self, device: &ObjectRef, wait: bool) -> NTSTATUS {
        let status = self.state.with(|state| {
            if !state.started || state.failed {
                return STATUS_POWER_STATE_INVALID;
            }
            state.stops += 1;
            self.changed(state, device);
            if state.power == Power::D0 {
                STATUS_SUCCESS
            } else {
                STATUS_PENDING
            }
        });
        if wait && status == STATUS_PENDING {
            self.worker.flush();
            return self.state.with(|state| {
                if state.power == Power::D0 {
                    return STATUS_SUCCESS;
                }
                state.stops -= 1;
                STATUS_POWER_STATE_INVALID
            });
        }
        status
    }

    /// `WdfDeviceResumeIdle`; false if idling was not stopped. IRQL <= `DISPATCH_LEVEL`.
    pub fn let_go(&self, device: &ObjectRef) -> bool {
        self.state.with(|state| {
            let Some(stops) = state.stops.checked_sub(1) else {
                return false;
            };
            state.stops = stops;
            self.changed(state, device);
            true
        })
    }
}

/// The deferred routine of the timer.
unsafe extern "win64" fn expired(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is part of the device's body, which waits for its DPC before it goes.
    let idle = unsafe { &*context.cast::<Idle>() };
    let Some(device) = object::lookup_raw(WDFOBJECT(idle.handle.load(Ordering::Acquire))) else {
        return;
    };
    idle.state.with(|state| {
        if state.is_idle() {
            state.expired = true;
            idle.worker.enqueue(settle, device);
        }
    });
}

/// Takes the device up and down until its power is as it should be, on a worker thread.
fn settle(object: &ObjectRef) {
    let Some(device) = object.clone().typed::<Device>() else {
        return;
    };
    let idle = &device.idle;
    while let Some(change) = idle.state.with(State::next) {
        let outcome = match change {
            Change::Down(target) => go_down(&device, target),
            Change::Up(from) => come_up(&device, from),
        };
        if outcome.is_err() {
            idle.state.with(|state| state.failed = true);
            pnp_state::fail(&device);
        }
    }
}

fn go_down(device: &Typed<Device>, target: i32) -> Outcome {
    let outcome = power::leave_d0(device, target);
    device.idle.state.with(|state| {
        state.power = Power::Dx(target);
        state.expired = false;
    });
    outcome
}

fn come_up(device: &Typed<Device>, from: i32) -> Outcome {
    let entered = power::enter_d0(device, from);
    let power = entered.map_or(Power::Dx(from), |()| Power::D0);
    device.idle.state.with(|state| state.power = power);
    entered?;
    power::resume(device, device.pnp_events.EvtDeviceSelfManagedIoRestart)?;
    device
        .idle
        .state
        .with(|state| device.idle.restart_timer(state));
    Ok(())
}
