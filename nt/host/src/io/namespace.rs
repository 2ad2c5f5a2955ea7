//! The object namespace, as far as devices need it: named devices and symbolic links.
//!
//! Names are compared without case. `\DosDevices\X` and `\??\X` are one name, and what Windows calls
//! `\\.\X` in user mode.

use std::collections::BTreeMap;

use nt_abi::{
    NTSTATUS, PUNICODE_STRING, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_INVALID, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_SUCCESS,
};
use parking_lot::Mutex;

use super::{
    object::DeviceObject,
    rules::{Rule, passive_level},
};
use crate::{fault, rtl};

/// How many symbolic links are followed before a name is taken for a circle.
const LINKS: usize = 8;

/// What has a name.
#[derive(Clone, Debug)]
enum Entry {
    Device(DeviceObject),
    Link(String),
}

static NAMES: Mutex<BTreeMap<String, Entry>> = Mutex::new(BTreeMap::new());

/// The form of a name by which it is found.
fn key(name: &str) -> String {
    let name = name.to_lowercase();
    for prefix in [r"\\.\", r"\\?\", r"\dosdevices\", r"\global??\"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return format!(r"\??\{rest}");
        }
    }
    name
}

fn insert(name: &str, entry: Entry) -> Result<(), NTSTATUS> {
    if !name.starts_with('\\') {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    let mut names = NAMES.lock();
    let key = key(name);
    if names.contains_key(&key) {
        return Err(STATUS_OBJECT_NAME_COLLISION);
    }
    names.insert(key, entry);
    drop(names);
    Ok(())
}

/// Names a device.
pub fn insert_device(name: &str, device: DeviceObject) -> Result<(), NTSTATUS> {
    insert(name, Entry::Device(device))
}

/// Makes a symbolic link.
pub fn insert_link(name: &str, target: &str) -> Result<(), NTSTATUS> {
    insert(name, Entry::Link(target.to_owned()))
}

/// Removes the name of a device, which need not have one.
pub fn remove_device(name: &str) {
    NAMES.lock().remove(&key(name));
}

/// Removes a symbolic link.
pub fn remove_link(name: &str) -> Result<(), NTSTATUS> {
    let (key, mut names) = (key(name), NAMES.lock());
    match names.get(&key) {
        Some(Entry::Link(_)) => {
            names.remove(&key);
            Ok(())
        }
        Some(Entry::Device(_)) => Err(nt_abi::STATUS_OBJECT_TYPE_MISMATCH),
        None => Err(STATUS_OBJECT_NAME_NOT_FOUND),
    }
}

/// All symbolic links, with their targets.
pub fn links() -> Vec<(String, String)> {
    let names = NAMES.lock();
    names
        .iter()
        .filter_map(|(name, entry)| match entry {
            Entry::Link(target) => Some((name.clone(), target.clone())),
            Entry::Device(_) => None,
        })
        .collect()
}

/// The device that a name leads to, with a reference that belongs to the caller, and the rest of the
/// name, which is the file's.
pub fn open(name: &str) -> Result<(DeviceObject, String), NTSTATUS> {
    let names = NAMES.lock();
    let mut name = name.to_owned();
    for _ in 0..LINKS {
        let key = key(&name);
        // The longest name that is one, followed by the end or a backslash.
        let found = key
            .match_indices('\\')
            .map(|(at, _)| at)
            .chain([key.len()])
            .rev()
            .find_map(|end| Some((end, names.get(&key[..end])?)));
        let Some((end, entry)) = found else {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        };
        // Lower case may differ in length; the rest then loses its case, which no driver relies on.
        let skipped = key.len() - end;
        let rest = name.get(name.len().saturating_sub(skipped)..);
        let rest = rest.map_or_else(|| key[end..].to_owned(), str::to_owned);
        match entry {
            Entry::Device(device) => {
                device.reference();
                return Ok((*device, rest));
            }
            Entry::Link(target) => name = format!("{target}{rest}"),
        }
    }
    Err(STATUS_OBJECT_NAME_NOT_FOUND)
}

/// Makes a symbolic link to a device. `PASSIVE_LEVEL`. `STATUS_OBJECT_NAME_COLLISION` if the name is
/// taken. DDI: `IoCreateSymbolicLink`.
///
/// # Safety
///
/// Both strings must be valid.
pub unsafe extern "win64" fn IoCreateSymbolicLink(
    SymbolicLinkName: PUNICODE_STRING,
    DeviceName: PUNICODE_STRING,
) -> NTSTATUS {
    const NAME: &str = "IoCreateSymbolicLink";
    passive_level(Rule::IO_PASSIVE_4, NAME);
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: Valid by the contract of this function.
    let name = unsafe { rtl::to_string(SymbolicLinkName) };
    // SAFETY: As above.
    let target = unsafe { rtl::to_string(DeviceName) };
    if target.is_empty() {
        return STATUS_INVALID_PARAMETER;
    }
    insert_link(&name, &target).err().unwrap_or(STATUS_SUCCESS)
}

/// Removes a symbolic link. `PASSIVE_LEVEL`. `STATUS_OBJECT_NAME_NOT_FOUND` if there is none. DDI:
/// `IoDeleteSymbolicLink`.
///
/// # Safety
///
/// The string must be valid.
pub unsafe extern "win64" fn IoDeleteSymbolicLink(SymbolicLinkName: PUNICODE_STRING) -> NTSTATUS {
    passive_level(Rule::IO_PASSIVE_4, "IoDeleteSymbolicLink");
    // SAFETY: Valid by the contract of this function.
    let name = unsafe { rtl::to_string(SymbolicLinkName) };
    remove_link(&name).err().unwrap_or(STATUS_SUCCESS)
}

crate::export::exports! { "ntoskrnl.exe"; IoCreateSymbolicLink, IoDeleteSymbolicLink }
