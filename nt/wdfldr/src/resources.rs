//! `WDFCMRESLIST`: the hardware resources that the PnP manager assigned.

use crate::abi::{WDF_DRIVER_GLOBALS, WDFCMRESLIST};
use crate::device::Device;
use crate::kernel::{Outcome, ulong};
use crate::object::{self, Attributes, Body, ObjectRef, Typed, lookup};
use alloc::vec::Vec;
use nt_abi::{CM_RESOURCE_LIST_HEADER, PVOID, STATUS_INSUFFICIENT_RESOURCES, ULONG};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A `CM_PARTIAL_RESOURCE_DESCRIPTOR`: 20 bytes on x64, packed to 4.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub struct Descriptor([u8; 20]);

/// A list of resources, copied from the PnP manager's. A list has one full descriptor: only bus
/// drivers of ancient buses made more.
pub struct ResourceList(Vec<Descriptor>);

/// The descriptors of a resource list; none for null.
///
/// # Safety
/// `resources` is null or a `CM_RESOURCE_LIST` that lives as long as the result.
pub unsafe fn descriptors<'a>(resources: PVOID) -> &'a [Descriptor] {
    // SAFETY: A resource list starts with its header.
    let header = unsafe { resources.cast::<CM_RESOURCE_LIST_HEADER>().as_ref() };
    let Some(header) = header.filter(|header| header.Count > 0) else {
        return &[];
    };
    // SAFETY: The descriptors follow the header.
    let first = unsafe { resources.cast::<CM_RESOURCE_LIST_HEADER>().add(1) };
    // SAFETY: The header says how many there are.
    unsafe { core::slice::from_raw_parts(first.cast(), header.PartialCount as usize) }
}

/// Makes the list object for the resources of a start request; null stands for none.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub fn create(device: &Typed<Device>, resources: PVOID) -> Outcome<ObjectRef> {
    let mut list = Vec::new();
    // SAFETY: The PnP manager passes null or a resource list, which lives through its request.
    let descriptors = unsafe { descriptors(resources) };
    list.try_reserve_exact(descriptors.len())
        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    list.extend_from_slice(descriptors);
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
