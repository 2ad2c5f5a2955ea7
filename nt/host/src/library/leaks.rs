//! What is allocated, open or running.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    address::to_usize,
    dispatcher,
    ex::{self, pool},
    io::{device, namespace, packet, work_item},
    ke::interrupt,
    mm::mdl,
    ob,
    thread::{self, Origin},
};

/// The kind of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LeakKind {
    /// A block of pool.
    Pool,
    /// A system thread.
    Thread,
    /// A handle.
    Handle,
    /// A device object.
    Device,
    /// A symbolic link.
    SymbolicLink,
    /// An IRP that a driver allocated.
    Irp,
    /// A memory descriptor list.
    Mdl,
    /// A work item.
    WorkItem,
    /// A timer that is set.
    Timer,
    /// An ERESOURCE that was not deleted.
    Resource,
    /// A lookaside list that was not deleted.
    Lookaside,
    /// An interrupt that is connected.
    Interrupt,
    /// A callback object that is permanent, or a routine that is registered with one.
    Callback,
}

impl fmt::Display for LeakKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pool => "pool",
            Self::Thread => "thread",
            Self::Handle => "handle",
            Self::Device => "device",
            Self::SymbolicLink => "symbolic link",
            Self::Irp => "IRP",
            Self::Mdl => "MDL",
            Self::WorkItem => "work item",
            Self::Timer => "timer",
            Self::Resource => "ERESOURCE",
            Self::Lookaside => "lookaside",
            Self::Interrupt => "interrupt",
            Self::Callback => "callback",
        })
    }
}

/// A resource that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// What it is.
    pub kind: LeakKind,
    /// Its address, or the value of a handle.
    pub address: u64,
    /// What else is known: size and tag of a pool block, the name of a device or thread.
    pub detail: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:13} 0x{:X}  {}", self.kind, self.address, self.detail)
    }
}

/// What is allocated, open or running; its text is one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaks {
    /// The resources.
    pub entries: Vec<Leak>,
}

impl Leaks {
    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing is left");
        }
        for (number, entry) in self.entries.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{entry}")?;
        }
        Ok(())
    }
}

/// Everything that is in use at this moment.
pub fn collect() -> Leaks {
    let mut entries = Vec::new();
    let mut add = |kind, address, detail| {
        entries.push(Leak {
            kind,
            address,
            detail,
        });
    };
    for block in pool::allocated() {
        let kind = if block.paged { "paged" } else { "nonpaged" };
        let detail = format!("{} bytes, tag {}, {kind}", block.size, block.tag_text());
        add(LeakKind::Pool, block.address, detail);
    }
    thread::each(|thread| {
        if thread.origin() == Origin::System {
            let detail = format!("{} ({})", thread.id(), thread.name());
            add(LeakKind::Thread, thread.address(), detail);
        }
    });
    for handle in ob::open_handles() {
        let detail = format!("{} at 0x{:X}", handle.kind, handle.object);
        add(LeakKind::Handle, handle.value, detail);
    }
    for device in device::all() {
        let driver = device
            .driver()
            .map_or_else(String::new, |d| d.kernel().name.to_string());
        let name = device.kernel().name.as_deref().unwrap_or("unnamed");
        add(
            LeakKind::Device,
            device.address(),
            format!("{name} of {driver}"),
        );
    }
    for (name, target) in namespace::links() {
        add(LeakKind::SymbolicLink, 0, format!("{name} -> {target}"));
    }
    let (timers, resources) = dispatcher::peek(|state| {
        let resources = state.resources.iter().map(to_usize).collect();
        (state.timers.addresses().map(to_usize).collect(), resources)
    });
    let lists = [
        (LeakKind::Irp, packet::allocated_by_drivers()),
        (LeakKind::Mdl, mdl::allocated()),
        (LeakKind::WorkItem, work_item::allocated()),
        (LeakKind::Timer, timers),
        (LeakKind::Resource, resources),
    ];
    for (kind, addresses) in lists {
        for address in addresses {
            add(kind, address as u64, String::new());
        }
    }
    for list in ex::lookaside::active::left() {
        add(LeakKind::Lookaside, list, String::new());
    }
    for timer in ex::timer::allocated() {
        add(LeakKind::Timer, timer, "EX_TIMER, not deleted".to_owned());
    }
    for interrupt in interrupt::connected() {
        let detail = format!("vector 0x{:X}", interrupt.vector());
        add(LeakKind::Interrupt, interrupt.address() as u64, detail);
    }
    for (address, detail) in ex::callback::left() {
        add(LeakKind::Callback, address, detail);
    }
    Leaks { entries }
}
