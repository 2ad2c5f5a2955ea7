//! The registry, as a test fills it for a driver and finds it afterwards.

use super::Kernel;
use crate::cm;

const REG_SZ: u32 = 1;
const REG_BINARY: u32 = 3;
const REG_DWORD: u32 = 4;
const REG_MULTI_SZ: u32 = 7;
const REG_QWORD: u32 = 11;

/// Data of a value in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryData {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_QWORD`.
    Qword(u64),
    /// `REG_SZ`, which is stored with a null character.
    Text(String),
    /// `REG_MULTI_SZ`; none of the strings is empty.
    Texts(Vec<String>),
    /// Any other type, or data that its type does not allow, as it is.
    Other(u32, Vec<u8>),
}

impl From<u32> for RegistryData {
    fn from(number: u32) -> Self {
        Self::Dword(number)
    }
}

impl From<u64> for RegistryData {
    fn from(number: u64) -> Self {
        Self::Qword(number)
    }
}

impl From<&str> for RegistryData {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[&str]> for RegistryData {
    fn from(texts: &[&str]) -> Self {
        Self::Texts(texts.iter().map(|&text| text.to_owned()).collect())
    }
}

impl From<&[u8]> for RegistryData {
    fn from(bytes: &[u8]) -> Self {
        Self::Other(REG_BINARY, bytes.to_owned())
    }
}

/// UTF-16 with a null character behind each of the texts.
fn encode<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<u8> {
    texts
        .flat_map(|text| text.encode_utf16().chain([0]))
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// The texts before each null character; nothing if there is something behind the last one.
fn decode(bytes: &[u8]) -> Option<Vec<String>> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let units: Vec<_> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let texts = units.strip_suffix(&[0])?.split(|unit| *unit == 0);
    texts.map(|text| String::from_utf16(text).ok()).collect()
}

impl RegistryData {
    fn into_value(self, name: &str) -> cm::Value {
        let (kind, data) = match self {
            Self::Dword(number) => (REG_DWORD, number.to_le_bytes().to_vec()),
            Self::Qword(number) => (REG_QWORD, number.to_le_bytes().to_vec()),
            Self::Text(text) => (REG_SZ, encode([&text].into_iter())),
            Self::Texts(texts) => {
                let data = [encode(texts.iter()), vec![0; 2]].concat();
                (REG_MULTI_SZ, data)
            }
            Self::Other(kind, data) => (kind, data),
        };
        cm::Value {
            name: name.to_owned(),
            kind,
            data,
        }
    }

    fn from_value(value: cm::Value) -> Self {
        let data = value.data.as_slice();
        let known = match value.kind {
            REG_DWORD => data
                .try_into()
                .ok()
                .map(u32::from_le_bytes)
                .map(Self::Dword),
            REG_QWORD => data
                .try_into()
                .ok()
                .map(u64::from_le_bytes)
                .map(Self::Qword),
            REG_SZ => decode(data)
                .and_then(|texts| <[_; 1]>::try_from(texts).ok())
                .map(|[text]| Self::Text(text)),
            REG_MULTI_SZ => decode(data).and_then(|mut texts| {
                let ends = texts.pop()?.is_empty();
                (ends && texts.iter().all(|text| !text.is_empty())).then_some(Self::Texts(texts))
            }),
            _ => None,
        };
        known.unwrap_or(Self::Other(value.kind, value.data))
    }
}

impl Kernel {
    /// Sets a value of a registry key, which is made if it is not there. Keys are named by their full path,
    /// without regard to case; nothing is persistent.
    ///
    /// # Examples
    ///
    /// What a driver finds in its `Parameters` key:
    ///
    /// ```
    /// use nthost::{Kernel, RegistryData};
    ///
    /// let kernel = Kernel::get();
    /// let key = r"\Registry\Machine\System\CurrentControlSet\Services\Sample\Parameters";
    /// kernel.set_registry_value(key, "Depth", 3_u32);
    /// kernel.set_registry_value(key, "Names", ["one", "two"].as_slice());
    ///
    /// assert_eq!(kernel.registry_value(key, "depth"), Some(RegistryData::Dword(3)));
    /// let names = ["one".to_owned(), "two".to_owned()];
    /// let names = Some(RegistryData::Texts(names.to_vec()));
    /// assert_eq!(kernel.registry_value(key, "Names"), names);
    /// assert_eq!(kernel.registry_value(key, "Width"), None);
    /// ```
    pub fn set_registry_value(self, key: &str, name: &str, data: impl Into<RegistryData>) {
        cm::create(key);
        cm::set(key, data.into().into_value(name));
    }

    /// A value of a registry key, as [`set_registry_value`](Self::set_registry_value) or a driver set it.
    #[must_use]
    pub fn registry_value(self, key: &str, name: &str) -> Option<RegistryData> {
        cm::get(key, name).map(RegistryData::from_value)
    }
}
