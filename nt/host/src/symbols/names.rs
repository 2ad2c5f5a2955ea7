//! The names of functions and data, by where they begin.

use std::collections::BTreeMap;

use object::{Object as _, ObjectSymbol as _, SymbolKind};

/// Further behind a name nothing belongs to it.
const REACH: u32 = 0x10_0000;

/// Names by their RVAs.
#[derive(Default)]
pub struct Names(BTreeMap<u32, String>);

impl Names {
    /// The names that the COFF symbol table of an image has.
    pub fn of_coff(file: &[u8]) -> Self {
        let Ok(image) = object::File::parse(file) else {
            return Self::default();
        };
        let base = image.relative_address_base();
        let symbols = image.symbols().filter(|symbol| {
            let kind = symbol.kind();
            symbol.is_definition() && matches!(kind, SymbolKind::Text | SymbolKind::Data)
        });
        let names = symbols.filter_map(|symbol| {
            let rva = u32::try_from(symbol.address().checked_sub(base)?).ok()?;
            let name = symbol.name().ok().filter(|name| !name.starts_with('.'))?;
            Some((rva, name.to_owned()))
        });
        Self(names.collect())
    }

    /// Adds a name; the first at an address stays.
    pub fn add(&mut self, rva: u32, name: String) {
        self.0.entry(rva).or_insert(name);
    }

    /// The name that `rva` belongs to, and how far behind its beginning it is.
    pub fn find(&self, rva: u32) -> Option<(&str, u32)> {
        let (start, name) = self.0.range(..=rva).next_back()?;
        let distance = rva - start;
        (distance < REACH).then_some((name, distance))
    }
}
