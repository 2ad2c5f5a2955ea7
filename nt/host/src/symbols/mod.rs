//! Names of what lies in an image: from its COFF symbols and DWARF, as mingw-w64 writes them, or from the
//! `.pdb` beside it.

mod dwarf;
mod names;
mod pdb;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use object::{Object as _, ObjectSection as _, read::pe::PeFile64};

use self::names::Names;
use crate::{
    address::to_usize,
    loader::registry::{self, Place},
};

/// Where the names of an image are found. They are read when they are first asked for.
pub struct Symbols {
    /// The image's file.
    file: Box<[u8]>,
    pdb: Option<PathBuf>,
    names: OnceLock<Names>,
}

impl fmt::Debug for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbols")
            .field("pdb", &self.pdb)
            .finish_non_exhaustive()
    }
}

impl Symbols {
    /// The symbols of an image, of which the contents and, if it came from one, the file are known.
    pub fn new(contents: &[u8], file: Option<&Path>) -> Arc<Self> {
        Arc::new(Self {
            file: contents.into(),
            pdb: file.and_then(|file| pdb::beside(file, contents)),
            names: OnceLock::new(),
        })
    }

    /// Those of the named sections that the image has.
    pub fn sections(&self, names: &[&'static str]) -> Vec<(&'static str, Section)> {
        let Ok(image) = PeFile64::parse(&*self.file) else {
            return Vec::new();
        };
        let base = image.relative_address_base();
        let section = |&name| {
            let section = image.section_by_name(name)?;
            let rva = u32::try_from(section.address().checked_sub(base)?).ok()?;
            let bytes = section.data().ok()?.to_vec();
            Some((name, Section { rva, bytes }))
        };
        names.iter().filter_map(section).collect()
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(|| {
            let from_pdb = self.pdb.as_deref().and_then(pdb::names);
            from_pdb.unwrap_or_else(|| Names::of_coff(&self.file))
        })
    }
}

/// A section of an image.
pub struct Section {
    pub rva: u32,
    pub bytes: Vec<u8>,
}

/// A function in an image, as a stack shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// `image!function+0x12`, or `image+0x1234`.
    pub name: String,
    /// The source file and line.
    pub line: Option<String>,
}

/// The name of an address in an image, with the distance from it: `image!name+0x8`, or `image+0x1234` if
/// nothing there has a name.
pub fn name(address: u64) -> Option<String> {
    let (image, symbols, rva) = find(address)?;
    Some(named(&image, &symbols, rva))
}

/// As [`name`], of code, with its line: that of the call, if this is the address to return to from one.
pub fn code(address: u64, is_return: bool) -> Option<Code> {
    let (image, symbols, rva) = find(address)?;
    let call = rva.saturating_sub(u32::from(is_return));
    let function = symbols.pdb.as_ref().map(|path| pdb::function(path, call));
    match function {
        Some(Some((name, distance, line))) => {
            let name = format!("{}!{name}+0x{:x}", module(&image), distance + (rva - call));
            Some(Code { name, line })
        }
        _ => Some(Code {
            name: named(&image, &symbols, rva),
            line: dwarf::line(&symbols.file, call),
        }),
    }
}

/// An image's name without its extension.
fn module(image: &str) -> &str {
    image.rsplit_once('.').map_or(image, |(stem, _)| stem)
}

fn named(image: &str, symbols: &Symbols, rva: u32) -> String {
    let module = module(image);
    match symbols.names().find(rva) {
        Some((name, 0)) => format!("{module}!{name}"),
        Some((name, distance)) => format!("{module}!{name}+0x{distance:x}"),
        None => format!("{module}+0x{rva:x}"),
    }
}

fn find(address: u64) -> Option<(Arc<str>, Arc<Symbols>, u32)> {
    let location = registry::locate(to_usize(address))?;
    let Place::Image { name, symbols, .. } = location.place() else {
        return None;
    };
    let rva = u32::try_from(location.offset()).ok()?;
    Some((Arc::clone(name), Arc::clone(symbols), rva))
}
