//! What an image exports.

use std::collections::HashMap;

use object::read::pe::{ExportTable, ExportTarget};

use super::headers::Headers;
use super::memory::ImageMemory;

/// An import or export by name, or by ordinal where it has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// The name, case and all.
    Name(String),
    /// The ordinal, the base of the export table added.
    Ordinal(u16),
}

impl std::fmt::Display for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ordinal(ordinal) => write!(f, "#{ordinal}"),
        }
    }
}

/// The export table of an image: symbol to RVA.
pub type Exports = HashMap<Symbol, u32>;

/// Reads the export table of a mapped image; says what is wrong with it otherwise. Forwarders are
/// refused: no driver of the kernel's own needs one, and silence would bind to the forwarder's text.
pub fn read(image: &ImageMemory, headers: &Headers) -> Result<Exports, String> {
    let mut exports = Exports::new();
    let Some(directory) = headers.exports else {
        return Ok(exports);
    };
    let data = image
        .range(directory.rva, directory.size)
        .ok_or("its exports lie outside the image")?;
    let table = ExportTable::parse(data, directory.rva).map_err(|e| e.to_string())?;
    for export in table.exports().map_err(|e| e.to_string())? {
        let ordinal = Symbol::Ordinal(export.ordinal.0);
        let name = export
            .name
            .map(|name| Symbol::Name(String::from_utf8_lossy(name).into_owned()));
        let label = name.as_ref().unwrap_or(&ordinal);
        let rva = match export.target {
            ExportTarget::Address(0) => continue,
            ExportTarget::Address(rva) if (rva as usize) < image.size() => rva,
            ExportTarget::Address(rva) => {
                return Err(format!(
                    "its export {label} ({rva:#x}) lies outside the image"
                ));
            }
            ExportTarget::ForwardByName(library, target) => {
                let target = String::from_utf8_lossy(target);
                return Err(forwarder(label, library, &target));
            }
            ExportTarget::ForwardByOrdinal(library, target) => {
                return Err(forwarder(label, library, &format!("#{target}")));
            }
        };
        exports.extend(
            name.into_iter()
                .chain([ordinal])
                .map(|symbol| (symbol, rva)),
        );
    }
    Ok(exports)
}

fn forwarder(label: &Symbol, library: &[u8], target: &str) -> String {
    let library = String::from_utf8_lossy(library);
    format!("its export {label} is a forwarder (to {library}.{target}), which is not supported")
}
