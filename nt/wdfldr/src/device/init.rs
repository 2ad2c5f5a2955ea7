//! `WDFDEVICE_INIT`: what a client says about a device before it exists.

use super::control::ShutdownEvent;
use super::{Device, Preprocess};
use crate::abi::{
    PFN_WDF_IO_IN_CALLER_CONTEXT, PWDFDEVICE_INIT, WDF_DRIVER_GLOBALS, WDF_FILEOBJECT_CONFIG,
    WDF_IO_TYPE_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_PNPPOWER_EVENT_CALLBACKS, WdfDeviceIoBuffered,
    WdfDeviceIoBufferedOrDirect, WdfFileObjectCanBeOptional, WdfFileObjectNotRequired,
    WdfFileObjectWdfCanUseFsContext, WdfFileObjectWdfCannotUseFsContexts,
};
use crate::client::{Client, characters};
use crate::file::FileSetup;
use crate::kernel::{Outcome, Ptr, print, status_of, try_box};
use crate::object::{Attributes, ParentRule, Rules, Typed};
use crate::violation;
use alloc::boxed::Box;
use alloc::vec::Vec;
use nt_abi::{
    BOOLEAN, DEVICE_OBJECT, FILE_DEVICE_SECURE_OPEN, FILE_DEVICE_UNKNOWN, GUID, NTSTATUS,
    PUNICODE_STRING, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, ULONG,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The contents behind `PWDFDEVICE_INIT`.
pub struct DeviceInit {
    pub client: &'static Client,
    /// Null for a control device.
    pub pdo: Ptr<DEVICE_OBJECT>,
    pub name: Option<Vec<u16>>,
    pub sddl: Option<Vec<u16>>,
    pub device_type: ULONG,
    pub characteristics: ULONG,
    pub exclusive: bool,
    pub io_type: i32,
    pub filter: bool,
    /// Whether the client said who decides on the device's power.
    pub power_policy_owner: Option<bool>,
    pub power_pageable: bool,
    pub pnp_events: WDF_PNPPOWER_EVENT_CALLBACKS,
    pub files: FileSetup,
    pub request_attributes: Attributes,
    pub in_caller_context: PFN_WDF_IO_IN_CALLER_CONTEXT,
    pub preprocess: Option<Preprocess>,
    pub shutdown: Option<ShutdownEvent>,
    /// The device that was created from this.
    pub created: Option<Typed<Device>>,
}

impl DeviceInit {
    fn new(client: &'static Client, pdo: Ptr<DEVICE_OBJECT>) -> Outcome<Box<Self>> {
        Ok(try_box(Self {
            client,
            pdo,
            name: None,
            sddl: None,
            device_type: FILE_DEVICE_UNKNOWN,
            characteristics: FILE_DEVICE_SECURE_OPEN,
            exclusive: false,
            io_type: WdfDeviceIoBuffered,
            filter: false,
            power_policy_owner: None,
            power_pageable: true,
            pnp_events: WDF_PNPPOWER_EVENT_CALLBACKS::default(),
            files: FileSetup::NONE,
            request_attributes: Attributes::DEFAULT,
            in_caller_context: None,
            preprocess: None,
            shutdown: None,
            created: None,
        })?)
    }

    /// For the functional device of a physical one.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn for_pdo(client: &'static Client, pdo: Ptr<DEVICE_OBJECT>) -> Outcome<Box<Self>> {
        Self::new(client, pdo)
    }

    /// For a control device.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn for_control(client: &'static Client) -> Outcome<Box<Self>> {
        Self::new(client, Ptr::NULL)
    }

    /// Whether the client decides on the device's power: the function driver does unless somebody says
    /// otherwise.
    pub fn owns_power_policy(&self) -> bool {
        !self.pdo.is_null() && self.power_policy_owner.unwrap_or(!self.filter)
    }

    /// The pointer that the client sees.
    pub const fn as_client(&mut self) -> PWDFDEVICE_INIT {
        core::ptr::from_mut(self).cast()
    }

    /// What a client's pointer stands for.
    ///
    /// # Safety
    /// `init` is null or a pointer from [`as_client`](Self::as_client) whose structure is not freed
    /// and not in use.
    pub unsafe fn from_client<'a>(init: PWDFDEVICE_INIT) -> &'a mut Self {
        // SAFETY: By contract.
        unsafe { init.cast::<Self>().as_mut() }
            .unwrap_or_else(|| violation::null_parameter(c"a WdfDeviceInit function (DeviceInit)"))
    }
}

/// A copy of a client's string.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub fn copy(characters: &[u16]) -> Outcome<Vec<u16>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(characters.len())
        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    copy.extend_from_slice(characters);
    Ok(copy)
}

/// `WdfDeviceInitFree`: gives up an initialisation structure that became no device.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitFree(_: Globals, DeviceInit: PWDFDEVICE_INIT) {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    if init.pdo.is_null() {
        // SAFETY: Structures of control devices are the client's, from a leaked box.
        drop(unsafe { Box::from_raw(core::ptr::from_mut(init)) });
    }
}

/// `WdfDeviceInitSetPnpPowerEventCallbacks`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetPnpPowerEventCallbacks(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    PnpPowerEventCallbacks: *mut WDF_PNPPOWER_EVENT_CALLBACKS,
) {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    if PnpPowerEventCallbacks.is_null() {
        violation::null_parameter(c"WdfDeviceInitSetPnpPowerEventCallbacks");
    }
    // SAFETY: The client passes its callbacks.
    let events = unsafe { PnpPowerEventCallbacks.read() };
    if events.Size as usize == size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>() {
        init.pnp_events = events;
    } else {
        print(
            c"WDFLDR: WDF_PNPPOWER_EVENT_CALLBACKS of size %Iu ignored\n",
            events.Size as usize,
        );
    }
}

/// `WdfDeviceInitSetFileObjectConfig`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetFileObjectConfig(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    FileObjectConfig: *mut WDF_FILEOBJECT_CONFIG,
    FileObjectAttributes: *mut WDF_OBJECT_ATTRIBUTES,
) {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    if FileObjectConfig.is_null() {
        violation::null_parameter(c"WdfDeviceInitSetFileObjectConfig");
    }
    // SAFETY: The client passes its configuration.
    let config = unsafe { FileObjectConfig.read() };
    let class = config.FileObjectClass & !WdfFileObjectCanBeOptional;
    let known = core::iter::once(WdfFileObjectNotRequired)
        .chain(WdfFileObjectWdfCanUseFsContext..=WdfFileObjectWdfCannotUseFsContexts)
        .any(|each| each == class);
    let rules = Rules {
        parent: ParentRule::Forbidden,
        levels: true,
    };
    // SAFETY: The client passes its attributes.
    let attributes = (!FileObjectAttributes.is_null())
        .then(|| unsafe { Attributes::read(FileObjectAttributes, rules) })
        .transpose();
    match attributes {
        Ok(attributes) if known && config.Size as usize == size_of_val(&config) => {
            init.files = FileSetup::new(&config, attributes);
        }
        _ => print(
            c"WDFLDR: an invalid WDF_FILEOBJECT_CONFIG is ignored%s\n",
            c"".as_ptr().addr(),
        ),
    }
}

/// `WdfDeviceInitSetRequestAttributes`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetRequestAttributes(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    RequestAttributes: *mut WDF_OBJECT_ATTRIBUTES,
) {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    let rules = Rules {
        parent: ParentRule::Forbidden,
        levels: false,
    };
    // SAFETY: The client passes its attributes.
    match unsafe { Attributes::read(RequestAttributes, rules) } {
        Ok(attributes) => init.request_attributes = attributes,
        Err(status) => {
            print(
                c"WDFLDR: request attributes ignored, status %Ix\n",
                status.cast_unsigned() as usize,
            );
        }
    }
}

/// `WdfDeviceInitAssignName`; null takes the name away. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitAssignName(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    DeviceName: PUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    // SAFETY: The client passes its string.
    let outcome = unsafe { optional_copy(DeviceName) }.map(|name| init.name = name);
    status_of(outcome)
}

/// `WdfDeviceInitAssignSDDLString`; null takes it away. `WdfDeviceCreate` reads the descriptor.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitAssignSDDLString(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    SDDLString: PUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    // SAFETY: The client passes its string.
    let outcome = unsafe { optional_copy(SDDLString) }.map(|sddl| init.sddl = sddl);
    status_of(outcome)
}

/// # Safety
/// `string` is null or a string of the client.
unsafe fn optional_copy(string: PUNICODE_STRING) -> Outcome<Option<Vec<u16>>> {
    if string.is_null() {
        return Ok(None);
    }
    // SAFETY: By contract.
    let characters = unsafe { characters(string) };
    if characters.is_empty() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    copy(characters).map(Some)
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($init:ident, $value:ident: $ty:ty) $body:block)*) => {
        $(
            $(#[$doc])*
            pub unsafe extern "win64" fn $name(_: Globals, DeviceInit: PWDFDEVICE_INIT, $value: $ty) {
                // SAFETY: The client passes its pointer.
                let $init = unsafe { self::DeviceInit::from_client(DeviceInit) };
                $body
            }
        )*
    };
}

setters! {
    /// `WdfDeviceInitSetDeviceType`. IRQL <= `DISPATCH_LEVEL`.
    WdfDeviceInitSetDeviceType(init, DeviceType: ULONG) { init.device_type = DeviceType; }

    /// `WdfDeviceInitSetIoInCallerContextCallback`: who gets read, write and control requests before
    /// their queue does. IRQL <= `DISPATCH_LEVEL`.
    WdfDeviceInitSetIoInCallerContextCallback(
        init,
        EvtIoInCallerContext: PFN_WDF_IO_IN_CALLER_CONTEXT
    ) { init.in_caller_context = EvtIoInCallerContext; }

    /// `WdfDeviceInitSetExclusive`. IRQL <= `DISPATCH_LEVEL`.
    WdfDeviceInitSetExclusive(init, IsExclusive: BOOLEAN) { init.exclusive = IsExclusive != 0; }

    /// `WdfDeviceInitSetIoType`. IRQL <= `DISPATCH_LEVEL`.
    WdfDeviceInitSetIoType(init, IoType: i32) {
        if (1..=WdfDeviceIoBufferedOrDirect).contains(&IoType) {
            init.io_type = IoType;
        }
    }

    /// `WdfDeviceInitSetDeviceClass`: the class whose security applies; not enforced, as the SDDL
    /// string is not. IRQL <= `DISPATCH_LEVEL`.
    WdfDeviceInitSetDeviceClass(init, _DeviceClassGuid: *const GUID) { let _ = init; }

    /// `WdfDeviceInitSetPowerPolicyOwnership`. IRQL <= `DISPATCH_LEVEL`.
    WdfDeviceInitSetPowerPolicyOwnership(init, IsPowerPolicyOwner: BOOLEAN) {
        init.power_policy_owner = Some(IsPowerPolicyOwner != 0);
    }
}

/// `WdfDeviceInitSetCharacteristics`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetCharacteristics(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    DeviceCharacteristics: ULONG,
    OrInValues: BOOLEAN,
) {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    let kept = if OrInValues == 0 {
        0
    } else {
        init.characteristics
    };
    init.characteristics = kept | DeviceCharacteristics;
}

/// `WdfDeviceInitSetIoTypeEx`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetIoTypeEx(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    IoTypeConfig: *mut WDF_IO_TYPE_CONFIG,
) {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    if IoTypeConfig.is_null() {
        violation::null_parameter(c"WdfDeviceInitSetIoTypeEx");
    }
    // SAFETY: The client passes its configuration.
    init.io_type = unsafe { IoTypeConfig.read() }.ReadWriteIoType;
}

/// `WdfDeviceInitSetPowerPageable`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetPowerPageable(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
) {
    // SAFETY: The client passes its pointer.
    unsafe { self::DeviceInit::from_client(DeviceInit) }.power_pageable = true;
}

/// `WdfDeviceInitSetPowerNotPageable`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetPowerNotPageable(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
) {
    // SAFETY: The client passes its pointer.
    unsafe { self::DeviceInit::from_client(DeviceInit) }.power_pageable = false;
}

/// `WdfFdoInitSetFilter`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfFdoInitSetFilter(_: Globals, DeviceInit: PWDFDEVICE_INIT) {
    // SAFETY: The client passes its pointer.
    unsafe { self::DeviceInit::from_client(DeviceInit) }.filter = true;
}

/// `WdfFdoInitWdmGetPhysicalDevice`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfFdoInitWdmGetPhysicalDevice(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
) -> *mut DEVICE_OBJECT {
    // SAFETY: The client passes its pointer.
    unsafe { self::DeviceInit::from_client(DeviceInit) }.pdo.0
}
