//! Imports that their module lacks.

use std::sync::Arc;

use region::Protection;

use super::pages::Pages;
use super::registry::{self, Place, Registration};

/// The distance of two missing imports: none of them is mistaken for a field of the one before.
const SLOT: usize = 0x100;

/// Addresses that cannot be accessed, one per missing import. A call, a read or a write faults
/// there, and the fault's address tells which import it was.
#[derive(Debug)]
pub struct MissingImports {
    names: Arc<[String]>,
    pages: Pages,
    _registration: Registration,
}

impl MissingImports {
    /// Reserves an address for each of `names`, imports of `image`.
    pub fn new(image: &str, names: Vec<String>) -> Result<Self, region::Error> {
        let names: Arc<[String]> = names.into();
        let pages = Pages::new(names.len() * SLOT, Protection::NONE)?;
        let place = Place::Missing {
            image: image.into(),
            names: Arc::clone(&names),
            slot_size: SLOT,
        };
        let registration = registry::register(pages.range(), place);
        Ok(Self {
            names,
            pages,
            _registration: registration,
        })
    }

    /// What is missing, as `module!symbol`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The address to bind each of the names to.
    pub fn addresses(&self) -> impl Iterator<Item = usize> + use<> {
        let base = self.pages.range().start;
        (0..self.names.len()).map(move |index| base + index * SLOT)
    }
}
