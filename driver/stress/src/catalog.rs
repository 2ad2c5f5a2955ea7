//! Everything that can be run.

use syncstress_protocol::{ItemDescriptor, ItemKind, Text};

use crate::{
    behaviour::{self, Test},
    hold::{self, Pattern},
    limits,
    scenario::{self, Scenario},
    settings::Parameter,
};

/// One thing that can be run.
#[derive(Clone, Copy)]
pub enum Item {
    /// A documented behaviour, checked once.
    Test(&'static Test),
    /// Many threads on one primitive.
    Scenario(&'static Scenario),
    /// A lock or timer in a known state.
    Hold(&'static Pattern),
}

/// All items, in the order in which they are listed: tests by primitive, scenarios, then patterns.
pub fn items() -> impl Iterator<Item = Item> {
    let tests = behaviour::TABLES.iter().copied().flatten().map(Item::Test);
    let patterns = hold::TABLES.iter().copied().flatten().map(Item::Hold);
    tests
        .chain(scenario::TABLE.iter().copied().map(Item::Scenario))
        .chain(patterns)
}

/// How many items there are.
pub fn count() -> u32 {
    u32::try_from(items().count()).unwrap_or(u32::MAX)
}

/// The item of this id.
pub fn find(id: u32) -> Option<Item> {
    items().find(|item| item.id() == id)
}

impl Item {
    /// What a request names it by; stable over versions.
    pub const fn id(self) -> u32 {
        match self {
            Self::Test(test) => test.id,
            Self::Scenario(scenario) => scenario.id,
            Self::Hold(pattern) => pattern.id,
        }
    }

    /// The parameters that it takes.
    pub const fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Test(_) => &[],
            Self::Scenario(scenario) => scenario.parameters,
            Self::Hold(_) => hold::PARAMETERS,
        }
    }

    /// As the wire has it.
    pub fn descriptor(self) -> ItemDescriptor {
        let (kind, primitive, flags, name, summary) = match self {
            Self::Test(it) => (
                ItemKind::BehaviourTest,
                it.primitive,
                0,
                it.name,
                it.summary,
            ),
            Self::Scenario(it) => (
                ItemKind::Scenario,
                it.primitive,
                it.flags,
                it.name,
                it.summary,
            ),
            Self::Hold(it) => (ItemKind::HoldPattern, it.primitive, 0, it.name, it.summary),
        };
        ItemDescriptor {
            id: self.id(),
            kind: kind.to_wire(),
            primitive: primitive.to_wire(),
            flags,
            parameters: u32::try_from(self.parameters().len()).unwrap_or(u32::MAX),
            reserved: 0,
            name: Text::new(name),
            summary: Text::new(summary),
        }
    }

    /// How many threads a run of a test counts as.
    pub const TEST_THREADS: u32 = 4;
    const _WITHIN: () = assert!(Self::TEST_THREADS <= limits::THREADS_PER_RUN);
}
