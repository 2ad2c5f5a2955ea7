//! The installed driver on Windows, through its device.

mod interfaces;

use std::borrow::Cow;

use syncstress_protocol::DOS_DEVICE_NAME;
use windows::{
    Win32::{
        Foundation::{
            CloseHandle, ERROR_ACCESS_DENIED, ERROR_BUSY, ERROR_FILE_NOT_FOUND,
            ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER,
            ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_FOUND, ERROR_NOT_SUPPORTED, GENERIC_READ,
            GENERIC_WRITE, HANDLE, WIN32_ERROR,
        },
        Storage::FileSystem::{
            CreateFileW, FILE_FLAGS_AND_ATTRIBUTES, FILE_SHARE_READ, FILE_SHARE_WRITE,
            OPEN_EXISTING,
        },
        System::{
            IO::DeviceIoControl,
            LibraryLoader::{GetModuleHandleW, GetProcAddress},
        },
    },
    core::{Error as WindowsError, PCWSTR, s, w},
};

pub use self::interfaces::device_interfaces;
use super::{Handle, HostDescription, Leak, Transport, TransportError};
use crate::status::NtStatus;

/// The driver that the system has loaded.
pub struct Installed {
    host: HostDescription,
}

impl Installed {
    /// Takes it for granted that there is one; [`Transport::open`] finds out.
    pub fn new() -> Self {
        let is_windows = !is_wine();
        let name = if is_windows { "Windows" } else { "Wine" };
        Self {
            host: HostDescription {
                name: Cow::Borrowed(name),
                phrase: Cow::Borrowed(name),
                is_windows,
                driver: None,
                missing_imports: Vec::new(),
            },
        }
    }
}

impl Transport for Installed {
    fn host(&self) -> &HostDescription {
        &self.host
    }

    fn open(&self) -> Result<Box<dyn Handle>, TransportError> {
        let link = format!(r"\\.\{DOS_DEVICE_NAME}");
        let mut names = device_interfaces();
        names.push(link.encode_utf16().chain([0]).collect());
        let mut refused = None;
        for name in names {
            match open_device(&name) {
                Ok(device) => return Ok(Box::new(device)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(unreachable(refused))
    }

    fn unload(self: Box<Self>) -> Result<Option<Vec<Leak>>, TransportError> {
        // The system loaded the driver and keeps it; Driver Verifier tells what it leaks.
        Ok(None)
    }
}

/// Whether this is Wine, which its `ntdll.dll` tells by a function that Windows does not have.
fn is_wine() -> bool {
    // SAFETY: The name is a constant.
    let Ok(module) = (unsafe { GetModuleHandleW(w!("ntdll.dll")) }) else {
        return false;
    };
    // SAFETY: The module is never unloaded, and the name is a constant.
    unsafe { GetProcAddress(module, s!("wine_get_version")) }.is_some()
}

fn open_device(name: &[u16]) -> windows::core::Result<Device> {
    // SAFETY: Every name here ends with a zero and lives across the call.
    let handle = unsafe {
        CreateFileW(
            PCWSTR(name.as_ptr()),
            (GENERIC_READ | GENERIC_WRITE).0,
            FILE_SHARE_READ | FILE_SHARE_WRITE,
            None,
            OPEN_EXISTING,
            FILE_FLAGS_AND_ATTRIBUTES(0),
            None,
        )
    }?;
    Ok(Device(handle))
}

fn unreachable(error: Option<WindowsError>) -> TransportError {
    let hint = match error.as_ref().and_then(WIN32_ERROR::from_error) {
        Some(ERROR_ACCESS_DENIED) => {
            "the device is for administrators: run this in an elevated prompt"
        }
        Some(ERROR_FILE_NOT_FOUND) | None => {
            "`syncstress install` installs the driver, `syncstress doctor` says what is in the way"
        }
        Some(_) => "`syncstress doctor` may know why",
    };
    let why = error.map_or_else(|| "it is not there".to_owned(), |error| error.message());
    TransportError::Unreachable {
        what: format!("cannot open the device {DOS_DEVICE_NAME}: {why}"),
        hint: Some(hint.to_owned()),
    }
}

/// An open device; closed when it is dropped.
struct Device(HANDLE);

// SAFETY: A handle is a number that names an object of the process; every thread may use it, and
// the I/O manager takes requests on one file object from several threads at once.
unsafe impl Send for Device {}
// SAFETY: As for `Send`: requests through a shared reference are calls into the I/O manager alone.
unsafe impl Sync for Device {}

impl Handle for Device {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        let input_bytes = buffer_length(input.len())?;
        let output_bytes = buffer_length(output.len())?;
        let mut written = 0;
        // SAFETY: The buffers live across the call, which waits for the request's end since the
        // handle is synchronous, and their lengths are those that are passed.
        let sent = unsafe {
            DeviceIoControl(
                self.0,
                code,
                Some(input.as_ptr().cast()),
                input_bytes,
                Some(output.as_mut_ptr().cast()),
                output_bytes,
                Some(&raw mut written),
                None,
            )
        };
        sent.map_err(|error| TransportError::Refused(status_of(&error)))?;
        Ok(written as usize)
    }

    fn close(self: Box<Self>) -> Result<(), TransportError> {
        // Dropping it closes the handle.
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: `open_device` made the handle and nothing else closes it.
        let closed = unsafe { CloseHandle(self.0) };
        debug_assert!(closed.is_ok(), "a handle that is ours can be closed");
    }
}

fn buffer_length(length: usize) -> Result<u32, TransportError> {
    u32::try_from(length).map_err(|_| TransportError::Refused(NtStatus::INVALID_PARAMETER))
}

/// The status that the I/O manager translated into this error code, as far as the protocol's go;
/// any other code as the NTSTATUS that stands for a Win32 error.
fn status_of(error: &WindowsError) -> NtStatus {
    match WIN32_ERROR::from_error(error) {
        Some(ERROR_BUSY) => NtStatus::DEVICE_BUSY,
        Some(ERROR_INVALID_PARAMETER) => NtStatus::INVALID_PARAMETER,
        Some(ERROR_INVALID_FUNCTION) => NtStatus::INVALID_DEVICE_REQUEST,
        Some(ERROR_INSUFFICIENT_BUFFER) => NtStatus::BUFFER_TOO_SMALL,
        Some(ERROR_NO_SYSTEM_RESOURCES) => NtStatus::INSUFFICIENT_RESOURCES,
        Some(ERROR_NOT_FOUND) => NtStatus::NOT_FOUND,
        Some(ERROR_NOT_SUPPORTED) => NtStatus::NOT_SUPPORTED,
        Some(ERROR_ACCESS_DENIED) => NtStatus::ACCESS_DENIED,
        Some(WIN32_ERROR(code)) => NtStatus::from_win32(code),
        None => NtStatus::UNSUCCESSFUL,
    }
}
