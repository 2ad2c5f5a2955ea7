//! The imports of an image, bound to the kernel's exports and to those of loaded images.

use object::LittleEndian as LE;
use object::pe::ImageNtHeaders64;
use object::read::pe::{Import as PeImport, ImportTable};

use super::ImageError;
use super::exports::Symbol;
use super::headers::Headers;
use super::memory::ImageMemory;
use super::missing::MissingImports;

/// An import: where it comes from and where its address belongs.
#[derive(Debug)]
struct Import {
    module: String,
    symbol: Symbol,
    slot: u32,
}

/// What a [`Resolver`] knows of an import.
#[derive(Clone, Copy, Debug)]
pub enum Resolution {
    /// The import's address.
    Address(usize),
    /// The module is there and does not export it.
    NoSymbol,
    /// The module is not there.
    NoModule,
}

/// Where imports are looked up: `module` in any case, `symbol` in its own.
pub type Resolver<'a> = dyn Fn(&str, &Symbol) -> Resolution + 'a;

/// Binds every import of the image. Those that their module lacks are bound to addresses that fault,
/// which the result names.
pub fn bind(
    name: &str,
    image: &mut ImageMemory,
    headers: &Headers,
    resolver: &Resolver<'_>,
) -> Result<Option<MissingImports>, ImageError> {
    let damaged = |what| ImageError::Format {
        name: name.to_owned(),
        what,
    };
    let imports = read(image, headers).map_err(damaged)?;
    let mut missing = Vec::new();
    for import in &imports {
        match resolver(&import.module, &import.symbol) {
            Resolution::Address(address) => write(image, import, address).map_err(damaged)?,
            Resolution::NoSymbol => missing.push(import),
            Resolution::NoModule => {
                let module = import.module.clone();
                return Err(ImageError::Module {
                    name: name.to_owned(),
                    module,
                });
            }
        }
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let names = missing
        .iter()
        .map(|i| format!("{}!{}", i.module, i.symbol))
        .collect();
    let traps = MissingImports::new(name, names).map_err(|source| ImageError::Memory {
        name: name.to_owned(),
        source,
    })?;
    for (import, address) in missing.iter().zip(traps.addresses()) {
        write(image, import, address).map_err(damaged)?;
    }
    Ok(Some(traps))
}

fn write(image: &mut ImageMemory, import: &Import, address: usize) -> Result<(), String> {
    if image.write_u64(import.slot, address as u64) {
        return Ok(());
    }
    Err(format!(
        "the address of its import {} lies outside the image",
        import.symbol
    ))
}

fn read(image: &ImageMemory, headers: &Headers) -> Result<Vec<Import>, String> {
    let Some(directory) = headers.imports else {
        return Ok(Vec::new());
    };
    collect(image.bytes(), directory.rva).map_err(|e| format!("its import table: {e}"))
}

/// Reads the import table of the mapped image, whose RVAs are indices of `bytes`.
fn collect(bytes: &[u8], rva: u32) -> object::read::Result<Vec<Import>> {
    let table = ImportTable::new(bytes, 0, rva);
    let mut imports = Vec::new();
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let module = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into_owned();
        let first = descriptor.first_thunk.get(LE);
        // Without a lookup table the address table itself holds the names, until it is bound.
        let lookup = match descriptor.original_first_thunk.get(LE) {
            0 => first,
            lookup => lookup,
        };
        let mut thunks = table.thunks(lookup)?;
        let mut slot = first;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            let symbol = match table.import::<ImageNtHeaders64>(thunk)? {
                PeImport::Ordinal(ordinal) => Symbol::Ordinal(ordinal),
                PeImport::Name(_, text) => Symbol::Name(String::from_utf8_lossy(text).into_owned()),
            };
            imports.push(Import {
                module: module.clone(),
                symbol,
                slot,
            });
            slot = slot.saturating_add(8);
        }
    }
    Ok(imports)
}
