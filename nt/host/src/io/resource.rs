//! The hardware resources of a device: the interrupts that it was found with.

use nt_abi::{
    CM_INTERRUPT_DESCRIPTOR, CM_RESOURCE_INTERRUPT_LATCHED, CM_RESOURCE_LIST_HEADER,
    CmResourceShareDeviceExclusive, CmResourceShareShared, CmResourceTypeInterrupt, KAFFINITY,
    KIRQL, LONG, PVOID, ULONG, USHORT,
};

/// An interrupt among the resources of a device, which
/// [`Kernel::interrupt`](crate::Kernel::interrupt) raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptResource {
    /// The vector.
    pub vector: ULONG,
    /// The IRQL of the device, from 3 to 12.
    pub irql: KIRQL,
    /// Whether it comes with an edge, not for as long as a level lasts.
    pub latched: bool,
    /// Whether other devices may share the vector.
    pub shared: bool,
    /// The processors that it may come to.
    pub processors: KAFFINITY,
}

/// `PNPBus`: the interface of devices that the `PnP` manager finds itself.
const PNP_BUS: LONG = 15;

/// A `CM_RESOURCE_LIST`, as an IRP that starts a device has it twice.
pub struct ResourceList(Vec<u32>);

impl ResourceList {
    /// The list of a device with these interrupts.
    pub fn new(interrupts: &[InterruptResource]) -> Self {
        let size = size_of::<CM_RESOURCE_LIST_HEADER>()
            + interrupts.len() * size_of::<CM_INTERRUPT_DESCRIPTOR>();
        let mut list = vec![0; size.div_ceil(4)];
        let header = CM_RESOURCE_LIST_HEADER {
            Count: 1,
            InterfaceType: PNP_BUS,
            BusNumber: 0,
            Version: 1,
            Revision: 1,
            PartialCount: interrupts.len() as ULONG,
        };
        let place = list.as_mut_ptr().cast::<CM_RESOURCE_LIST_HEADER>();
        // SAFETY: The list has room for the header, and its alignment.
        unsafe { place.write(header) };
        let first = place.wrapping_add(1).cast::<CM_INTERRUPT_DESCRIPTOR>();
        for (index, interrupt) in interrupts.iter().enumerate() {
            // SAFETY: The list has room for as many descriptors, and their alignment.
            unsafe { first.wrapping_add(index).write(describe(interrupt)) };
        }
        Self(list)
    }

    /// Where it lies.
    pub const fn address(&mut self) -> PVOID {
        self.0.as_mut_ptr().cast()
    }
}

fn describe(interrupt: &InterruptResource) -> CM_INTERRUPT_DESCRIPTOR {
    CM_INTERRUPT_DESCRIPTOR {
        Type: CmResourceTypeInterrupt,
        ShareDisposition: if interrupt.shared {
            CmResourceShareShared
        } else {
            CmResourceShareDeviceExclusive
        },
        Flags: if interrupt.latched {
            CM_RESOURCE_INTERRUPT_LATCHED
        } else {
            0
        },
        Level: USHORT::from(interrupt.irql),
        Group: 0,
        Vector: interrupt.vector,
        Affinity: interrupt.processors,
    }
}
