//! Driver-defined interfaces: tables of functions that one driver of a stack asks another one for.
//!
//! A query is `IRP_MN_QUERY_INTERFACE`, which goes to the top of the stack. Which device answers, and what the
//! drivers below it see then, is as in the framework's public source.

use super::Device;
use crate::abi::{
    PFN_WDF_DEVICE_PROCESS_QUERY_INTERFACE_REQUEST, WDF_DRIVER_GLOBALS, WDF_QUERY_INTERFACE_CONFIG,
    WDFDEVICE,
};
use crate::kernel::{
    Block, EMPTY, IoGetAttachedDeviceReference, Irp, ObfDereferenceObject, Outcome, OwnedIrp, Ptr,
    SpinLock, current_irql, status_of, try_box,
};
use crate::object::{Typed, lookup};
use crate::violation;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use nt_abi::{
    DEVICE_OBJECT, GUID, INTERFACE, IO_STACK_LOCATION, IRP_MJ_PNP, IRP_MN_QUERY_INTERFACE,
    IoStackParameters, NT_SUCCESS, NTSTATUS, PVOID, QueryInterfaceParameters,
    STATUS_INFO_LENGTH_MISMATCH, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
    USHORT,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The interfaces of a device, the oldest first, which is the one of its type that is found.
#[expect(
    clippy::vec_box,
    reason = "who found one looks at it while others are added"
)]
pub struct Exports(SpinLock<Vec<Box<Export>>>);

/// An interface that a device has.
struct Export {
    kind: GUID,
    /// A copy of the client's structure, if it gave one.
    interface: Option<Block>,
    process: PFN_WDF_DEVICE_PROCESS_QUERY_INTERFACE_REQUEST,
    /// Whether the client fills in the caller's structure, which has something for it in it.
    import: bool,
}

impl Exports {
    pub const fn new() -> Self {
        Self(SpinLock::new(Vec::new()))
    }

    fn add(&self, export: Box<Export>) -> Outcome {
        self.0.with(|exports| {
            exports
                .try_reserve(1)
                .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            exports.push(export);
            Ok(())
        })
    }

    fn find(&self, kind: &GUID) -> Option<&Export> {
        let found = self.0.with(|exports| {
            let export = exports.iter().find(|export| export.kind == *kind)?;
            Some(core::ptr::from_ref::<Export>(export))
        })?;
        // SAFETY: Each lies in a box of its own, and none goes before the device does.
        Some(unsafe { &*found })
    }
}

impl Export {
    /// # Errors
    /// What `WdfDeviceAddQueryInterface` says of a configuration.
    ///
    /// # Safety
    /// The configuration is the client's.
    unsafe fn of(config: &WDF_QUERY_INTERFACE_CONFIG, tag: u32) -> Outcome<Self> {
        let import = config.ImportInterface != 0;
        let process = config.EvtDeviceProcessQueryInterfaceRequest;
        // Only a physical device has a parent whose stack could be asked.
        let is_invalid = config.SendQueryToParentStack != 0
            || config.Interface.is_null() && !import
            || import && process.is_none();
        if is_invalid {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let interface = (!config.Interface.is_null())
            // SAFETY: By contract.
            .then(|| unsafe { copy(config.Interface, tag) })
            .transpose()?;
        Ok(Self {
            // SAFETY: By contract; the caller has seen that it is not null.
            kind: unsafe { config.InterfaceType.read() },
            interface,
            process,
            import,
        })
    }

    /// Puts the interface where the query wants it, if it asks for one as large and as new.
    fn expose(&self, query: &QueryInterfaceParameters) -> Outcome {
        let Some(interface) = &self.interface else {
            return Ok(());
        };
        // SAFETY: The block begins with the structure, which `copy` put there.
        let header = unsafe { &*interface.start::<INTERFACE>() };
        if header.Size > query.Size || header.Version > query.Version {
            return Err(STATUS_INVALID_BUFFER_SIZE);
        }
        if !self.import {
            // SAFETY: The buffer of the query has at least that size, and the block has it.
            unsafe {
                query
                    .Interface
                    .cast::<u8>()
                    .copy_from_nonoverlapping(interface.as_ptr(), header.Size.into());
            }
        }
        Ok(())
    }

    /// Lets the client see what is about to be handed out.
    fn process(&self, device: &Typed<Device>, query: &QueryInterfaceParameters) -> NTSTATUS {
        self.process.map_or(STATUS_SUCCESS, |process| {
            // SAFETY: The client registered the event for its device; queries are at `PASSIVE_LEVEL`.
            unsafe {
                process(
                    device.handle(),
                    query.InterfaceType,
                    query.Interface,
                    query.InterfaceSpecificData,
                )
            }
        })
    }
}

/// A copy of a client's interface, with functions for its references in any case.
///
/// # Safety
/// It is the client's, of the size that it says.
unsafe fn copy(interface: *const INTERFACE, tag: u32) -> Outcome<Block> {
    const unsafe extern "win64" fn nothing(_: PVOID) {}
    // SAFETY: By contract.
    let size = usize::from(unsafe { (*interface).Size });
    if size < size_of::<INTERFACE>() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let block = Block::new(size, tag)?;
    // SAFETY: Both are that large.
    unsafe {
        block
            .as_ptr()
            .copy_from_nonoverlapping(interface.cast(), size);
    }
    // SAFETY: The structure was put there just now.
    let header = unsafe { &mut *block.start::<INTERFACE>() };
    header.InterfaceReference.get_or_insert(nothing);
    header.InterfaceDereference.get_or_insert(nothing);
    Ok(block)
}

/// `IRP_MN_QUERY_INTERFACE`: passed down if the device does not have the interface, and for others to have their
/// say if it does. IRQL `PASSIVE_LEVEL`.
pub fn answer(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    // SAFETY: A query has these parameters.
    let query = unsafe { location.Parameters.QueryInterface };
    // SAFETY: The type is the asking driver's.
    let export = unsafe { query.InterfaceType.as_ref() }.and_then(|kind| device.exports.find(kind));
    let Some(export) = export else {
        // SAFETY: The dispatch routine owns the IRP, and `lower` is attached below.
        return unsafe { irp.forward(device.lower()) };
    };
    let status = match export.expose(&query) {
        Ok(()) => export.process(device, &query),
        // SAFETY: The dispatch routine owns the IRP.
        Err(status) => return unsafe { irp.complete(status) },
    };
    if !NT_SUCCESS(status) && status != STATUS_NOT_SUPPORTED {
        // SAFETY: As above.
        return unsafe { irp.complete(status) };
    }
    // SAFETY: The interface was filled in, here or by the client.
    let interface = unsafe { query.Interface.read() };
    if let Some(reference) = interface.InterfaceReference {
        // SAFETY: The functions of an interface take its context.
        unsafe { reference(interface.Context) };
    }
    // SAFETY: The dispatch routine owns the IRP.
    unsafe { irp.set_status(status) };
    // SAFETY: As above, and `lower` is attached below.
    let status = unsafe { irp.forward_and_wait(device.lower()) };
    // SAFETY: `forward_and_wait` gave the IRP back.
    unsafe { irp.complete(status) }
}

/// Asks the stack that a device belongs to. IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, or what the stack says: `STATUS_NOT_SUPPORTED` if nobody has the interface.
///
/// # Safety
/// The device is there, and the pointers are those of a client.
pub unsafe fn query_stack(device: Ptr<DEVICE_OBJECT>, query: QueryInterfaceParameters) -> NTSTATUS {
    // SAFETY: The device is there by contract.
    let top = Ptr(unsafe { IoGetAttachedDeviceReference(device.0) });
    let location = IO_STACK_LOCATION {
        #[expect(clippy::cast_possible_truncation, reason = "codes are bytes")]
        MajorFunction: IRP_MJ_PNP as u8,
        #[expect(clippy::cast_possible_truncation, reason = "codes are bytes")]
        MinorFunction: IRP_MN_QUERY_INTERFACE as u8,
        Parameters: IoStackParameters {
            QueryInterface: query,
        },
        ..EMPTY
    };
    // SAFETY: The IRP is made for the device, and the reference keeps that.
    let ask = |irp: OwnedIrp| unsafe { irp.ask(top, location, STATUS_NOT_SUPPORTED) };
    let status = OwnedIrp::new(top).map_or_else(|status| status, ask);
    // SAFETY: The reference came with the device.
    unsafe { ObfDereferenceObject(top.0.cast()) };
    status
}

/// The parameters of a query; what a function of that name must not be given stops the system.
pub fn query_parameters(
    InterfaceType: *const GUID,
    Interface: *mut INTERFACE,
    Size: USHORT,
    Version: USHORT,
    InterfaceSpecificData: *mut c_void,
) -> QueryInterfaceParameters {
    if InterfaceType.is_null() || Interface.is_null() {
        violation::null_parameter(c"a function that queries an interface");
    }
    QueryInterfaceParameters {
        InterfaceType,
        Size,
        Version,
        Interface,
        InterfaceSpecificData,
    }
}

/// `WdfDeviceAddQueryInterface`: has the device answer queries for an interface, of which it keeps a copy.
/// IRQL `PASSIVE_LEVEL` (`STATUS_INVALID_DEVICE_REQUEST`).
///
/// `STATUS_INVALID_DEVICE_REQUEST` for a control device, `STATUS_INFO_LENGTH_MISMATCH` for a configuration of
/// another size, `STATUS_INVALID_PARAMETER` for one that makes no sense.
pub unsafe extern "win64" fn WdfDeviceAddQueryInterface(
    DriverGlobals: Globals,
    Device: WDFDEVICE,
    InterfaceConfig: *mut WDF_QUERY_INTERFACE_CONFIG,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    // SAFETY: The client passes its configuration.
    let config = unsafe { InterfaceConfig.as_ref() };
    let Some(config) = config.filter(|config| !config.InterfaceType.is_null()) else {
        violation::null_parameter(c"WdfDeviceAddQueryInterface");
    };
    if current_irql() != 0 || device.is_control() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if config.Size as usize != size_of_val(config) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    let tag = crate::client::Client::from_globals(DriverGlobals).tag();
    // SAFETY: It is the client's.
    let added = unsafe { Export::of(config, tag) }
        .and_then(|export| Ok(try_box(export)?))
        .and_then(|export| device.exports.add(export));
    status_of(added)
}

/// `WdfFdoQueryForInterface`: asks the stack of a functional device for an interface.
/// IRQL `PASSIVE_LEVEL` (`STATUS_INVALID_DEVICE_REQUEST`).
///
/// `STATUS_INVALID_PARAMETER` for a control device; `STATUS_NOT_SUPPORTED` if nobody has the interface; what who
/// has it says.
pub unsafe extern "win64" fn WdfFdoQueryForInterface(
    _: Globals,
    Fdo: WDFDEVICE,
    InterfaceType: *const GUID,
    Interface: *mut INTERFACE,
    Size: USHORT,
    Version: USHORT,
    InterfaceSpecificData: *mut c_void,
) -> NTSTATUS {
    let device = lookup::<Device>(Fdo);
    let query = query_parameters(
        InterfaceType,
        Interface,
        Size,
        Version,
        InterfaceSpecificData,
    );
    if current_irql() != 0 {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if device.is_control() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: The device is there while its framework object is, and the pointers are the client's.
    unsafe { query_stack(Ptr(device.wdm()), query) }
}
