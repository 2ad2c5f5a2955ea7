//! `WDFDRIVER`: the driver object, its entry points and its end.

use crate::abi::{
    PFN_WDF_DRIVER_DEVICE_ADD, PFN_WDF_DRIVER_UNLOAD, WDF_DRIVER_CONFIG, WDF_DRIVER_GLOBALS,
    WDF_DRIVER_VERSION_AVAILABLE_PARAMS, WDF_OBJECT_ATTRIBUTES, WDFDRIVER, WDFOBJECT, WDFSTRING,
    WdfDriverInitCompanion, WdfDriverInitNoDispatchOverride, WdfDriverInitNonPnpDriver,
};
use crate::callback_lock::{CallbackLock, Constraints, Scope, synchronized};
use crate::client::Client;
use crate::device;
use crate::kernel::{Outcome, Ptr, status_of};
use crate::object::{self, Attributes, Body, ParentRule, Rules, lookup};
use crate::string::StringObject;
use crate::violation;
use nt_abi::{
    BOOLEAN, DEVICE_OBJECT, DRIVER_OBJECT, NTSTATUS, PUNICODE_STRING, PWSTR,
    STATUS_DRIVER_INTERNAL_ERROR, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_PARAMETER,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The framework's version, as `WdfDriverRetrieveVersionString` gives it.
const VERSION: &str = "Kernel Mode Driver Framework version 1.33";

/// A framework driver object.
pub struct Driver {
    add: PFN_WDF_DRIVER_DEVICE_ADD,
    unload: PFN_WDF_DRIVER_UNLOAD,
    constraints: Constraints,
    /// Held around the driver's own event, if it asked for any synchronization.
    callback_lock: Option<CallbackLock>,
}

impl Driver {
    /// What devices inherit.
    pub const fn constraints(&self) -> Constraints {
        self.constraints
    }
}

/// `WdfDriverCreate`. IRQL `PASSIVE_LEVEL`, once per driver.
pub unsafe extern "win64" fn WdfDriverCreate(
    DriverGlobals: Globals,
    DriverObject: *mut DRIVER_OBJECT,
    RegistryPath: PUNICODE_STRING,
    DriverAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    DriverConfig: *mut WDF_DRIVER_CONFIG,
    Driver: *mut WDFDRIVER,
) -> NTSTATUS {
    let client = Client::from_globals(DriverGlobals);
    if DriverObject.is_null() || RegistryPath.is_null() || DriverConfig.is_null() {
        violation::null_parameter(c"WdfDriverCreate");
    }
    // SAFETY: The client passes its configuration.
    let config = unsafe { DriverConfig.read() };
    let rules = Rules {
        parent: ParentRule::Forbidden,
        levels: true,
    };
    // SAFETY: The client passes its attributes.
    let outcome = unsafe { Attributes::read(DriverAttributes, rules) }
        .and_then(|attributes| create(client, &config, &attributes))
        .map(|handle| {
            take_over(Ptr(DriverObject), &config);
            // SAFETY: An optional output; the client passes null or a place for a handle.
            if let Some(place) = unsafe { Driver.as_mut() } {
                *place = handle;
            }
        });
    status_of(outcome)
}

fn create(
    client: &'static Client,
    config: &WDF_DRIVER_CONFIG,
    attributes: &Attributes,
) -> Outcome<WDFDRIVER> {
    let known =
        WdfDriverInitNonPnpDriver | WdfDriverInitNoDispatchOverride | WdfDriverInitCompanion;
    if config.Size as usize != size_of::<WDF_DRIVER_CONFIG>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let flags = config.DriverInitFlags;
    let override_dispatch = flags & WdfDriverInitNoDispatchOverride == 0;
    let device_add_without_pnp =
        flags & WdfDriverInitNonPnpDriver != 0 && config.EvtDriverDeviceAdd.is_some();
    if flags & !known != 0 || (override_dispatch && device_add_without_pnp) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if client.driver() != WDFOBJECT::NULL {
        return Err(STATUS_DRIVER_INTERNAL_ERROR);
    }
    if config.DriverPoolTag != 0 {
        client.set_tag(config.DriverPoolTag);
    }
    let constraints = Constraints::DEFAULT.under(attributes.raw());
    let callback_lock = (constraints.scope != Scope::None)
        .then(|| CallbackLock::new(true))
        .transpose()?;
    let driver = crate::kernel::try_box(Driver {
        add: config.EvtDriverDeviceAdd,
        unload: config.EvtDriverUnload,
        constraints,
        callback_lock,
    })?;
    let object = object::create(client, Body::Driver(driver), attributes, None)?;
    object.make_permanent();
    client.set_driver(&object);
    let displace = config.EvtDriverUnload.is_some()
        || flags & (WdfDriverInitNoDispatchOverride | WdfDriverInitNonPnpDriver) == 0;
    client.update_public(|public| {
        public.Driver = object.handle();
        public.DriverFlags |= flags;
        public.DriverTag = client.tag();
        public.DisplaceDriverUnload = displace.into();
    });
    Ok(object.handle())
}

/// Makes the framework the entry point for everything that the system asks of the driver.
fn take_over(driver_object: Ptr<DRIVER_OBJECT>, config: &WDF_DRIVER_CONFIG) {
    let flags = config.DriverInitFlags;
    if flags & WdfDriverInitNoDispatchOverride != 0 {
        return;
    }
    // SAFETY: The driver object is the one that the client's entry point was given, and its
    // initialisation, which this is part of, has it to itself.
    let driver_object = unsafe { &mut *driver_object.0 };
    driver_object.MajorFunction.fill(Some(device::dispatch));
    if flags & WdfDriverInitNonPnpDriver == 0 {
        // SAFETY: Every driver object has an extension.
        unsafe { (*driver_object.DriverExtension).AddDevice = Some(add_device) };
        driver_object.DriverUnload = Some(unload);
    } else if config.EvtDriverUnload.is_some() {
        driver_object.DriverUnload = Some(unload);
    }
}

/// The `AddDevice` routine of every PnP client.
unsafe extern "win64" fn add_device(
    driver_object: *mut DRIVER_OBJECT,
    pdo: *mut DEVICE_OBJECT,
) -> NTSTATUS {
    let Some(client) = Client::of_driver_object(driver_object) else {
        return STATUS_INVALID_PARAMETER;
    };
    let driver = lookup::<Driver>(client.driver());
    let Some(add) = driver.add else {
        return nt_abi::STATUS_SUCCESS;
    };
    status_of(synchronized(driver.callback_lock.as_ref(), || {
        device::add(client, driver.handle(), add, Ptr(pdo))
    }))
}

/// The unload routine of every client: the event, then the driver object and all below it.
unsafe extern "win64" fn unload(driver_object: *mut DRIVER_OBJECT) {
    let Some(client) = Client::of_driver_object(driver_object) else {
        return;
    };
    let driver = lookup::<Driver>(client.driver());
    if let Some(unload) = driver.unload {
        // SAFETY: The client registered the event for its driver object, and the system calls this
        // at `PASSIVE_LEVEL`.
        unsafe { unload(driver.handle()) };
    }
    object::delete(driver.object());
}

/// `WdfDriverGetRegistryPath`: null-terminated, valid while the driver object is. IRQL
/// `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDriverGetRegistryPath(_: Globals, Driver: WDFDRIVER) -> PWSTR {
    let driver = lookup::<self::Driver>(Driver);
    driver.object().client().registry_path().as_ptr().cast_mut()
}

/// `WdfDriverWdmGetDriverObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDriverWdmGetDriverObject(
    _: Globals,
    Driver: WDFDRIVER,
) -> *mut DRIVER_OBJECT {
    lookup::<self::Driver>(Driver)
        .object()
        .client()
        .driver_object()
        .0
}

/// `WdfWdmDriverGetWdfDriverHandle`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWdmDriverGetWdfDriverHandle(
    _: Globals,
    DriverObject: *mut DRIVER_OBJECT,
) -> WDFDRIVER {
    Client::of_driver_object(DriverObject).map_or(WDFOBJECT::NULL, Client::driver)
}

/// `WdfDriverRetrieveVersionString`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDriverRetrieveVersionString(
    _: Globals,
    Driver: WDFDRIVER,
    String: WDFSTRING,
) -> NTSTATUS {
    lookup::<self::Driver>(Driver);
    let string = lookup::<StringObject>(String);
    status_of(string.assign(VERSION.encode_utf16()))
}

/// `WdfDriverIsVersionAvailable`: whether a version is this one's or an older one.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDriverIsVersionAvailable(
    _: Globals,
    Driver: WDFDRIVER,
    Params: *mut WDF_DRIVER_VERSION_AVAILABLE_PARAMS,
) -> BOOLEAN {
    lookup::<self::Driver>(Driver);
    if Params.is_null() {
        violation::null_parameter(c"WdfDriverIsVersionAvailable");
    }
    // SAFETY: The client passes its parameters.
    let params = unsafe { Params.read() };
    let sized = params.Size as usize == size_of::<WDF_DRIVER_VERSION_AVAILABLE_PARAMS>();
    (sized
        && params.MajorVersion == crate::loader::MAJOR
        && params.MinorVersion <= crate::loader::MINOR)
        .into()
}
