//! Lines from the DWARF sections of an image.

use std::borrow::Cow;

use addr2line::{
    Context,
    gimli::{Dwarf, EndianSlice, LittleEndian},
};
use object::{Object as _, ObjectSection as _};

/// The source file and line of an instruction.
pub fn line(file: &[u8], rva: u32) -> Option<String> {
    let image = object::File::parse(file).ok()?;
    let load = |section: addr2line::gimli::SectionId| {
        let data = image
            .section_by_name(section.name())
            .and_then(|section| section.uncompressed_data().ok());
        Ok::<_, addr2line::gimli::Error>(data.unwrap_or(Cow::Borrowed(&[])))
    };
    let sections = addr2line::gimli::DwarfSections::load(load).ok()?;
    let dwarf: Dwarf<_> = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let context = Context::from_dwarf(dwarf).ok()?;
    let address = image.relative_address_base() + u64::from(rva);
    let location = context.find_location(address).ok().flatten()?;
    Some(format!("{}:{}", location.file?, location.line?))
}
