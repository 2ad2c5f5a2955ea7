//! The stack cookie of `/GS`.

use std::mem::offset_of;

use object::pe::ImageLoadConfigDirectory64;

use super::headers::Headers;
use super::memory::ImageMemory;

/// What a linker leaves in the cookie; an image that finds it there at run time was not initialised.
const DEFAULT_COOKIE: u64 = 0x2B99_2DDF_A232;
/// Where the load configuration holds the address of the cookie.
#[expect(clippy::cast_possible_truncation, reason = "the structure is small")]
const COOKIE_FIELD: u32 = offset_of!(ImageLoadConfigDirectory64, security_cookie) as u32;
/// The two upper bytes stay zero, so that a string operation cannot write the cookie back.
const COOKIE_BITS: u64 = 0xFFFF_FFFF_FFFF;

/// Gives the image a cookie of its own, where its load configuration names one. Done after
/// relocation: the configuration holds an address. Says what is wrong otherwise.
pub fn initialise(image: &mut ImageMemory, headers: &Headers) -> Result<(), String> {
    let Some(directory) = headers.load_config else {
        return Ok(());
    };
    // The first field says how much of the structure this image's linker knew.
    let known = image
        .range(directory.rva, 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    if known < COOKIE_FIELD + 8 {
        return Ok(());
    }
    let address = directory
        .rva
        .checked_add(COOKIE_FIELD)
        .and_then(|rva| image.read_u64(rva));
    let address = match address {
        None => return Err("its load configuration lies outside the image".to_owned()),
        Some(0) => return Ok(()),
        Some(address) => address,
    };
    let outside = || format!("its security cookie ({address:#x}) lies outside the image");
    let rva = address
        .checked_sub(image.base() as u64)
        .and_then(|rva| u32::try_from(rva).ok())
        .ok_or_else(outside)?;
    let untouched = image.read_u64(rva).ok_or_else(outside)? == DEFAULT_COOKIE;
    if untouched && !image.write_u64(rva, cookie()) {
        return Err(outside());
    }
    Ok(())
}

fn cookie() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0_u8) & COOKIE_BITS;
    if random == DEFAULT_COOKIE {
        random + 1
    } else {
        random.max(1)
    }
}
