//! Requests that wait, each for a notice. All of this happens under the queue's lock.

use core::array;

use wdk_sync::Status;
use wdk_sys::{DRIVER_CANCEL, PFILE_OBJECT, PIRP, STATUS_CANCELLED};
use wdm_shell::{Pended, Request};

/// So many can wait: the queue has its memory when the driver starts.
const CAPACITY: usize = 64;

/// Requests that were taken out of the queue. They are completed, or dropped and so cancelled, after
/// the lock is released.
pub type Taken = [Option<Request>; CAPACITY];

/// Who waits.
pub struct Waiting {
    request: Pended,
    /// A number that is compared, never a file that is used.
    file: usize,
    pub topic: u32,
    /// The tick at which it gives up.
    pub until: u64,
}

impl Waiting {
    /// Whether it was sent on this file.
    pub fn is_on(&self, file: PFILE_OBJECT) -> bool {
        self.file == file.addr()
    }
}

/// The requests that wait.
pub struct Queue([Option<Waiting>; CAPACITY]);

impl Queue {
    pub const fn new() -> Self {
        Self([const { None }; CAPACITY])
    }

    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Lets a request wait; it comes back, with the status to complete it with, if it cannot.
    ///
    /// # Safety
    ///
    /// `cancel` takes the queue's lock and then [cancels](Self::cancel) the request.
    pub unsafe fn insert(
        &mut self,
        request: Request,
        topic: u32,
        until: u64,
        cancel: DRIVER_CANCEL,
    ) -> Result<(), (Request, Status)> {
        let Some(place) = self.0.iter_mut().find(|place| place.is_none()) else {
            return Err((request, Status::QUOTA_EXCEEDED));
        };
        let file = request.file().addr();
        // SAFETY: The caller holds the queue's lock, and vouches for the routine.
        let request = unsafe { request.pend(cancel) }
            .map_err(|request| (request, Status::from_raw(STATUS_CANCELLED)))?;
        *place = Some(Waiting {
            request,
            file,
            topic,
            until,
        });
        Ok(())
    }

    /// Takes the requests that are `wanted`. Those that are being cancelled stay for their cancel
    /// routine.
    pub fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Taken {
        array::from_fn(|index| {
            let place = &mut self.0[index];
            let waiting = place.as_ref().filter(|waiting| wanted(waiting))?;
            let request = waiting.request.reclaim()?;
            *place = None;
            Some(request)
        })
    }

    /// Takes the request whose cancel routine runs.
    ///
    /// # Safety
    ///
    /// That routine calls this, for its IRP.
    pub unsafe fn cancel(&mut self, irp: PIRP) -> Option<Request> {
        let is_it = |waiting: &mut Waiting| waiting.request.is(irp);
        let waiting = self.0.iter_mut().find_map(|place| place.take_if(is_it))?;
        // SAFETY: The caller is the cancel routine, and the request is in the queue once.
        Some(unsafe { waiting.request.cancelled() })
    }
}
