//! Whether a target takes requests, and those that it has: the rules of "Controlling a General I/O Target's
//! State" and of the framework's public source.

use super::IoTarget;
use crate::abi::{
    STATUS_WDF_DEVICE_REMOVED_NOT_SENT, WdfIoTargetClosed, WdfIoTargetClosedForQueryRemove,
    WdfIoTargetDeleted, WdfIoTargetPurged, WdfIoTargetStarted, WdfIoTargetStopped,
};
use crate::kernel::{Event, Outcome, Ptr};
use crate::object::Typed;
use crate::request::Request;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ffi::c_void;
use nt_abi::{
    IRP, PDEVICE_OBJECT, STATUS_CANCELLED, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_STATE,
};

/// A target's state and requests.
pub struct Flow {
    /// `WDF_IO_TARGET_STATE`.
    state: i32,
    /// Those that are out.
    sent: Vec<Typed<Request>>,
    /// Those that went out whatever the state is: nobody waits for them but a deletion.
    ignoring: Vec<Typed<Request>>,
    /// Those that wait for the start.
    pended: VecDeque<Typed<Request>>,
    /// The events of those who wait until nothing is out.
    idle: Vec<Ptr<c_void>>,
}

impl Flow {
    pub const fn new(state: i32) -> Self {
        Self {
            state,
            sent: Vec::new(),
            ignoring: Vec::new(),
            pended: VecDeque::new(),
            idle: Vec::new(),
        }
    }

    /// Whether it takes no request, whatever that says, until it is opened.
    const fn is_shut(&self) -> bool {
        matches!(
            self.state,
            WdfIoTargetDeleted | WdfIoTargetClosed | WdfIoTargetClosedForQueryRemove
        )
    }

    const fn is_idle(&self) -> bool {
        let all = self.is_shut();
        self.sent.is_empty() && (!all || self.ignoring.is_empty())
    }
}

/// Room for one more.
fn reserve(list: &mut Vec<Typed<Request>>, more: usize) -> Outcome {
    list.try_reserve(more)
        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)
}

impl IoTarget {
    /// `WDF_IO_TARGET_STATE`.
    pub fn state(&self) -> i32 {
        self.flow.with(|flow| flow.state)
    }

    /// Takes a request; returns whether it is to be sent at once. `begin` is called before anybody else can
    /// end it.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE` if the target takes none, `STATUS_CANCELLED` if it would wait and is
    /// cancelled already, `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn take(
        &self,
        request: &Typed<Request>,
        ignores_state: bool,
        begin: impl FnOnce(),
    ) -> Outcome<bool> {
        self.flow.with(|flow| {
            let goes = match flow.state {
                _ if flow.is_shut() => return Err(STATUS_INVALID_DEVICE_STATE),
                _ if ignores_state => {
                    reserve(&mut flow.ignoring, 1)?;
                    flow.ignoring.push(request.clone());
                    true
                }
                WdfIoTargetStarted => {
                    reserve(&mut flow.sent, 1)?;
                    flow.sent.push(request.clone());
                    true
                }
                WdfIoTargetStopped => {
                    // What waits here is moved there without asking for memory.
                    reserve(&mut flow.sent, flow.pended.len() + 1)?;
                    flow.pended
                        .try_reserve(1)
                        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
                    if !request.arm(canceled_in_target) {
                        return Err(STATUS_CANCELLED);
                    }
                    flow.pended.push_back(request.clone());
                    false
                }
                _ => return Err(STATUS_INVALID_DEVICE_STATE),
            };
            begin();
            Ok(goes)
        })
    }

    /// Forgets a request that is back; returns the events of those who waited for the last one.
    pub fn let_go(&self, request: &Typed<Request>) -> Vec<Ptr<c_void>> {
        let (gone, idle) = self.flow.with(|flow| {
            let mut gone = None;
            for list in [&mut flow.sent, &mut flow.ignoring] {
                let is_it = |each: &Typed<Request>| each.object().is(request.object());
                if let Some(place) = list.iter().position(is_it) {
                    gone = Some(list.swap_remove(place));
                }
            }
            let idle = if flow.is_idle() {
                core::mem::take(&mut flow.idle)
            } else {
                Vec::new()
            };
            (gone, idle)
        });
        drop(gone);
        idle
    }

    /// The next request that waits, if nobody cancels it, and which is out from here on if `sends`.
    fn next_pended(&self, sends: bool) -> Option<Typed<Request>> {
        self.flow.with(|flow| {
            loop {
                let request = flow.pended.pop_front()?;
                if request.disarm() {
                    if sends {
                        flow.sent.push(request.clone());
                    }
                    return Some(request);
                }
            }
        })
    }

    /// `WdfIoTargetStart`.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE` for one that is closed or deleted.
    pub fn start(&self) -> Outcome {
        self.flow.with(|flow| {
            if flow.is_shut() {
                return Err(STATUS_INVALID_DEVICE_STATE);
            }
            flow.state = WdfIoTargetStarted;
            Ok(())
        })?;
        while let Some(request) = self.next_pended(true) {
            request.go(self);
        }
        Ok(())
    }

    /// Changes the state, unless it is closed or deleted.
    fn become_state(&self, state: i32) {
        self.flow.with(|flow| {
            if !flow.is_shut() {
                flow.state = state;
            }
        });
    }

    /// Whether it waits for being opened.
    pub(super) fn is_closed(&self) -> bool {
        let state = self.state();
        matches!(state, WdfIoTargetClosed | WdfIoTargetClosedForQueryRemove)
    }

    /// It is open: requests go out.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE` if it was deleted meanwhile.
    pub(super) fn opened(&self) -> Outcome {
        self.flow.with(|flow| {
            if flow.state == WdfIoTargetDeleted {
                return Err(STATUS_INVALID_DEVICE_STATE);
            }
            flow.state = WdfIoTargetStarted;
            Ok(())
        })
    }

    /// `WdfIoTargetStop`.
    pub fn stop(&self, cancels: bool, waits: bool) {
        self.become_state(WdfIoTargetStopped);
        if cancels {
            self.cancel(false);
        }
        if waits {
            self.wait();
        }
    }

    /// `WdfIoTargetPurge`.
    pub fn purge(&self, waits: bool) {
        self.become_state(WdfIoTargetPurged);
        self.refuse_pended();
        self.cancel(false);
        if waits {
            self.wait();
        }
    }

    /// Every request comes back, and no other is taken. IRQL `PASSIVE_LEVEL` if there are any.
    pub(super) fn end_flow(&self, state: i32) {
        self.flow.with(|flow| {
            if flow.state != WdfIoTargetDeleted {
                flow.state = state;
            }
        });
        self.refuse_pended();
        self.cancel(true);
        if !self.flow.with(|flow| flow.is_idle()) {
            self.wait();
        }
    }

    fn refuse_pended(&self) {
        while let Some(request) = self.next_pended(false) {
            request.not_sent(STATUS_WDF_DEVICE_REMOVED_NOT_SENT);
        }
    }

    /// Cancels what is out now.
    fn cancel(&self, all: bool) {
        self.cancel_each(|flow| &flow.sent);
        if all {
            self.cancel_each(|flow| &flow.ignoring);
        }
    }

    /// Cancels what is in a list now, without a lock.
    fn cancel_each(&self, list: impl Fn(&Flow) -> &Vec<Typed<Request>>) {
        let mut index = 0;
        let at = |index| self.flow.with(|flow| list(flow).get(index).cloned());
        while let Some(request) = at(index) {
            request.cancel_sent();
            // One that is back has left its place to another.
            if at(index).is_some_and(|same| same.object().is(request.object())) {
                index += 1;
            }
        }
    }

    /// Waits until nothing is out. IRQL `PASSIVE_LEVEL`.
    fn wait(&self) {
        let done = Event::new();
        done.init();
        let waits = self.flow.with(|flow| {
            let waits = !flow.is_idle();
            if waits {
                flow.idle.push(Ptr(done.as_context()));
            }
            waits
        });
        if waits {
            done.wait();
        }
    }
}

/// The cancel routine of requests that wait for a start.
unsafe extern "win64" fn canceled_in_target(_: PDEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: `IoCancelIrp` calls this for an IRP that `arm` prepared, with the cancel lock held.
    let request = unsafe { Request::from_cancelled(Ptr(irp)) };
    if let Some(target) = request.target() {
        let waited = target.flow.with(|flow| {
            let is_it = |each: &Typed<Request>| each.object().is(request.object());
            let place = flow.pended.iter().position(is_it)?;
            flow.pended.remove(place)
        });
        drop(waited);
    }
    request.not_sent(STATUS_CANCELLED);
}
