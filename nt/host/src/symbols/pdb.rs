//! Names and lines from a `.pdb`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use object::{Object as _, read::pe::PeFile64};
use pdb_addr2line::{
    ContextPdbData,
    pdb::{FallibleIterator as _, PDB, SymbolData},
};
use rustc_demangle::demangle;

use super::names::Names;

/// The `.pdb` that belongs to an image and lies beside it, under the name that the image has for it or
/// under its own.
pub fn beside(image: &Path, contents: &[u8]) -> Option<PathBuf> {
    let file = PeFile64::parse(contents).ok()?;
    let code_view = file.pdb_info().ok().flatten()?;
    let named = String::from_utf8_lossy(code_view.path()).into_owned();
    let named = named.rsplit(['\\', '/']).next().map(str::to_owned)?;
    let candidates = [image.with_file_name(named), image.with_extension("pdb")];
    candidates.into_iter().find(|path| {
        open(path)
            .and_then(|mut pdb| pdb.pdb_information().ok())
            .is_some_and(|information| information.guid.to_bytes_le() == code_view.guid())
    })
}

fn open(path: &Path) -> Option<PDB<'static, File>> {
    PDB::open(File::open(path).ok()?).ok()
}

/// The names of functions and data.
pub fn names(path: &Path) -> Option<Names> {
    let mut pdb = open(path)?;
    let globals = pdb.global_symbols().ok()?;
    let addresses = pdb.address_map().ok()?;
    let mut names = Names::default();
    let mut symbols = globals.iter();
    while let Some(symbol) = symbols.next().ok()? {
        let (offset, name) = match symbol.parse() {
            Ok(SymbolData::Public(public)) => (public.offset, public.name.to_string()),
            Ok(SymbolData::Data(data)) => (data.offset, data.name.to_string()),
            Ok(SymbolData::Procedure(procedure)) => (procedure.offset, procedure.name.to_string()),
            _ => continue,
        };
        if let Some(rva) = offset.to_rva(&addresses) {
            names.add(rva.0, format!("{:#}", demangle(&name)));
        }
    }
    Some(names)
}

/// The function that an instruction belongs to, how far into it that is, and the source file and line.
/// Functions that only their own module knows are not among [`names`].
pub fn function(path: &Path, rva: u32) -> Option<(String, u32, Option<String>)> {
    let data = ContextPdbData::try_from_pdb(open(path)?).ok()?;
    let context = data.make_context().ok()?;
    let found = context.find_frames(rva).ok().flatten()?;
    let name = found.frames.last()?.function.clone()?;
    let line = found.frames.first().and_then(|innermost| {
        let file = innermost.file.as_ref()?;
        Some(format!("{file}:{}", innermost.line?))
    });
    Some((name, rva.checked_sub(found.start_rva)?, line))
}
