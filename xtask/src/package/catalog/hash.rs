//! The hashes by which Windows knows the files of a package.

use std::ops::Range;

use anyhow::{Context, Result};
use object::{
    LittleEndian as LE,
    pe::IMAGE_DIRECTORY_ENTRY_SECURITY,
    read::pe::{ImageOptionalHeader as _, PeFile64},
};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::image::{CHECKSUM_OFFSET, checksum_field};

/// Both hashes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// The older, which the system still looks files up by.
    pub sha1: [u8; 20],
    /// The one that is signed.
    pub sha256: [u8; 32],
}

impl Hashes {
    /// The hashes of a file as it is.
    pub fn of(data: &[u8]) -> Self {
        Self::of_parts(&[data])
    }

    /// The Authenticode hashes of a PE image: of all of it but the checksum, the directory entry of
    /// the signatures, and the signatures. (The crate `authenticode` has the same on the DER and
    /// digest crates of the generation before.)
    pub fn of_image(data: &[u8]) -> Result<Self> {
        let checksum = checksum_field(data);
        let entry = security_entry(data).context("not a 64-bit PE image")?;
        let signatures = signatures(data)?;
        let part = |range: Range<usize>| data.get(range).context("the PE image is cut off");
        Ok(Self::of_parts(&[
            part(0..checksum.start)?,
            part(checksum.end..entry.start)?,
            part(entry.end..signatures)?,
        ]))
    }

    fn of_parts(parts: &[&[u8]]) -> Self {
        Self {
            sha1: digest::<Sha1>(parts).into(),
            sha256: digest::<Sha256>(parts).into(),
        }
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut state = D::new();
    for part in parts {
        state.update(part);
    }
    state.finalize()
}

/// Where the directory entry of the signatures lies: the entries end the optional header.
fn security_entry(data: &[u8]) -> Result<Range<usize>> {
    const ENTRY: usize = 8;
    const DIRECTORIES: usize = 112;
    let image = PeFile64::parse(data)?;
    let count = image.nt_headers().optional_header.number_of_rva_and_sizes();
    anyhow::ensure!(
        count as usize > IMAGE_DIRECTORY_ENTRY_SECURITY,
        "it has no entry for signatures"
    );
    let header = checksum_field(data).start - CHECKSUM_OFFSET;
    let start = header + DIRECTORIES + ENTRY * IMAGE_DIRECTORY_ENTRY_SECURITY;
    Ok(start..start + ENTRY)
}

/// Where the signatures begin, which are the end of the file.
fn signatures(data: &[u8]) -> Result<usize> {
    let image = PeFile64::parse(data)?;
    let entry = image.data_directory(IMAGE_DIRECTORY_ENTRY_SECURITY);
    let start = entry.map_or(0, |entry| entry.virtual_address.get(LE) as usize);
    Ok(if start == 0 { data.len() } else { start })
}
