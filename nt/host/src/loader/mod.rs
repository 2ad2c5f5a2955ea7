//! The PE loader: from a file's bytes to an image that can run.
//!
//! An image passes through these steps, each in its file: its headers are checked ([`headers`]), its
//! sections are copied to fresh pages ([`memory`]), absolute addresses are moved ([`relocate`]), the
//! export table is read ([`exports`]), imports are bound ([`imports`]; what is not there is bound to
//! an address that faults and tells its name, [`missing`]), the stack cookie is set ([`cookie`]), and
//! last of all every section gets its protection ([`protection`]: nothing is writable and executable).
//! [`registry`] knows what lies at an address, of unloaded images too.
//!
//! The file may be anything: whatever is wrong with it is an [`ImageError`], never a panic.

pub mod caller;
mod cookie;
mod error;
pub mod exports;
mod headers;
pub mod imports;
mod memory;
mod missing;
pub mod pages;
mod protection;
pub mod registry;
mod relocate;

use std::sync::Arc;

pub use error::ImageError;
use exports::{Exports, Symbol};
use headers::Headers;
use imports::Resolver;
use memory::ImageMemory;
use missing::MissingImports;
use registry::{Place, Registration};

use crate::symbols::Symbols;

/// An image in memory, bound and protected. Dropping it unloads it: whoever executes in it or
/// holds a pointer into it from then on faults.
#[derive(Debug)]
pub struct Image {
    name: Arc<str>,
    base: usize,
    entry: Option<usize>,
    exports: Exports,
    missing: Option<MissingImports>,
    memory: Option<ImageMemory>,
    registration: Option<Registration>,
}

impl Image {
    /// Loads the image `name` from the contents of its file, of which `symbols` has the names.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or that it imports from a module that `resolver` does not know.
    pub fn load(
        name: &str,
        file: &[u8],
        symbols: Arc<Symbols>,
        resolver: &Resolver<'_>,
    ) -> Result<Self, ImageError> {
        let damaged = |what| ImageError::Format {
            name: name.to_owned(),
            what,
        };
        let unsupported = |what| ImageError::Unsupported {
            name: name.to_owned(),
            what,
        };
        let headers = Headers::parse(name, file)?;
        let mut memory = ImageMemory::map(name, &headers, file)?;
        relocate::relocate(&mut memory, &headers).map_err(damaged)?;
        let exports = exports::read(&memory, &headers).map_err(unsupported)?;
        let missing = imports::bind(name, &mut memory, &headers, resolver)?;
        cookie::initialise(&mut memory, &headers).map_err(damaged)?;
        memory
            .protect(&headers)
            .map_err(|source| ImageError::Memory {
                name: name.to_owned(),
                source,
            })?;
        let name: Arc<str> = name.into();
        let base = memory.base();
        let range = base..base + memory.size();
        let place = Place::Image {
            name: Arc::clone(&name),
            code: headers.code().collect(),
            symbols,
        };
        let registration = registry::register(range, place);
        let entry = (headers.entry != 0).then(|| base + headers.entry as usize);
        Ok(Self {
            name,
            base,
            entry,
            exports,
            missing,
            memory: Some(memory),
            registration: Some(registration),
        })
    }

    /// The image's name, as it was loaded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address at which the image begins.
    #[must_use]
    pub const fn base(&self) -> usize {
        self.base
    }

    /// How many bytes of address space the image takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.memory.as_ref().map_or(0, ImageMemory::size)
    }

    /// The address of the entry point.
    #[must_use]
    pub const fn entry(&self) -> Option<usize> {
        self.entry
    }

    /// The address of one of the image's exports.
    #[must_use]
    pub fn export(&self, symbol: &Symbol) -> Option<usize> {
        self.exports
            .get(symbol)
            .map(|&rva| self.base + rva as usize)
    }

    /// The imports that their modules lack, as `module!symbol`. Using one is a bug check.
    #[must_use]
    pub fn missing_imports(&self) -> &[String] {
        self.missing.as_ref().map_or(&[], MissingImports::names)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.registration = None;
        if let Some(pages) = self.memory.take().and_then(ImageMemory::retire) {
            registry::retire(Arc::clone(&self.name), pages);
        }
    }
}
