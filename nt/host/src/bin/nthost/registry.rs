//! `--registry`: values that the driver finds in the registry.

use std::str::FromStr;

use nthost::{Kernel, RegistryData};

use crate::arguments::{bytes, number};

/// Where the keys of services are, and so that of the driver.
const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";

/// What a value is written as.
const FORM: &str =
    r"a value is KEY\NAME=TYPE:DATA or NAME=TYPE:DATA, such as Parameters\Depth=dword:3";

/// A value, and where it goes.
#[derive(Clone)]
pub struct RegistryValue {
    /// A full path, or one below the key of the driver.
    key: String,
    name: String,
    data: RegistryData,
}

impl RegistryValue {
    /// Gives the value to a driver of this name.
    pub fn set(&self, kernel: Kernel, driver: &str) {
        let key = match self.key.as_str() {
            "" => format!(r"{SERVICES}\{driver}"),
            full if full.starts_with('\\') => full.to_owned(),
            below => format!(r"{SERVICES}\{driver}\{below}"),
        };
        kernel.set_registry_value(&key, &self.name, self.data.clone());
    }
}

impl FromStr for RegistryValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, value) = text.split_once('=').ok_or(FORM)?;
        let (key, name) = place.rsplit_once('\\').unwrap_or(("", place));
        let (kind, data) = value.split_once(':').ok_or(FORM)?;
        Ok(Self {
            key: key.to_owned(),
            name: name.to_owned(),
            data: read(kind, data)?,
        })
    }
}

fn read(kind: &str, text: &str) -> Result<RegistryData, String> {
    match kind {
        "dword" => {
            let value = number(text).and_then(|value| value.try_into().ok());
            let value: u32 = value.ok_or("a dword is a number of 32 bits, such as 3 or 0x10")?;
            Ok(value.into())
        }
        "qword" => {
            let value = number(text).ok_or("a qword is a number of 64 bits, such as 3 or 0x10")?;
            Ok(value.into())
        }
        "sz" => Ok(text.into()),
        "multi_sz" => {
            let texts: Vec<_> = text.split(',').filter(|text| !text.is_empty()).collect();
            Ok(texts.as_slice().into())
        }
        "binary" => {
            let data =
                bytes(text).ok_or("two hex digits make a byte, and nothing else may be there")?;
            Ok(data.as_slice().into())
        }
        _ => Err(
            "the types are dword, qword, sz, multi_sz (with commas between the texts) and binary"
                .to_owned(),
        ),
    }
}
