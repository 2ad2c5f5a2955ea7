//! An open file, on which requests are sent.

use std::fmt;

use nt_abi::{NT_SUCCESS, NTSTATUS, STATUS_FILE_CLOSED};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Kernel, Stop, service};
use crate::{
    deadlock, dispatcher, explore,
    io::{file, object::FileObject},
    thread::Thread,
};

/// An open file of a device: what a handle is in user mode. Any number of threads may send requests on
/// it at once; each request runs on the thread that sends it, and returns when it is completed.
///
/// Dropping it closes it.
pub struct File {
    object: FileObject,
    name: String,
    use_: Mutex<Use>,
    idle: Condvar,
}

/// Who uses a file.
#[derive(Debug, Default)]
struct Use {
    requests: usize,
    closed: bool,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .field("use", &self.use_)
            .finish_non_exhaustive()
    }
}

/// A request that is under way.
struct Pass<'a>(&'a File);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.0.use_.lock();
        state.requests -= 1;
        if state.requests == 0 && state.closed {
            self.0.idle.notify_all();
        }
    }
}

impl File {
    pub(super) fn open(name: &str) -> Result<Self, Stop> {
        let object = service::enter("NtCreateFile", |thread| file::open(thread, name))?;
        Ok(Self {
            object: object.map_err(Stop::Status)?,
            name: name.to_owned(),
            use_: Mutex::default(),
            idle: Condvar::new(),
        })
    }

    /// The name that was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends `IRP_MJ_DEVICE_CONTROL` and waits for it; returns how many bytes of `output` the driver
    /// has filled. What a driver returns with a warning, such as `STATUS_BUFFER_OVERFLOW`, is in
    /// `output` too.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with the status of the request if it is no success; `STATUS_CANCELLED` if
    /// [`cancel`](Self::cancel) or [`close`](Self::close) was faster; [`Stop::BugCheck`].
    pub fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Stop> {
        self.request("NtDeviceIoControlFile", |thread| {
            file::device_control(thread, self.object, code, input, output)
        })
    }

    /// Sends `IRP_MJ_READ` and waits for it; returns how many bytes were read.
    ///
    /// # Errors
    ///
    /// As for [`ioctl`](Self::ioctl).
    pub fn read(&self, offset: i64, data: &mut [u8]) -> Result<usize, Stop> {
        self.request("NtReadFile", |thread| {
            file::read(thread, self.object, offset, data)
        })
    }

    /// Sends `IRP_MJ_WRITE` and waits for it; returns how many bytes were written.
    ///
    /// # Errors
    ///
    /// As for [`ioctl`](Self::ioctl).
    pub fn write(&self, offset: i64, data: &[u8]) -> Result<usize, Stop> {
        self.request("NtWriteFile", |thread| {
            file::write(thread, self.object, offset, data)
        })
    }

    fn request(
        &self,
        name: &'static str,
        send: impl FnOnce(&'static Thread) -> (NTSTATUS, usize),
    ) -> Result<usize, Stop> {
        let _pass = self.begin()?;
        let (status, length) = service::enter(name, send)?;
        if NT_SUCCESS(status) {
            Ok(length)
        } else {
            Err(Stop::Status(status))
        }
    }

    fn begin(&self) -> Result<Pass<'_>, Stop> {
        let mut state = self.use_.lock();
        if state.closed {
            return Err(Stop::Status(STATUS_FILE_CLOSED));
        }
        state.requests += 1;
        drop(state);
        Ok(Pass(self))
    }

    /// Cancels every request that is under way (`CancelIoEx`). Those that their driver does not let be
    /// cancelled go on.
    ///
    /// # Errors
    ///
    /// [`Stop::BugCheck`].
    pub fn cancel(&self) -> Result<(), Stop> {
        service::enter("NtCancelIoFileEx", |_| file::cancel_requests(self.object))
    }

    /// Closes the file: tells the driver (`IRP_MJ_CLEANUP`), cancels the requests under way and waits
    /// for them, and lets the file go (`IRP_MJ_CLOSE`). Requests after this are refused with
    /// `STATUS_FILE_CLOSED`.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] (`STATUS_FILE_CLOSED`) if it was closed before; [`Stop::BugCheck`].
    pub fn close(&self) -> Result<(), Stop> {
        let mut state = self.use_.lock();
        if state.closed {
            return Err(Stop::Status(STATUS_FILE_CLOSED));
        }
        state.closed = true;
        drop(state);
        service::enter("NtClose", |thread| {
            file::cleanup(thread, self.object);
            file::cancel_requests(self.object);
        })?;
        Kernel::get().stand_by(|| self.wait_for_requests())?;
        service::enter("NtClose", |thread| file::close(thread, self.object))
    }

    /// Waits until no request is under way.
    fn wait_for_requests(&self) -> Result<(), Stop> {
        let mut state = self.use_.lock();
        while state.requests != 0 {
            if !explore::is_on() {
                self.idle.wait(&mut state);
            } else if MutexGuard::unlocked(&mut state, explore::spin) {
                drop(state);
                return service::enter("NtClose", |thread| {
                    let mut dispatcher = dispatcher::lock(thread);
                    deadlock::nothing_runs(&mut dispatcher, thread, "NtClose")
                });
            }
        }
        drop(state);
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // An error is that of a kernel that is dead, or that the file was closed before.
        let _ = self.close();
    }
}
