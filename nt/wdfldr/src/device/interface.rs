//! The names under which a device is found: symbolic links and device interfaces.

use super::create::string_of;
use super::init::copy;
use super::{Device, PnpState};
use crate::abi::{WDF_DRIVER_GLOBALS, WDFDEVICE, WDFSTRING};
use crate::client::characters;
use crate::kernel::{
    IoCreateSymbolicLink, IoDeleteSymbolicLink, IoGetDeviceProperty, IoRegisterDeviceInterface,
    IoSetDeviceInterfaceState, Outcome, RtlFreeUnicodeString, check, print, status_of, ulong,
};
use crate::object::lookup;
use crate::string::StringObject;
use crate::violation;
use alloc::vec::Vec;
use nt_abi::{
    _DEVICE_REGISTRY_PROPERTY::DevicePropertyPhysicalDeviceObjectName, BOOLEAN, FALSE, GUID,
    NTSTATUS, PUNICODE_STRING, STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND, TRUE, UNICODE_STRING,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// One device interface.
struct Interface {
    class: GUID,
    reference: Vec<u16>,
    /// Whether the client wants it enabled while the device is started.
    wanted: bool,
    /// The link that the system gave it when it was registered.
    link: Option<Vec<u16>>,
}

/// A device's names.
pub struct Names {
    device: Option<Vec<u16>>,
    links: Vec<Vec<u16>>,
    interfaces: Vec<Interface>,
}

impl Names {
    pub const fn new(device: Option<Vec<u16>>) -> Self {
        Self {
            device,
            links: Vec::new(),
            interfaces: Vec::new(),
        }
    }

    fn find(&mut self, class: &GUID, reference: &[u16]) -> Option<&mut Interface> {
        self.interfaces
            .iter_mut()
            .find(|each| each.class == *class && each.reference == reference)
    }
}

impl Device {
    /// Registers what is not registered and enables what is wanted. IRQL `PASSIVE_LEVEL`.
    pub fn enable_interfaces(&self) -> Outcome {
        let mut index = 0;
        while let Some((class, reference)) = self.interface_at(index)? {
            self.register(&class, reference)?;
            self.set_interface(index, true);
            index += 1;
        }
        Ok(())
    }

    /// Disables every interface. IRQL `PASSIVE_LEVEL`.
    pub fn disable_interfaces(&self) {
        let count = self.names.with(|names| names.interfaces.len());
        for index in 0..count {
            self.set_interface(index, false);
        }
    }

    /// Takes symbolic links and interfaces back for good. IRQL `PASSIVE_LEVEL` if there are any.
    pub fn withdraw_names(&self) {
        let (links, interfaces) = self.names.with(|names| {
            (
                core::mem::take(&mut names.links),
                core::mem::take(&mut names.interfaces),
            )
        });
        for mut link in links {
            // SAFETY: The string lives through the call; the link is the device's own.
            unsafe { IoDeleteSymbolicLink(&mut string_of(&mut link)) };
        }
        for mut link in interfaces
            .into_iter()
            .filter_map(|interface| interface.link)
        {
            // SAFETY: As above. Disabling what is disabled does nothing.
            unsafe { IoSetDeviceInterfaceState(&mut string_of(&mut link), FALSE) };
        }
    }

    fn interface_at(&self, index: usize) -> Outcome<Option<(GUID, Vec<u16>)>> {
        self.names.with(|names| {
            names
                .interfaces
                .get(index)
                .map(|interface| Ok((interface.class, copy(&interface.reference)?)))
                .transpose()
        })
    }

    /// Registers an interface with the PnP manager, which names its link.
    fn register(&self, class: &GUID, mut reference: Vec<u16>) -> Outcome {
        let registered = self.names.with(|names| {
            names
                .find(class, &reference)
                .is_none_or(|each| each.link.is_some())
        });
        if registered {
            return Ok(());
        }
        let mut string = string_of(&mut reference);
        let optional = if string.Length == 0 {
            core::ptr::null_mut()
        } else {
            &raw mut string
        };
        let mut link = UNICODE_STRING::default();
        // SAFETY: The physical device is the PnP manager's; the strings are local.
        let status =
            unsafe { IoRegisterDeviceInterface(self.pdo.0, class, optional, &raw mut link) };
        check(status)?;
        // SAFETY: The function filled the string in.
        let copied = copy(unsafe { characters(&raw const link) });
        // SAFETY: It allocated the string for the caller, who frees it this way.
        unsafe { RtlFreeUnicodeString(&raw mut link) };
        let copied = copied?;
        self.names.with(|names| {
            if let Some(interface) = names.find(class, &reference) {
                interface.link = Some(copied);
            }
        });
        Ok(())
    }

    /// Enables a wanted interface, or disables an interface.
    fn set_interface(&self, index: usize, enable: bool) {
        let link = self.names.with(|names| {
            let interface = names.interfaces.get(index)?;
            (interface.wanted || !enable).then(|| copy(interface.link.as_ref()?).ok())?
        });
        if let Some(mut link) = link {
            let state = if enable { TRUE } else { FALSE };
            // SAFETY: The string lives through the call.
            let status = unsafe { IoSetDeviceInterfaceState(&mut string_of(&mut link), state) };
            if check(status).is_err() && enable {
                print(
                    c"WDFLDR: a device interface could not be enabled, status %Ix\n",
                    status.cast_unsigned() as usize,
                );
            }
        }
    }
}

/// `WdfDeviceCreateSymbolicLink`. The link goes with the device. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceCreateSymbolicLink(
    _: Globals,
    Device: WDFDEVICE,
    SymbolicLinkName: PUNICODE_STRING,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    // SAFETY: The client passes its string.
    let link = unsafe { characters(SymbolicLinkName) };
    if link.is_empty() {
        return STATUS_INVALID_PARAMETER;
    }
    status_of(create_link(&device, link))
}

fn create_link(device: &Device, link: &[u16]) -> Outcome {
    let mut name = link_target(device)?;
    let mut link = copy(link)?;
    // SAFETY: Both strings are local.
    let status =
        unsafe { IoCreateSymbolicLink(&mut string_of(&mut link), &mut string_of(&mut name)) };
    check(status)?;
    let kept = device.names.with(|names| {
        if names.links.try_reserve(1).is_err() {
            return Err(link);
        }
        names.links.push(link);
        Ok(())
    });
    kept.map_err(|mut link| {
        // SAFETY: The string is local; the link was made just now, and nobody will delete it with the device.
        unsafe { IoDeleteSymbolicLink(&mut string_of(&mut link)) };
        STATUS_INSUFFICIENT_RESOURCES
    })
}

/// What links lead to: the name that the client gave the device, or that of the physical device below
/// it.
fn link_target(device: &Device) -> Outcome<Vec<u16>> {
    let given = device
        .names
        .with(|names| names.device.as_deref().map(copy))
        .transpose()?;
    match given {
        Some(name) => Ok(name),
        // Nothing is below a control device.
        None if device.is_control() => Err(STATUS_INVALID_DEVICE_STATE),
        None => physical_name(device),
    }
}

fn physical_name(device: &Device) -> Outcome<Vec<u16>> {
    let mut bytes = 0;
    let mut query = |buffer: &mut [u16]| {
        // SAFETY: The physical device is the PnP manager's; the buffer is of the length that is
        // passed, and both outputs are local.
        let status = unsafe {
            IoGetDeviceProperty(
                device.pdo().0,
                DevicePropertyPhysicalDeviceObjectName,
                ulong(size_of_val(buffer)),
                buffer.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        (status, bytes as usize / size_of::<u16>())
    };
    let (status, length) = query(&mut []);
    if status != STATUS_BUFFER_TOO_SMALL {
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    let mut name = Vec::new();
    name.try_reserve_exact(length)
        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    name.resize(length, 0);
    check(query(&mut name).0)?;
    // The property ends with a zero.
    name.pop();
    Ok(name)
}

/// `WdfDeviceCreateDeviceInterface`. The interface is registered and enabled when the device starts,
/// at once if it has. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceCreateDeviceInterface(
    _: Globals,
    Device: WDFDEVICE,
    InterfaceClassGUID: *const GUID,
    ReferenceString: PUNICODE_STRING,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    // SAFETY: The client passes its GUID.
    let Some(class) = (unsafe { InterfaceClassGUID.as_ref() }) else {
        violation::null_parameter(c"WdfDeviceCreateDeviceInterface")
    };
    if device.is_control() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: The client passes its string.
    let reference = unsafe { characters(ReferenceString) };
    status_of(add_interface(&device, class, reference))
}

fn add_interface(device: &Device, class: &GUID, reference: &[u16]) -> Outcome {
    let interface = Interface {
        class: *class,
        reference: copy(reference)?,
        wanted: true,
        link: None,
    };
    device.names.with(|names| {
        if names.find(class, reference).is_none() {
            names
                .interfaces
                .try_reserve(1)
                .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            names.interfaces.push(interface);
        }
        Outcome::Ok(())
    })?;
    if device.state.with(|state| *state == PnpState::Started) {
        device.enable_interfaces()?;
    }
    Ok(())
}

/// `WdfDeviceSetDeviceInterfaceState`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetDeviceInterfaceState(
    _: Globals,
    Device: WDFDEVICE,
    InterfaceClassGUID: *const GUID,
    ReferenceString: PUNICODE_STRING,
    IsInterfaceEnabled: BOOLEAN,
) {
    let device = lookup::<self::Device>(Device);
    // SAFETY: The client passes its GUID.
    let Some(class) = (unsafe { InterfaceClassGUID.as_ref() }) else {
        violation::null_parameter(c"WdfDeviceSetDeviceInterfaceState")
    };
    // SAFETY: The client passes its string.
    let reference = unsafe { characters(ReferenceString) };
    let enable = IsInterfaceEnabled != 0;
    let index = device.names.with(|names| {
        names.find(class, reference)?.wanted = enable;
        names
            .interfaces
            .iter()
            .position(|each| each.class == *class && each.reference == reference)
    });
    if let (Some(index), true) = (index, device.is_powered()) {
        device.set_interface(index, enable);
    }
}

/// `WdfDeviceRetrieveDeviceInterfaceString`. `STATUS_INVALID_DEVICE_STATE` before the device starts.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceRetrieveDeviceInterfaceString(
    _: Globals,
    Device: WDFDEVICE,
    InterfaceClassGUID: *const GUID,
    ReferenceString: PUNICODE_STRING,
    String: WDFSTRING,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    let string = lookup::<StringObject>(String);
    // SAFETY: The client passes its GUID.
    let Some(class) = (unsafe { InterfaceClassGUID.as_ref() }) else {
        violation::null_parameter(c"WdfDeviceRetrieveDeviceInterfaceString")
    };
    // SAFETY: The client passes its string.
    let reference = unsafe { characters(ReferenceString) };
    let link = device.names.with(|names| {
        let interface = names
            .find(class, reference)
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        copy(interface.link.as_ref().ok_or(STATUS_INVALID_DEVICE_STATE)?)
    });
    status_of(link.and_then(|link| string.assign(link.into_iter())))
}

/// `WdfDeviceRetrieveDeviceName`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceRetrieveDeviceName(
    _: Globals,
    Device: WDFDEVICE,
    String: WDFSTRING,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    let string = lookup::<StringObject>(String);
    let name = device
        .names
        .with(|names| copy(names.device.as_ref().ok_or(STATUS_INVALID_DEVICE_REQUEST)?));
    status_of(name.and_then(|name| string.assign(name.into_iter())))
}
