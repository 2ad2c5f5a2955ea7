//! The driver's image, loaded into nthost: `syncstress.sys` as it is shipped, on its KMDF runtime.

use nthost::{Device, Driver, File, Kernel, Library, Stop, ntddk::GUID};
use syncstress_protocol::DEVICE_INTERFACE_GUID;

use super::{
    Handle, HostDescription, Leak, Transport, TransportError,
    kernel::{boot, cannot, leaks},
    kit::Images,
};

/// The loaded images and the device.
pub struct Nthost {
    kernel: Kernel,
    runtime: Library,
    driver: Driver,
    device: Device,
    host: HostDescription,
}

impl Nthost {
    /// Boots the kernel, loads the images, and finds the driver a device.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] with the step that failed; [`TransportError::BugCheck`].
    pub fn load(processors: Option<u32>, images: &Images) -> Result<Self, TransportError> {
        let kernel = boot(processors)?;
        let runtime = kernel
            .load_library(&images.loader)
            .map_err(|stop| cannot("the KMDF runtime does not load", &stop))?;
        let driver = kernel
            .load(&images.driver)
            .map_err(|stop| cannot("the driver does not load", &stop))?;
        let device = driver
            .add_device()
            .map_err(|stop| cannot("the driver does not start its device", &stop))?;
        let missing = [runtime.missing_imports(), driver.missing_imports()].concat();
        let host = HostDescription {
            name: "nthost".into(),
            phrase: "nthost".into(),
            is_windows: false,
            driver: Some(images.driver.display().to_string()),
            missing_imports: missing,
        };
        Ok(Self {
            kernel,
            runtime,
            driver,
            device,
            host,
        })
    }
}

impl Transport for Nthost {
    fn host(&self) -> &HostDescription {
        &self.host
    }

    fn open(&self) -> Result<Box<dyn Handle>, TransportError> {
        let (data1, data2, data3, data4) = DEVICE_INTERFACE_GUID;
        let interface = GUID {
            Data1: data1,
            Data2: data2,
            Data3: data3,
            Data4: data4,
        };
        let file = self.kernel.open(interface);
        let file = file.map_err(|stop| cannot("the device does not open", &stop))?;
        Ok(Box::new(file))
    }

    fn unload(self: Box<Self>) -> Result<Option<Vec<Leak>>, TransportError> {
        let Self {
            kernel,
            runtime,
            driver,
            device,
            ..
        } = *self;
        let unloaded = device
            .remove()
            .and_then(|()| driver.unload())
            .and_then(|()| runtime.unload());
        let mut left = leaks(kernel);
        match unloaded {
            Ok(()) => {}
            Err(stop @ Stop::BugCheck(_)) => return Err(stop.into()),
            // What stays loaded is left behind as well.
            Err(stop) => left.insert(0, Leak(stop.to_string())),
        }
        Ok(Some(left))
    }
}

impl Handle for File {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        Ok(Self::ioctl(self, code, input, output)?)
    }

    fn close(self: Box<Self>) -> Result<(), TransportError> {
        Ok(Self::close(&self)?)
    }
}
