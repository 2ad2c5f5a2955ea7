//! What lies at an address: images that are loaded, images that were, and missing imports.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::RwLock;

use super::pages::Pages;
use crate::symbols::Symbols;

/// As many as `MmUnloadedDrivers` keeps.
const UNLOADED_IMAGES: usize = 50;

/// What a range of addresses is.
#[derive(Clone, Debug)]
pub enum Place {
    /// An image that is loaded.
    Image {
        /// Its name.
        name: Arc<str>,
        /// Where its code is, as offsets.
        code: Arc<[Range<usize>]>,
        /// Names of what lies there.
        symbols: Arc<Symbols>,
    },
    /// An image that was unloaded; nothing lies there since.
    Unloaded {
        /// The name that it had.
        name: Arc<str>,
    },
    /// Imports that `image` lacks, one each `slot_size` bytes.
    Missing {
        /// The image.
        image: Arc<str>,
        /// The imports, as `module!symbol`.
        names: Arc<[String]>,
        /// The distance of their addresses.
        slot_size: usize,
    },
}

/// An address, told by what lies there.
#[derive(Clone, Debug)]
pub struct Location {
    place: Place,
    offset: usize,
}

impl Location {
    /// What lies there.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// How far it is from the beginning of what lies there, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether it is code of an image that is loaded.
    #[must_use]
    pub fn is_code(&self) -> bool {
        let Place::Image { code, .. } = &self.place else {
            return false;
        };
        code.iter().any(|range| range.contains(&self.offset))
    }

    /// The name of the missing import at this address.
    #[must_use]
    pub fn missing_import(&self) -> Option<&str> {
        let Place::Missing {
            names, slot_size, ..
        } = &self.place
        else {
            return None;
        };
        names.get(self.offset / slot_size).map(String::as_str)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Image { name, .. } => write!(f, "{name}+{:#x}", self.offset),
            Place::Unloaded { name } => write!(f, "unloaded {name}+{:#x}", self.offset),
            Place::Missing { image, .. } => {
                let import = self.missing_import().unwrap_or("an import");
                write!(f, "{import}, missing for {image}")
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    range: Range<usize>,
    place: Place,
}

#[derive(Debug, Default)]
struct Registry {
    entries: Vec<Entry>,
    /// Oldest first; the allocations keep the addresses from being given to anybody else.
    unloaded: VecDeque<(Entry, Pages)>,
}

impl Registry {
    fn find(&self, address: usize) -> Option<Location> {
        let unloaded = self.unloaded.iter().map(|(entry, _)| entry);
        let mut entries = self.entries.iter().chain(unloaded);
        entries
            .find(|entry| entry.range.contains(&address))
            .map(|entry| Location {
                place: entry.place.clone(),
                offset: address - entry.range.start,
            })
    }
}

static REGISTRY: RwLock<Registry> = RwLock::new(Registry {
    entries: Vec::new(),
    unloaded: VecDeque::new(),
});

/// Keeps a range registered while it lives.
#[derive(Debug)]
pub struct Registration {
    start: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = REGISTRY.write();
        registry
            .entries
            .retain(|entry| entry.range.start != self.start);
    }
}

/// Registers what lies at `range`.
pub fn register(range: Range<usize>, place: Place) -> Registration {
    let start = range.start;
    REGISTRY.write().entries.push(Entry { range, place });
    Registration { start }
}

/// Remembers an unloaded image with the addresses it had.
pub fn retire(name: Arc<str>, pages: Pages) {
    let entry = Entry {
        range: pages.range(),
        place: Place::Unloaded { name },
    };
    let mut registry = REGISTRY.write();
    if registry.unloaded.len() == UNLOADED_IMAGES {
        registry.unloaded.pop_front();
    }
    registry.unloaded.push_back((entry, pages));
}

/// An image that is loaded.
pub struct LoadedImage {
    pub name: Arc<str>,
    pub range: Range<usize>,
    pub symbols: Arc<Symbols>,
}

/// The images that are loaded.
pub fn images() -> Vec<LoadedImage> {
    let registry = REGISTRY.read();
    let image = |entry: &Entry| match &entry.place {
        Place::Image { name, symbols, .. } => Some(LoadedImage {
            name: Arc::clone(name),
            range: entry.range.clone(),
            symbols: Arc::clone(symbols),
        }),
        _ => None,
    };
    registry.entries.iter().filter_map(image).collect()
}

/// What lies at `address`, if that is known.
#[must_use]
pub fn locate(address: usize) -> Option<Location> {
    REGISTRY.read().find(address)
}
