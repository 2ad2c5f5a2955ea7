//! The images that are loaded, and how they find each other's exports.

use std::{fmt, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::{Stop, service};
use crate::{
    cm, export,
    io::{driver::SERVICES, object::Text},
    loader::{Image, ImageError, exports::Symbol, imports::Resolution},
    symbols::Symbols,
};

/// An image that is loaded, with those that it imports from.
#[derive(Debug)]
pub struct Loaded {
    pub image: Image,
    /// Keeps what it imports from.
    _imported: Vec<Arc<Self>>,
}

/// Every image that is loaded.
static LOADED: Mutex<Vec<Arc<Loaded>>> = Mutex::new(Vec::new());

fn find(name: &str) -> Option<Arc<Loaded>> {
    LOADED
        .lock()
        .iter()
        .find(|loaded| loaded.image.name().eq_ignore_ascii_case(name))
        .cloned()
}

/// Loads the image `name` from the contents of its file, and its file's path if it has one.
pub fn load(name: &str, path: Option<&Path>, file: &[u8]) -> Result<Arc<Loaded>, ImageError> {
    if find(name).is_some() {
        return Err(ImageError::Loaded {
            name: name.to_owned(),
        });
    }
    let imported: Mutex<Vec<Arc<Loaded>>> = Mutex::default();
    let resolve = |module: &str, symbol: &Symbol| {
        if export::is_kernel(module) {
            return kernel_export(symbol);
        }
        let Some(exporter) = find(module) else {
            return Resolution::NoModule;
        };
        let address = exporter.image.export(symbol);
        imported.lock().push(exporter);
        address.map_or(Resolution::NoSymbol, Resolution::Address)
    };
    let image = Image::load(name, file, Symbols::new(file, path), &resolve)?;
    let mut imported = imported.into_inner();
    imported.dedup_by(|one, other| Arc::ptr_eq(one, other));
    let loaded = Arc::new(Loaded {
        image,
        _imported: imported,
    });
    LOADED.lock().push(Arc::clone(&loaded));
    Ok(loaded)
}

/// An export of the kernel. It has none by ordinal alone.
fn kernel_export(symbol: &Symbol) -> Resolution {
    let Symbol::Name(name) = symbol else {
        return Resolution::NoSymbol;
    };
    export::find(name).map_or(Resolution::NoSymbol, |address| {
        Resolution::Address(address.addr())
    })
}

/// Forgets an image, which is unloaded when nobody has it any more.
///
/// # Errors
///
/// Gives it back if another image imports from it.
pub fn unload(loaded: Arc<Loaded>) -> Result<(), Arc<Loaded>> {
    let mut all = LOADED.lock();
    all.retain(|other| !Arc::ptr_eq(other, &loaded));
    if Arc::strong_count(&loaded) > 1 {
        all.push(Arc::clone(&loaded));
        return Err(loaded);
    }
    drop(all);
    drop(loaded);
    Ok(())
}

/// An image that drivers import from, such as `WDFLDR.SYS`. It stays loaded when this is dropped.
pub struct Library {
    loaded: Arc<Loaded>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Library")
            .field(&self.loaded.image.name())
            .finish()
    }
}

impl Library {
    /// Loads the image and calls its `DllInitialize`, if it exports one, as Windows does for an image
    /// that is loaded because another one imports from it.
    pub(super) fn load(name: &str, path: Option<&Path>, file: &[u8]) -> Result<Self, Stop> {
        let library = Self {
            loaded: load(name, path, file)?,
        };
        let service = library
            .name()
            .rsplit_once('.')
            .map_or(name, |(stem, _)| stem)
            .to_owned();
        let key = format!(r"{SERVICES}\{service}");
        cm::create(&key);
        let initialize = library
            .loaded
            .image
            .export(&Symbol::Name("DllInitialize".to_owned()));
        if let Some(address) = initialize {
            type DllInitialize =
                unsafe extern "win64" fn(*mut nt_abi::UNICODE_STRING) -> nt_abi::NTSTATUS;
            let address = std::ptr::with_exposed_provenance::<()>(address);
            // SAFETY: An image that exports this name exports a function of this type.
            let initialize = unsafe { std::mem::transmute::<*const (), DllInitialize>(address) };
            let text = Text::new(&key);
            let mut path = text.counted();
            let status = service::enter("DllInitialize", |_| {
                // SAFETY: The image is loaded; the string lives until the call returns.
                unsafe { initialize(&raw mut path) }
            })?;
            if !nt_abi::NT_SUCCESS(status) {
                return Err(Stop::Status(status));
            }
        }
        Ok(library)
    }

    /// The image's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.loaded.image.name()
    }

    /// The kernel's functions that the image imports and that this kernel lacks.
    #[must_use]
    pub fn missing_imports(&self) -> &[String] {
        self.loaded.image.missing_imports()
    }

    /// Calls the image's `DllUnload`, if it exports one, and unloads it.
    ///
    /// # Errors
    ///
    /// [`Stop::InUse`] while an image that imports from it is loaded, and what [`Stop::BugCheck`] says.
    pub fn unload(self) -> Result<(), Stop> {
        let name = self.name().to_owned();
        // One reference is this value's, one is the list's.
        if Arc::strong_count(&self.loaded) > 2 {
            return Err(Stop::InUse {
                what: name,
                by: "is imported from by another image".to_owned(),
            });
        }
        if let Some(address) = self
            .loaded
            .image
            .export(&Symbol::Name("DllUnload".to_owned()))
        {
            type DllUnload = unsafe extern "win64" fn() -> nt_abi::NTSTATUS;
            let address = std::ptr::with_exposed_provenance::<()>(address);
            // SAFETY: An image that exports this name exports a function of this type.
            let unload = unsafe { std::mem::transmute::<*const (), DllUnload>(address) };
            // SAFETY: The image is loaded, and nothing imports from it.
            service::enter("DllUnload", |_| unsafe { unload() })?;
        }
        unload(self.loaded).map_err(|_| Stop::InUse {
            what: name,
            by: "is being loaded".to_owned(),
        })
    }
}
