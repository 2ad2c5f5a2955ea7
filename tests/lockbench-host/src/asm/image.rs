//! What is where in the image: its exports, its imports, its bytes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use object::{
    LittleEndian as LE,
    pe::ImageNtHeaders64,
    read::pe::{ExportTarget, ImageThunkData, PeFile64},
};

/// The image of a driver.
pub struct Image<'data> {
    data: &'data [u8],
    file: PeFile64<'data>,
    /// The exports' addresses, relative to the image.
    exports: BTreeMap<String, u32>,
    /// The imports by the address of their slot in the import address table.
    imports: BTreeMap<u32, String>,
}

impl<'data> Image<'data> {
    /// Reads the tables of an image.
    pub fn parse(data: &'data [u8]) -> Result<Self> {
        let file = PeFile64::parse(data).context("it is not a 64-bit PE image")?;
        let mut exports = BTreeMap::new();
        let table = file.export_table()?.context("it exports nothing")?;
        for export in table.exports()? {
            if let (Some(name), ExportTarget::Address(address)) = (export.name, export.target) {
                exports.insert(String::from_utf8_lossy(name).into_owned(), address);
            }
        }
        let mut imports = BTreeMap::new();
        let table = file.import_table()?.context("it imports nothing")?;
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
            let mut slot = descriptor.first_thunk.get(LE);
            while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
                let (_, name) = table.hint_name(thunk.address())?;
                imports.insert(slot, String::from_utf8_lossy(name).into_owned());
                slot += 8;
            }
        }
        Ok(Self {
            data,
            file,
            exports,
            imports,
        })
    }

    /// The names of the pairs: of whatever is exported as `raw_<name>`.
    pub fn pairs(&self) -> BTreeSet<&str> {
        let names = self.exports.keys();
        names.filter_map(|name| name.strip_prefix("raw_")).collect()
    }

    /// The address of an export.
    pub fn export(&self, name: &str) -> Result<u32> {
        let address = self.exports.get(name);
        address
            .copied()
            .with_context(|| format!("the image does not export {name}"))
    }

    /// The import whose slot is at an address.
    pub fn import(&self, slot: u32) -> Option<&str> {
        self.imports.get(&slot).map(String::as_str)
    }

    /// The bytes from an address to the end of its section.
    pub fn bytes(&self, address: u32) -> Result<&'data [u8]> {
        let bytes = self.file.section_table().pe_data_at(self.data, address);
        bytes.with_context(|| format!("nothing is at {address:#x}"))
    }

    /// The text at an address, which a zero ends.
    pub fn text(&self, address: u32) -> Result<String> {
        let bytes = self.bytes(address)?.split(|byte| *byte == 0).next();
        Ok(String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned())
    }
}
