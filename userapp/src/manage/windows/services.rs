//! The service manager.

use windows::{
    Win32::{
        Foundation::{ERROR_SERVICE_DOES_NOT_EXIST, WIN32_ERROR},
        Storage::FileSystem::DELETE,
        System::Services::{
            CloseServiceHandle, DeleteService, OpenSCManagerW, OpenServiceW, QueryServiceStatus,
            SC_HANDLE, SC_MANAGER_CONNECT, SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_STATUS,
        },
    },
    core::PCWSTR,
};

use super::{trying, wide};
use crate::manage::system::SystemError;

/// A handle of the service manager's; closed when it is dropped.
struct Handle(SC_HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: The service manager gave the handle, and nothing else closes it.
        let closed = unsafe { CloseServiceHandle(self.0) };
        debug_assert!(closed.is_ok(), "a handle that is ours can be closed");
    }
}

/// Whether the service runs; none if there is none.
pub fn runs(name: &str) -> Result<Option<bool>, SystemError> {
    let Some(service) = open(name, SERVICE_QUERY_STATUS)? else {
        return Ok(None);
    };
    let mut status = SERVICE_STATUS::default();
    // SAFETY: The handle may ask for the status, which lives across the call.
    unsafe { QueryServiceStatus(service.0, &raw mut status) }
        .map_err(trying(format!("cannot ask for the service {name}")))?;
    Ok(Some(status.dwCurrentState == SERVICE_RUNNING))
}

/// Removes the service.
pub fn remove(name: &str) -> Result<(), SystemError> {
    let Some(service) = open(name, DELETE.0)? else {
        return Ok(());
    };
    // SAFETY: The handle is one of a service, with the right to delete it.
    unsafe { DeleteService(service.0) }.map_err(trying(format!("cannot remove the service {name}")))
}

fn open(name: &str, access: u32) -> Result<Option<Handle>, SystemError> {
    // SAFETY: No name means this machine and its active database.
    let manager = unsafe { OpenSCManagerW(PCWSTR::null(), PCWSTR::null(), SC_MANAGER_CONNECT) }
        .map(Handle)
        .map_err(trying("cannot reach the service manager"))?;
    let wide_name = wide(name);
    // SAFETY: The manager's handle is open, and the name ends with a zero and lives across the call.
    let opened = unsafe { OpenServiceW(manager.0, PCWSTR(wide_name.as_ptr()), access) };
    match opened {
        Ok(service) => Ok(Some(Handle(service))),
        Err(error) if WIN32_ERROR::from_error(&error) == Some(ERROR_SERVICE_DOES_NOT_EXIST) => {
            Ok(None)
        }
        Err(error) => Err(trying(format!("cannot open the service {name}"))(error)),
    }
}
