//! A driver: started, given devices, unloaded.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use nt_abi::{
    NT_SUCCESS, NTSTATUS, PDRIVER_INITIALIZE, PDRIVER_OBJECT, PUNICODE_STRING,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_IMAGE_FORMAT,
};

use super::{
    Device, Stop,
    images::{self, Loaded},
    quiet, service,
};
use crate::{
    cm,
    io::{
        device,
        driver::{self, SERVICES},
        namespace,
        object::{DeviceObject, DriverObject, Text},
        pnp,
        resource::InterruptResource,
    },
};

/// A `DriverEntry` routine.
pub type DriverEntry = unsafe extern "win64" fn(PDRIVER_OBJECT, PUNICODE_STRING) -> NTSTATUS;

/// Where a driver's code is.
#[derive(Debug)]
pub enum Code {
    /// In an image that was loaded.
    Image(Arc<Loaded>),
    /// In this program.
    InProcess(DriverEntry),
}

impl Code {
    fn entry(&self) -> PDRIVER_INITIALIZE {
        match self {
            Self::Image(loaded) => loaded.image.entry().map(|address| {
                let address = std::ptr::with_exposed_provenance::<()>(address);
                // SAFETY: The entry point of a driver's image is its `DriverEntry` (or the entry
                // library's, which has the same type), and lies in the image's code.
                unsafe { std::mem::transmute::<*const (), DriverEntry>(address) }
            }),
            Self::InProcess(entry) => Some(*entry),
        }
    }

    /// The addresses of the driver's code and data, if it has its own.
    fn range(&self) -> Option<Range<usize>> {
        match self {
            Self::Image(loaded) => {
                Some(loaded.image.base()..loaded.image.base() + loaded.image.size())
            }
            Self::InProcess(_) => None,
        }
    }
}

/// A driver's image that is loaded and bound, of which nothing has run yet. Dropped without
/// [`start`](Self::start), it stays loaded.
#[derive(Debug)]
pub struct Prepared {
    file_name: String,
    loaded: Arc<Loaded>,
}

impl Prepared {
    pub(super) fn load(file_name: &str, path: Option<&Path>, file: &[u8]) -> Result<Self, Stop> {
        Ok(Self {
            file_name: file_name.to_owned(),
            loaded: images::load(file_name, path, file)?,
        })
    }

    /// The driver's name: that of its file, without the extension.
    #[must_use]
    pub fn name(&self) -> &str {
        service_name(&self.file_name)
    }

    /// The kernel's functions that the driver imports and that this kernel lacks, as `module!name`.
    /// Using one is a bug check.
    #[must_use]
    pub fn missing_imports(&self) -> &[String] {
        self.loaded.image.missing_imports()
    }

    /// Makes the driver object and calls `DriverEntry`.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with what `DriverEntry` returned, [`Stop::BugCheck`].
    pub fn start(self) -> Result<Driver, Stop> {
        Driver::start(&self.file_name, Code::Image(self.loaded))
    }
}

/// A driver's name by its file's: what comes before the extension.
fn service_name(file_name: &str) -> &str {
    file_name
        .rsplit_once('.')
        .map_or(file_name, |(stem, _)| stem)
}

/// A driver that was loaded. Dropped without [`unload`](Self::unload), it stays loaded.
pub struct Driver {
    object: DriverObject,
    code: Code,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.name()).finish()
    }
}

impl Driver {
    /// Makes the driver object and calls `DriverEntry`.
    pub(super) fn start(file_name: &str, code: Code) -> Result<Self, Stop> {
        let name = service_name(file_name);
        let Some(entry) = code.entry() else {
            return Err(Stop::Status(STATUS_INVALID_IMAGE_FORMAT));
        };
        let range = code.range().unwrap_or_default();
        let object = driver::create(name, Some(entry), range.start, range.len());
        let driver = Self { object, code };
        let key = format!(r"{SERVICES}\{name}");
        cm::create(&format!(r"{key}\Parameters"));
        let path = Text::new(&key);
        let mut path = path.counted();
        let status = service::enter("DriverEntry", |_| {
            // SAFETY: The routine is the driver's `DriverEntry`; both objects live until it returns.
            let status = unsafe { entry(object.as_ptr(), &raw mut path) };
            driver::finish_entry(object);
            status
        })?;
        if NT_SUCCESS(status) {
            return Ok(driver);
        }
        driver.discard("DriverEntry")?;
        Err(Stop::Status(status))
    }

    /// The driver's name: that of its file, without the extension.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object.kernel().name
    }

    /// The kernel's functions that the driver imports and that this kernel lacks, as `module!name`.
    /// Using one is a bug check.
    #[must_use]
    pub fn missing_imports(&self) -> &[String] {
        match &self.code {
            Code::Image(loaded) => loaded.image.missing_imports(),
            Code::InProcess(_) => &[],
        }
    }

    /// The addresses of the driver's image; nothing if it is part of this program.
    #[must_use]
    pub fn image_range(&self) -> Option<Range<usize>> {
        self.code.range()
    }

    /// Whether the driver is one for Plug and Play: it has an `AddDevice` routine.
    #[must_use]
    pub fn takes_devices(&self) -> bool {
        self.object.add_device_routine().is_some()
    }

    /// Whether the driver has an unload routine.
    #[must_use]
    pub fn can_unload(&self) -> bool {
        self.object.unload().is_some()
    }

    /// The names by which [`Kernel::open`](super::Kernel::open) finds the driver's devices: symbolic links
    /// first, those of device interfaces among them, then the names of the device objects.
    #[must_use]
    pub fn open_names(&self) -> Vec<String> {
        let serves = |device: DeviceObject| {
            let stack = std::iter::successors(Some(device), |device| device.upper());
            stack
                .into_iter()
                .any(|device| device.driver() == Some(self.object))
        };
        let links = namespace::links().into_iter().map(|(name, _)| name);
        let links = links.filter(|name| {
            namespace::open(name).is_ok_and(|(device, _)| {
                let found = serves(device);
                device.dereference();
                found
            })
        });
        let devices = device::all().into_iter().filter(|device| serves(*device));
        let names = devices.filter_map(|device| device.kernel().name.clone());
        links.chain(names).collect()
    }

    /// Finds the driver a device: calls its `AddDevice` with a new physical device object, and starts
    /// the device.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] if the driver has no `AddDevice` (`STATUS_INVALID_DEVICE_REQUEST`), or with
    /// what `AddDevice` or the start IRP returned; [`Stop::BugCheck`].
    pub fn add_device(&self) -> Result<Device, Stop> {
        self.add_filtered_device(&[])
    }

    /// As [`add_device`](Self::add_device), with upper filters: their `AddDevice` is called after the
    /// driver's, from the lowest of them to the highest, before the device starts.
    ///
    /// # Errors
    ///
    /// As for [`add_device`](Self::add_device), for each of the drivers.
    pub fn add_filtered_device(&self, filters: &[&Self]) -> Result<Device, Stop> {
        self.add(filters, &[])
    }

    /// As [`add_device`](Self::add_device), with these interrupts among the hardware resources that the device is
    /// started with. [`Kernel::interrupt`](super::Kernel::interrupt) raises them.
    ///
    /// # Errors
    ///
    /// As for [`add_device`](Self::add_device).
    pub fn add_interrupting_device(
        &self,
        interrupts: &[InterruptResource],
    ) -> Result<Device, Stop> {
        self.add(&[], interrupts)
    }

    fn add(&self, filters: &[&Self], interrupts: &[InterruptResource]) -> Result<Device, Stop> {
        let object = self.object;
        let filters: Vec<_> = filters.iter().map(|filter| filter.object).collect();
        let node = service::enter("AddDevice", |thread| {
            pnp::add(thread, object, &filters, interrupts)
        })?;
        Ok(Device::new(node.map_err(Stop::Status)?))
    }

    /// Calls the driver's unload routine and unloads its image.
    ///
    /// # Errors
    ///
    /// [`Stop::InUse`] while it has devices, or an image imports from its own; [`Stop::Status`] if it
    /// has no unload routine (`STATUS_INVALID_DEVICE_REQUEST`). In these cases it stays loaded, for
    /// good. [`Stop::BugCheck`], of which 0xCE says that something of the driver still runs.
    pub fn unload(self) -> Result<(), Stop> {
        if pnp::has_nodes(self.object) {
            return Err(self.in_use("has devices: remove them first"));
        }
        let Some(unload) = self.object.unload() else {
            return Err(Stop::Status(STATUS_INVALID_DEVICE_REQUEST));
        };
        service::enter("DriverUnload", |_| {
            // SAFETY: The routine is the driver's unload routine, called once with its driver object.
            unsafe { unload(self.object.as_ptr()) };
        })?;
        self.discard("DriverUnload")
    }

    fn in_use(&self, by: &str) -> Stop {
        Stop::InUse {
            what: self.name().to_owned(),
            by: by.to_owned(),
        }
    }

    /// Unloads the image and lets go of the driver object, when nothing uses them any more.
    fn discard(self, routine: &'static str) -> Result<(), Stop> {
        let devices = self.object.devices().len();
        if devices != 0 {
            return Err(self.in_use(&format!("left {devices} device object(s) behind")));
        }
        if let Some(range) = self.code.range() {
            service::enter(routine, |thread| quiet::check(thread, &range, routine))?;
        }
        let in_use = self.in_use("is imported from by another image");
        self.object.dereference();
        match self.code {
            Code::Image(loaded) => images::unload(loaded).map_err(|_| in_use),
            Code::InProcess(_) => Ok(()),
        }
    }
}
