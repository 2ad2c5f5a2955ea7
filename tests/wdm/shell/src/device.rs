//! A device with a name that programs open, and with a value in its extension.

use core::ptr;

use wdk_sync::Status;
use wdk_sys::{
    DRIVER_OBJECT, FILE_DEVICE_SECURE_OPEN, FILE_DEVICE_UNKNOWN, PDEVICE_OBJECT, PDRIVER_OBJECT,
    UNICODE_STRING,
    ntddk::{IoCreateDevice, IoCreateSymbolicLink, IoDeleteDevice, IoDeleteSymbolicLink},
};

/// Creates the device `\Device\<name>`, which programs open as `\\.\<name>`, and puts what `make`
/// gives into its extension. For `DriverEntry`: nobody opens a device before that returns.
///
/// # Errors
///
/// What the I/O manager or `make` says; there is no device then.
///
/// # Safety
///
/// The I/O manager has called `DriverEntry` with this object, and that has not returned.
pub unsafe fn create_device<E>(
    driver: &mut DRIVER_OBJECT,
    name: &str,
    make: impl FnOnce(PDEVICE_OBJECT) -> Result<E, Status>,
) -> Result<(), Status> {
    let size = u32::try_from(size_of::<E>()).map_err(|_| Status::INVALID_PARAMETER)?;
    let path = Path::new(r"\Device\", name)?;
    let mut device = ptr::null_mut();
    // SAFETY: The driver is being started; the others live across the call.
    let created = unsafe {
        IoCreateDevice(
            driver,
            size,
            &mut path.counted(),
            FILE_DEVICE_UNKNOWN,
            FILE_DEVICE_SECURE_OPEN,
            0,
            &raw mut device,
        )
    };
    Status::from_raw(created).ok()?;
    let furnished = link(name, &path).and_then(|()| make(device).inspect_err(|_| unlink(name)));
    match furnished {
        Ok(value) => {
            // SAFETY: The device was just created.
            let place = unsafe { (*device).DeviceExtension }.cast::<E>();
            // SAFETY: The extension has the size, and the alignment of pool.
            unsafe { place.write(value) };
            Ok(())
        }
        Err(status) => {
            // SAFETY: Nobody has opened the device.
            unsafe { IoDeleteDevice(device) };
            Err(status)
        }
    }
}

/// Lets `end` have what is in the extension of a driver's one device, and deletes the device. For
/// `DriverUnload`: all files are closed.
///
/// # Safety
///
/// The I/O manager has called the unload routine with this object. [`create_device`] has created the
/// one device, with this name and a value of this type.
pub unsafe fn delete_device<E>(driver: PDRIVER_OBJECT, name: &str, end: impl FnOnce(E)) {
    unlink(name);
    // SAFETY: The I/O manager passes its driver object.
    let device = unsafe { (*driver).DeviceObject };
    // SAFETY: The driver has a device.
    let place = unsafe { (*device).DeviceExtension }.cast::<E>();
    // SAFETY: The value was put there, and is taken once.
    end(unsafe { place.read() });
    // SAFETY: Nothing of the driver uses the device any more.
    unsafe { IoDeleteDevice(device) };
}

/// What is in the extension of a device.
///
/// # Safety
///
/// [`create_device`] has created the device with a value of this type, and it is not deleted within
/// `'a`.
pub unsafe fn extension<'a, E>(device: PDEVICE_OBJECT) -> &'a E {
    // SAFETY: The caller vouches for the device.
    let place = unsafe { (*device).DeviceExtension }.cast::<E>();
    // SAFETY: The value was put there before anybody could open the device.
    unsafe { &*place }
}

fn link(name: &str, path: &Path) -> Result<(), Status> {
    let link = Path::new(r"\DosDevices\", name)?;
    // SAFETY: The strings live across the call.
    Status::from_raw(unsafe { IoCreateSymbolicLink(&mut link.counted(), &mut path.counted()) }).ok()
}

fn unlink(name: &str) {
    if let Ok(link) = Path::new(r"\DosDevices\", name) {
        // SAFETY: The string lives across the call.
        let _ = unsafe { IoDeleteSymbolicLink(&mut link.counted()) };
    }
}

/// A path of ASCII in the object manager.
struct Path {
    units: [u16; 64],
    length: usize,
}

impl Path {
    fn new(folder: &str, name: &str) -> Result<Self, Status> {
        let mut path = Self {
            units: [0; 64],
            length: 0,
        };
        for unit in folder.encode_utf16().chain(name.encode_utf16()) {
            let place = path.units.get_mut(path.length);
            *place.ok_or(Status::INVALID_PARAMETER)? = unit;
            path.length += 1;
        }
        Ok(path)
    }

    /// The string for a call that does not change it, as long as `self` lives.
    fn counted(&self) -> UNICODE_STRING {
        // At most 128 bytes.
        let bytes = u16::try_from(self.length * size_of::<u16>()).unwrap_or(0);
        UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: self.units.as_ptr().cast_mut(),
        }
    }
}
