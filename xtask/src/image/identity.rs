//! What an image and its .pdb know each other by, made the same for the same contents.
//!
//! lld computes it from the .pdb, which holds the folders of the build. Nothing else in the image
//! depends on them, so it is computed anew from the image.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use object::{LittleEndian as LE, pe::IMAGE_DEBUG_TYPE_CODEVIEW, read::pe::PeFile64};
use sha2::{Digest as _, Sha256};

use super::{CHECKSUM_OFFSET, NT_HEADERS_BEFORE_OPTIONAL, checksum, checksum_field, debug_entries};

/// Where a debug directory entry has its time.
const TIME_IN_ENTRY: usize = 4;
/// Where the file header has its time, behind the signature of the NT headers.
const TIME_IN_HEADERS: usize = 8;
const ENTRY_BYTES: usize = 28;
/// What precedes the GUID in a record of `CodeView`: its signature.
const RECORD: &[u8] = b"RSDS";
const GUID_BYTES: usize = 16;

/// Gives the image and the .pdb that was linked with it the identity that follows from the image.
pub fn settle(image: &mut [u8], pdb: &mut [u8]) -> Result<()> {
    let fields = Fields::of(image)?;
    let old = image[fields.guid.clone()].to_vec();
    let mut places =
        (0..pdb.len().saturating_sub(GUID_BYTES)).filter(|&at| pdb[at..].starts_with(&old));
    let place = places.next().context("the .pdb is of another image")?;
    ensure!(
        places.next().is_none(),
        "the .pdb has the image's GUID twice"
    );

    for field in fields.times.iter().chain([&fields.guid, &fields.checksum]) {
        image[field.clone()].fill(0);
    }
    let hash = Sha256::digest(&*image);
    let (guid, rest) = hash.split_at(GUID_BYTES);
    image[fields.guid].copy_from_slice(guid);
    pdb[place..place + GUID_BYTES].copy_from_slice(guid);
    for field in fields.times {
        image[field].copy_from_slice(&rest[..4]);
    }
    let sum = checksum(image);
    image[fields.checksum].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Where the image has what is to be the same.
struct Fields {
    times: Vec<Range<usize>>,
    guid: Range<usize>,
    checksum: Range<usize>,
}

impl Fields {
    fn of(data: &[u8]) -> Result<Self> {
        let image = PeFile64::parse(data)?;
        let (start, entries) = debug_entries(&image, data).context("it has no debug directory")?;
        let checksum = checksum_field(data);
        let headers = checksum.start - CHECKSUM_OFFSET - NT_HEADERS_BEFORE_OPTIONAL;
        let mut times = vec![headers + TIME_IN_HEADERS];
        times.extend((0..entries.len()).map(|index| start + index * ENTRY_BYTES + TIME_IN_ENTRY));
        let record = entries
            .iter()
            .find(|entry| entry.typ.get(LE) == IMAGE_DEBUG_TYPE_CODEVIEW)
            .context("it names no .pdb")?;
        let record = record.pointer_to_raw_data.get(LE) as usize;
        let guid = record + RECORD.len();
        ensure!(
            data.get(record..guid) == Some(RECORD) && guid + GUID_BYTES <= data.len(),
            "it names its .pdb in a way of its own"
        );
        Ok(Self {
            times: times.into_iter().map(|at| at..at + 4).collect(),
            guid: guid..guid + GUID_BYTES,
            checksum,
        })
    }
}
