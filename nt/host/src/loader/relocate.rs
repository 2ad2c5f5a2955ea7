//! Base relocations: the image's absolute addresses, moved to where it lies.

use object::pe::{IMAGE_REL_BASED_ABSOLUTE, IMAGE_REL_BASED_DIR64};
use object::read::pe::RelocationBlockIterator;

use super::headers::Headers;
use super::memory::ImageMemory;

/// Applies the base relocations; says what is wrong with them otherwise.
pub fn relocate(image: &mut ImageMemory, headers: &Headers) -> Result<(), String> {
    let delta = (image.base() as u64).wrapping_sub(headers.preferred_base);
    if delta == 0 {
        return Ok(());
    }
    let Some(directory) = headers.relocations else {
        return Ok(());
    };
    let blocks = image
        .range(directory.rva, directory.size)
        .ok_or("its relocations lie outside the image")?
        .to_vec();
    for block in RelocationBlockIterator::new(&blocks) {
        for relocation in block.map_err(|e| e.to_string())? {
            let rva = relocation.virtual_address;
            match relocation.typ {
                IMAGE_REL_BASED_ABSOLUTE => {}
                IMAGE_REL_BASED_DIR64 => {
                    let value = image.read_u64(rva).ok_or_else(|| outside(rva))?;
                    if !image.write_u64(rva, value.wrapping_add(delta)) {
                        return Err(outside(rva));
                    }
                }
                other => {
                    return Err(format!("the relocation at {rva:#x} is of type {}", other.0));
                }
            }
        }
    }
    Ok(())
}

fn outside(rva: u32) -> String {
    format!("the relocation at {rva:#x} lies outside the image")
}
