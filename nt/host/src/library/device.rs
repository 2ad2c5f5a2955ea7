//! A device of the root bus, with the stack of drivers on it.

use core::sync::atomic::{AtomicBool, Ordering};

use nt_abi::STATUS_NO_SUCH_DEVICE;

use super::{Stop, service};
use crate::io::{
    object::DeviceObject,
    pnp::{self, Node},
};

/// A device that was started. Dropped without [`remove`](Self::remove), it stays.
#[derive(Debug)]
pub struct Device {
    pdo: DeviceObject,
    node: Option<Node>,
    gone: AtomicBool,
}

impl Device {
    pub(super) fn new(pdo: DeviceObject) -> Self {
        Self {
            pdo,
            node: pnp::node(pdo),
            gone: AtomicBool::new(false),
        }
    }

    /// The device instance path, `ROOT\DRIVER\0000`.
    #[must_use]
    pub fn instance_path(&self) -> &str {
        self.node.as_ref().map_or("", |node| &node.instance_path)
    }

    /// Stops the device, as the `PnP` manager does to hand out resources anew: the drivers are asked first.
    /// Files stay open on it.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with what a driver answered, or `STATUS_NO_SUCH_DEVICE` if the device was
    /// removed; [`Stop::BugCheck`].
    pub fn stop(&self) -> Result<(), Stop> {
        self.check()?;
        service::enter("IRP_MN_STOP_DEVICE", |thread| pnp::stop(thread, self.pdo))?
            .map_err(Stop::Status)
    }

    /// Starts the device again after [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with what a driver answered, or `STATUS_NO_SUCH_DEVICE` if the device was
    /// removed; [`Stop::BugCheck`].
    pub fn start(&self) -> Result<(), Stop> {
        self.check()?;
        service::enter("IRP_MN_START_DEVICE", |thread| pnp::start(thread, self.pdo))?
            .map_err(Stop::Status)
    }

    /// Removes the device, as the user does in the device manager: the drivers are asked first.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with why the device stays: `STATUS_DEVICE_BUSY` while a file is open on it,
    /// what a driver answered, or `STATUS_NO_SUCH_DEVICE` if it was removed before;
    /// [`Stop::BugCheck`].
    pub fn remove(&self) -> Result<(), Stop> {
        self.check()?;
        service::enter("IRP_MN_REMOVE_DEVICE", |thread| {
            pnp::remove(thread, self.pdo)
        })?
        .map_err(Stop::Status)?;
        self.gone.store(true, Ordering::Release);
        Ok(())
    }

    /// Takes the device away without asking: the drivers learn of it, and are removed when no file is
    /// open on the device any more.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] (`STATUS_NO_SUCH_DEVICE`) if it was removed before; [`Stop::BugCheck`].
    pub fn surprise_remove(&self) -> Result<(), Stop> {
        self.check()?;
        self.gone.store(true, Ordering::Release);
        service::enter("IRP_MN_SURPRISE_REMOVAL", |thread| {
            pnp::surprise_remove(thread, self.pdo);
        })
    }

    fn check(&self) -> Result<(), Stop> {
        if self.gone.load(Ordering::Acquire) {
            return Err(Stop::Status(STATUS_NO_SUCH_DEVICE));
        }
        Ok(())
    }
}
