//! A device of the root bus, with the stack of drivers on it.

use nt_abi::PNP_DEVICE_STATE;

use super::{Stop, service};
use crate::io::pnp::{self, Node};

/// A device that was started. Dropped without [`remove`](Self::remove), it stays.
#[derive(Debug)]
pub struct Device {
    node: Node,
}

impl Device {
    pub(super) const fn new(node: Node) -> Self {
        Self { node }
    }

    /// The device instance path, `ROOT\DRIVER\0000`.
    #[must_use]
    pub fn instance_path(&self) -> &str {
        &self.node.instance_path
    }

    /// What the drivers of the device said last of its state: they are asked when it was started first, and
    /// when one of them has called `IoInvalidateDeviceState`.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] (`STATUS_NO_SUCH_DEVICE`) if it is gone: it was removed, by
    /// [`remove`](Self::remove) or because its drivers said that it has failed.
    pub fn state(&self) -> Result<PNP_DEVICE_STATE, Stop> {
        pnp::state(&self.node).map_err(Stop::Status)
    }

    /// Stops the device, as the `PnP` manager does to hand out resources anew: the drivers are asked first.
    /// Files stay open on it.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with what a driver answered, or `STATUS_NO_SUCH_DEVICE` if the device is gone;
    /// [`Stop::BugCheck`].
    pub fn stop(&self) -> Result<(), Stop> {
        service::enter("IRP_MN_STOP_DEVICE", |thread| pnp::stop(thread, &self.node))?
            .map_err(Stop::Status)
    }

    /// Starts the device again after [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with what a driver answered, or `STATUS_NO_SUCH_DEVICE` if the device is gone;
    /// [`Stop::BugCheck`].
    pub fn start(&self) -> Result<(), Stop> {
        service::enter("IRP_MN_START_DEVICE", |thread| {
            pnp::start(thread, &self.node)
        })?
        .map_err(Stop::Status)
    }

    /// Removes the device, as the user does in the device manager: the drivers are asked first.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with why the device stays: `STATUS_DEVICE_BUSY` while a file is open on it,
    /// `STATUS_PLUGPLAY_QUERY_VETOED` if its drivers said that it cannot be disabled
    /// (`PNP_DEVICE_NOT_DISABLEABLE`), what a driver answered, or `STATUS_NO_SUCH_DEVICE` if it is gone;
    /// [`Stop::BugCheck`].
    pub fn remove(&self) -> Result<(), Stop> {
        service::enter("IRP_MN_REMOVE_DEVICE", |thread| {
            pnp::remove(thread, &self.node)
        })?
        .map_err(Stop::Status)
    }

    /// Takes the device away without asking: the drivers learn of it, and are removed when no file is
    /// open on the device any more.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] (`STATUS_NO_SUCH_DEVICE`) if it is gone already; [`Stop::BugCheck`].
    pub fn surprise_remove(&self) -> Result<(), Stop> {
        service::enter("IRP_MN_SURPRISE_REMOVAL", |thread| {
            pnp::surprise_remove(thread, &self.node)
        })?
        .map_err(Stop::Status)
    }
}
