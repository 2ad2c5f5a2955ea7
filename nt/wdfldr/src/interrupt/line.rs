//! The line that an interrupt object has from the device's hardware resources.

use crate::resources::Descriptor;
use core::sync::atomic::{AtomicU64, Ordering};
use nt_abi::{
    _KINTERRUPT_MODE, CM_INTERRUPT_DESCRIPTOR, CM_RESOURCE_INTERRUPT_LATCHED,
    CmResourceShareShared, CmResourceTypeInterrupt, KAFFINITY, KINTERRUPT_MODE, KIRQL, UCHAR,
    ULONG, USHORT,
};

/// An interrupt among the resources of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub vector: ULONG,
    pub irql: KIRQL,
    pub group: USHORT,
    pub latched: bool,
    pub shared: bool,
    pub processors: KAFFINITY,
}

impl Line {
    /// What a descriptor says, if it is one of an interrupt.
    pub fn of(descriptor: &Descriptor) -> Option<Self> {
        let place = core::ptr::from_ref(descriptor).cast::<CM_INTERRUPT_DESCRIPTOR>();
        // SAFETY: All descriptors have that size, and any bytes are one of an interrupt.
        let descriptor = unsafe { place.read() };
        let (level, flags) = (descriptor.Level, descriptor.Flags);
        (descriptor.Type == CmResourceTypeInterrupt).then_some(Self {
            vector: descriptor.Vector,
            irql: level.to_le_bytes()[0],
            group: descriptor.Group,
            latched: flags & CM_RESOURCE_INTERRUPT_LATCHED != 0,
            shared: descriptor.ShareDisposition == CmResourceShareShared,
            processors: descriptor.Affinity,
        })
    }

    pub const fn mode(self) -> KINTERRUPT_MODE {
        if self.latched {
            _KINTERRUPT_MODE::Latched
        } else {
            _KINTERRUPT_MODE::LevelSensitive
        }
    }

    /// The `CM_SHARE_DISPOSITION`.
    pub const fn share_disposition(self) -> UCHAR {
        if self.shared {
            CmResourceShareShared
        } else {
            nt_abi::CmResourceShareDeviceExclusive
        }
    }
}

/// A line that can be looked at above `DISPATCH_LEVEL`; it changes while its interrupt is not connected.
pub struct Assigned {
    /// Vector, IRQL, flags and group; 0 for none.
    packed: AtomicU64,
    processors: AtomicU64,
}

/// In the packed form: there is a line; it comes with an edge; it is shared.
const PRESENT: u64 = 1 << 40;
const LATCHED: u64 = 1 << 41;
const SHARED: u64 = 1 << 42;

impl Assigned {
    pub const fn nothing() -> Self {
        Self {
            packed: AtomicU64::new(0),
            processors: AtomicU64::new(0),
        }
    }

    pub fn set(&self, line: Option<Line>) {
        let packed = line.map_or(0, |line| {
            u64::from(line.vector)
                | u64::from(line.irql) << 32
                | PRESENT
                | if line.latched { LATCHED } else { 0 }
                | if line.shared { SHARED } else { 0 }
                | u64::from(line.group) << 48
        });
        let processors = line.map_or(0, |line| line.processors);
        self.processors.store(processors, Ordering::Relaxed);
        self.packed.store(packed, Ordering::Release);
    }

    pub fn get(&self) -> Option<Line> {
        let packed = self.packed.load(Ordering::Acquire);
        let [v0, v1, v2, v3, irql, _, g0, g1] = packed.to_le_bytes();
        (packed & PRESENT != 0).then(|| Line {
            vector: ULONG::from_le_bytes([v0, v1, v2, v3]),
            irql,
            group: USHORT::from_le_bytes([g0, g1]),
            latched: packed & LATCHED != 0,
            shared: packed & SHARED != 0,
            processors: self.processors.load(Ordering::Relaxed),
        })
    }
}
