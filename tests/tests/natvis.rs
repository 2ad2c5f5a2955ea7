//! wdk-sync's `NatVis` file, held to the driver's .pdb: it is in there, and each type and member that it
//! names is one that the driver has. How a debugger shows them was not seen.
#![cfg(not(windows))]

use std::{collections::HashMap, fs::File};

use pdb2::{ClassType, FallibleIterator as _, PDB, TypeData, TypeFinder, TypeIndex, UnionType};
use quick_xml::{Reader, events::Event};
use syncstress_tests::images;

const NATVIS: &str = include_str!("../../driver/sync/wdk_sync.natvis");

fn pdb() -> PDB<'static, File> {
    let path = images().0.with_extension("pdb");
    PDB::open(File::open(path).expect("a .pdb beside the driver")).expect("it reads")
}

/// What the file says of some types.
#[derive(Default)]
struct Entry {
    types: Vec<String>,
    expressions: Vec<String>,
}

fn entries() -> Vec<Entry> {
    let mut reader = Reader::from_str(NATVIS);
    reader.config_mut().expand_empty_elements = true;
    let mut entries: Vec<Entry> = Vec::new();
    let mut element = String::new();
    let mut text = String::new();
    loop {
        match reader.read_event().expect("it is XML") {
            Event::Start(start) => {
                element = String::from_utf8(start.name().as_ref().to_vec()).expect("a name");
                text.clear();
                if element == "Type" {
                    entries.push(Entry::default());
                }
                for attribute in start.attributes().flatten() {
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
                    let value = value.expect("a value").into_owned();
                    let Some(entry) = entries.last_mut() else {
                        continue;
                    };
                    match (element.as_str(), attribute.key.as_ref()) {
                        ("Type" | "AlternativeType", b"Name") => entry.types.push(value),
                        (_, b"Condition") => entry.expressions.push(value),
                        _ => {}
                    }
                }
            }
            Event::Text(part) => text += &part.decode().expect("text"),
            Event::GeneralRef(part) => {
                assert_eq!(&*part, b"gt", "the one that is used");
                text.push('>');
            }
            Event::End(_) => {
                if let Some(entry) = entries.last_mut() {
                    match element.as_str() {
                        "DisplayString" => entry.expressions.extend(in_braces(&text)),
                        "Item" | "ExpandedItem" => entry.expressions.push(text.clone()),
                        _ => {}
                    }
                }
                element.clear();
                text.clear();
            }
            Event::Eof => return entries,
            _ => {}
        }
    }
}

/// The expressions in a text to display.
fn in_braces(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split('{').skip(1);
    parts.map(|part| part.split('}').next().unwrap_or_default().to_owned())
}

/// The members that an expression names, each from the type on.
fn members(expression: &str) -> Vec<Vec<String>> {
    // What follows a comma is the format.
    let expression = expression.split(',').next().unwrap_or_default();
    let expression = expression.replace("->", ".");
    let words =
        expression.split(|letter: char| !letter.is_alphanumeric() && !"_.".contains(letter));
    words
        .filter(|word| word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_'))
        .map(|word| word.split('.').map(str::to_owned).collect())
        .collect()
}

/// The driver's structures and unions.
struct Types<'a> {
    finder: &'a TypeFinder<'a>,
    by_name: HashMap<String, Vec<TypeIndex>>,
}

impl Types<'_> {
    /// The structures that a name of the file, which may end with `<*>`, stands for.
    fn named(&self, name: &str) -> Vec<(&str, TypeIndex)> {
        let fits = |known: &str| {
            name.strip_suffix("*>")
                .map_or(known == name, |generic| known.starts_with(generic))
        };
        let found = self.by_name.iter().filter(|(known, _)| fits(known));
        found
            .flat_map(|(known, all)| all.iter().map(|&index| (known.as_str(), index)))
            .collect()
    }

    /// The type of a member of a structure, a union, or what a pointer points to.
    fn member(&self, of: TypeIndex, name: &str) -> Option<TypeIndex> {
        let data = self.finder.find(of).ok()?.parse().ok()?;
        match data {
            TypeData::Pointer(pointer) => self.member(pointer.underlying_type, name),
            TypeData::Modifier(modifier) => self.member(modifier.underlying_type, name),
            TypeData::Class(ClassType {
                name: of,
                properties,
                ..
            })
            | TypeData::Union(UnionType {
                name: of,
                properties,
                ..
            }) if properties.forward_reference() => {
                let defined = self.by_name.get(&*of.to_string())?;
                defined.iter().find_map(|&index| self.member(index, name))
            }
            TypeData::Class(class) => self.field(class.fields?, name),
            TypeData::Union(union) => self.field(union.fields, name),
            _ => None,
        }
    }

    fn field(&self, list: TypeIndex, name: &str) -> Option<TypeIndex> {
        let TypeData::FieldList(list) = self.finder.find(list).ok()?.parse().ok()? else {
            return None;
        };
        let own = list.fields.iter().find_map(|field| match field {
            TypeData::Member(member) if member.name.to_string() == name => Some(member.field_type),
            _ => None,
        });
        own.or_else(|| self.field(list.continuation?, name))
    }
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn what_it_names_the_driver_has() {
    let mut pdb = pdb();
    let information = pdb.type_information().expect("types");
    let mut finder = information.finder();
    let mut by_name: HashMap<String, Vec<TypeIndex>> = HashMap::new();
    let mut types = information.iter();
    while let Some(one) = types.next().expect("a type") {
        finder.update(&types);
        if let Ok(
            TypeData::Class(ClassType {
                name, properties, ..
            })
            | TypeData::Union(UnionType {
                name, properties, ..
            }),
        ) = one.parse()
            && !properties.forward_reference()
        {
            let name = name.to_string().into_owned();
            by_name.entry(name).or_default().push(one.index());
        }
    }
    let types = Types {
        finder: &finder,
        by_name,
    };

    let entries = entries();
    assert!(entries.len() > 10, "{} types", entries.len());
    for entry in entries {
        assert!(!entry.types.is_empty());
        for name in &entry.types {
            let found = types.named(name);
            assert!(!found.is_empty(), "there is no {name}");
            for (concrete, index) in found {
                for expression in &entry.expressions {
                    let paths = members(expression);
                    assert!(!paths.is_empty(), "{name}: {expression}");
                    for path in paths {
                        let reached = path
                            .iter()
                            .try_fold(index, |of, member| types.member(of, member));
                        assert!(reached.is_some(), "{concrete}: no {}", path.join("."));
                    }
                }
            }
        }
    }
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn the_linker_has_put_it_into_the_pdb() {
    let mut pdb = pdb();
    let information = pdb.pdb_information().expect("it has a head");
    let names = information.stream_names().expect("streams with names");
    let has_it = names
        .iter()
        .filter(|stream| stream.name.to_string().ends_with(".natvis"))
        .any(|stream| {
            let stream = pdb.raw_stream(stream.stream_id).expect("the stream reads");
            stream.is_some_and(|stream| stream.as_slice() == NATVIS.as_bytes())
        });
    assert!(has_it, "the file is not in the .pdb");
}

#[test]
fn expressions_come_apart_into_members() {
    assert_eq!(
        members("1 - raw.object.value.Header.SignalState"),
        [["raw", "object", "value", "Header", "SignalState"]]
    );
    assert_eq!(members("*value.pointer,x"), [["value", "pointer"]]);
    assert_eq!(
        members("counted.pointer->value == 0"),
        [["counted", "pointer", "value"]]
    );
    assert_eq!(in_braces("a {b} c {d,x}").collect::<Vec<_>>(), ["b", "d,x"]);
}
