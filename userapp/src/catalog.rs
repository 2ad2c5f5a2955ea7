//! What the driver can run, as it lists it.

use std::{collections::HashSet, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncstress_protocol::{
    ItemDescriptor, ItemFlags, ItemKind, ParameterDescriptor, ParameterFlags,
};

use crate::{
    client::{Client, ClientError},
    wire::{self, Word, clean},
};

/// A behaviour test or a stress scenario.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Its number in the protocol.
    pub id: u32,
    /// The name that the user types.
    pub name: String,
    /// What it is about.
    pub primitive: Word,
    /// What sort of thing it is, in words.
    #[serde(rename = "kind")]
    pub kind_name: Word,
    /// What sort of thing it is; none if this program is too old to know.
    #[serde(skip)]
    pub kind: Option<ItemKind>,
    /// A deliberately broken lock, which has to be reported as failed.
    pub negative_control: bool,
    /// One sentence.
    pub summary: String,
    /// What can be set.
    pub parameters: Vec<Parameter>,
}

impl Item {
    /// Whether it has a parameter of this name.
    pub fn takes(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .any(|parameter| parameter.name == name)
    }
}

/// A parameter of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Parameter {
    /// Its number in the protocol.
    pub id: u32,
    /// The name that the user types.
    pub name: String,
    /// The unit's abbreviation, empty for a plain number.
    pub unit: Word,
    /// Smallest value.
    pub minimum: u64,
    /// Largest value.
    pub maximum: u64,
    /// The value where none is given.
    pub default: u64,
    /// One sentence.
    pub summary: String,
    /// What one of it takes, if it says how long a run is.
    #[serde(skip)]
    pub length_unit: Option<Duration>,
}

/// Reads the whole catalogue from the driver.
///
/// # Errors
/// Any [`ClientError`]; ids and names that are there twice or empty break the protocol too.
pub fn read(client: &Client) -> Result<Vec<Item>, ClientError> {
    let items: Vec<Item> = client
        .items()?
        .iter()
        .map(|item| read_item(client, item))
        .collect::<Result<_, _>>()?;
    unambiguous(
        "LIST_ITEMS",
        items.iter().map(|item| (item.id, item.name.as_str())),
    )?;
    Ok(items)
}

fn read_item(client: &Client, item: &ItemDescriptor) -> Result<Item, ClientError> {
    let parameters: Vec<Parameter> = if item.parameters == 0 {
        Vec::new()
    } else {
        client
            .parameters(item.id)?
            .iter()
            .map(Parameter::new)
            .collect()
    };
    let names = parameters
        .iter()
        .map(|parameter| (parameter.id, parameter.name.as_str()));
    unambiguous("LIST_PARAMETERS", names)?;
    Ok(Item {
        id: item.id,
        name: clean(item.name.as_str(), false),
        primitive: wire::primitive(item.primitive),
        kind_name: wire::kind(item.kind),
        kind: ItemKind::from_wire(item.kind),
        negative_control: item.flags & ItemFlags::EXPECTED_TO_FAIL != 0,
        summary: clean(item.summary.as_str(), false),
        parameters,
    })
}

impl Parameter {
    fn new(parameter: &ParameterDescriptor) -> Self {
        Self {
            id: parameter.id,
            name: clean(parameter.name.as_str(), false),
            unit: wire::unit(parameter.unit),
            minimum: parameter.minimum,
            maximum: parameter.maximum,
            default: parameter.default,
            summary: clean(parameter.summary.as_str(), false),
            length_unit: (parameter.flags & ParameterFlags::LENGTH != 0)
                .then(|| wire::unit_of_time(parameter.unit))
                .flatten(),
        }
    }
}

/// Refuses ids and names that are there twice, and empty names.
fn unambiguous<'a>(
    request: &'static str,
    entries: impl Iterator<Item = (u32, &'a str)>,
) -> Result<(), ClientError> {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for (id, name) in entries {
        if name.is_empty() || !ids.insert(id) || !names.insert(name) {
            let why = format!("entry {id} `{name}` has no name, or is there twice");
            return Err(ClientError::Protocol { request, why });
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod samples {
    //! Items for tests.

    use super::*;

    /// An item of this kind and name.
    pub fn item(id: u32, kind: ItemKind, name: &str, negative_control: bool) -> Item {
        Item {
            id,
            name: name.to_owned(),
            primitive: wire::primitive(1),
            kind_name: wire::kind(kind.to_wire()),
            kind: Some(kind),
            negative_control,
            summary: String::new(),
            parameters: Vec::new(),
        }
    }

    /// A parameter with this range.
    pub fn parameter(id: u32, name: &str, range: std::ops::RangeInclusive<u64>) -> Parameter {
        Parameter {
            id,
            name: name.to_owned(),
            unit: wire::unit(1),
            minimum: *range.start(),
            maximum: *range.end(),
            default: *range.start(),
            summary: String::new(),
            length_unit: None,
        }
    }
}
