//! `WDFCMRESLIST`: the hardware resources that the PnP manager assigned.

use crate::abi::{WDF_DRIVER_GLOBALS, WDFCMRESLIST};
use crate::device::Device;
use crate::kernel::{Outcome, ulong};
use crate::object::{self, Attributes, Body, ObjectRef, Typed, lookup};
use alloc::vec::Vec;
use nt_abi::{PVOID, STATUS_INSUFFICIENT_RESOURCES, ULONG};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A `CM_PARTIAL_RESOURCE_DESCRIPTOR`: 20 bytes on x64, packed to 4.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Descriptor([u8; 20]);

/// The start of a `CM_RESOURCE_LIST` with its first full descriptor.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    Count: ULONG,
    InterfaceType: i32,
    BusNumber: ULONG,
    Version: u16,
    Revision: u16,
    PartialCount: ULONG,
}
const _: () = assert!(size_of::<Header>() == 0x14);

/// A list of resources, copied from the PnP manager's. A list has one full descriptor: only bus
/// drivers of ancient buses made more.
pub struct ResourceList(Vec<Descriptor>);

/// Makes the list object for the resources of a start request; null stands for none.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub fn create(device: &Typed<Device>, resources: PVOID) -> Outcome<ObjectRef> {
    let mut list = Vec::new();
    // SAFETY: The PnP manager passes null or a resource list, which starts with its header.
    if let Some(header) = unsafe { resources.cast::<Header>().as_ref() }
        && header.Count > 0
    {
        let count = header.PartialCount as usize;
        list.try_reserve_exact(count)
            .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        // SAFETY: The descriptors follow the header.
        let first = unsafe { resources.cast::<Header>().add(1) }.cast::<Descriptor>();
        // SAFETY: The header says how many there are.
        list.extend_from_slice(unsafe { core::slice::from_raw_parts(first, count) });
    }
    let client = device.object().client();
    let body = Body::ResourceList(ResourceList(list));
    let object = object::create(client, body, &Attributes::DEFAULT, Some(device.object()))?;
    object.make_permanent();
    Ok(object)
}

/// `WdfCmResourceListGetCount`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCmResourceListGetCount(_: Globals, List: WDFCMRESLIST) -> ULONG {
    ulong(lookup::<ResourceList>(List).0.len())
}

/// `WdfCmResourceListGetDescriptor`: null when out of range. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCmResourceListGetDescriptor(
    _: Globals,
    List: WDFCMRESLIST,
    Index: ULONG,
) -> PVOID {
    let list = lookup::<ResourceList>(List);
    let descriptor = list.0.get(Index as usize);
    descriptor.map_or(core::ptr::null_mut(), |each| {
        core::ptr::from_ref(each).cast_mut().cast()
    })
}
