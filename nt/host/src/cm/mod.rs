//! The configuration manager: a registry in memory, which starts empty but for the keys of services.
//!
//! Keys are named by their full path (`\Registry\Machine\...`) or relative to an open key, without
//! regard to case. Nothing is persistent.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    clippy::cast_possible_truncation,
    reason = "functions, parameters and constants are as NT has them, and sizes are those of x64"
)]

pub mod key;
pub mod value;

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Data of a value, with its type (`REG_SZ` and so on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The name in its own case.
    pub name: String,
    /// `REG_SZ` and so on.
    pub kind: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

/// The values of a key, by their name in lower case.
type Values = BTreeMap<String, Value>;

/// All keys, by their path in lower case.
static KEYS: Mutex<BTreeMap<String, Values>> = Mutex::new(BTreeMap::new());

fn fold(name: &str) -> String {
    name.trim_end_matches('\\').to_lowercase()
}

/// Makes a key, and those above it; whether it is new.
pub fn create(path: &str) -> bool {
    let path = fold(path);
    let mut keys = KEYS.lock();
    for (end, _) in path.match_indices('\\').skip(1) {
        keys.entry(path[..end].to_owned()).or_default();
    }
    let new = !keys.contains_key(&path);
    keys.entry(path).or_default();
    new
}

/// Deletes a key with its values; false if there are keys below it.
pub fn delete(path: &str) -> bool {
    let path = fold(path);
    let below = format!(r"{path}\");
    let mut keys = KEYS.lock();
    let leaf = !keys.keys().any(|key| key.starts_with(&below));
    leaf && keys.remove(&path).is_some()
}

/// Whether there is a key.
pub fn exists(path: &str) -> bool {
    KEYS.lock().contains_key(&fold(path))
}

/// A value of a key.
pub fn get(path: &str, name: &str) -> Option<Value> {
    KEYS.lock()
        .get(&fold(path))?
        .get(&name.to_lowercase())
        .cloned()
}

/// Sets a value of a key; false if there is no such key.
pub fn set(path: &str, value: Value) -> bool {
    let mut keys = KEYS.lock();
    keys.get_mut(&fold(path))
        .map(|values| values.insert(value.name.to_lowercase(), value))
        .is_some()
}

/// Removes a value of a key; whether it was there.
pub fn remove_value(path: &str, name: &str) -> bool {
    let mut keys = KEYS.lock();
    keys.get_mut(&fold(path))
        .is_some_and(|values| values.remove(&name.to_lowercase()).is_some())
}

/// The functions of this component, for [`crate::ntddk`].
pub mod ddk {
    pub use super::{key::ddk::*, value::ddk::*};
}
