//! `cargo xtask check-image`: is a finished image one that the Windows kernel would load?

#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use object::{
    LittleEndian as LE,
    pe::{
        DllFlags, IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY,
        IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
        IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64, IMAGE_FILE_RELOCS_STRIPPED,
        IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, IMAGE_SUBSYSTEM_NATIVE, ImageNtHeaders64,
    },
    read::pe::{ImageThunkData, PeFile64},
};

use crate::{definition::Definition, workspace::read};

/// Which images to check.
#[derive(clap::Args)]
pub struct Arguments {
    /// Images (.sys files)
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// The flags of the optional header that wdk-build's linker arguments ask for.
const FLAGS: [(DllFlags, &str); 4] = [
    (IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "/DYNAMICBASE"),
    (IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "/NXCOMPAT"),
    (IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "/INTEGRITYCHECK"),
    (IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "/HIGHENTROPYVA"),
];

/// Where the checksum lies, from the start of the optional header.
pub const CHECKSUM_OFFSET: usize = 64;
/// What precedes the optional header: the signature and the file header.
const NT_HEADERS_BEFORE_OPTIONAL: usize = 4 + 20;

/// Checks each image and says what is wrong with it.
pub fn run(arguments: &Arguments) -> Result<()> {
    for path in &arguments.paths {
        check(path)?;
        println!("{}: as the kernel wants it", path.display());
    }
    Ok(())
}

/// Checks the image at `path`.
///
/// # Errors
///
/// Names everything that is wrong with it.
pub fn check(path: &Path) -> Result<()> {
    let kernel = Kernel::load()?;
    let problems = problems(&read(path)?, &kernel)
        .with_context(|| format!("{} is not a 64-bit PE image", path.display()))?;
    if !problems.is_empty() {
        bail!(
            "{} is not fit for the kernel:\n  {}",
            path.display(),
            problems.join("\n  ")
        );
    }
    Ok(())
}

/// What a driver may import.
struct Kernel {
    images: Vec<Definition>,
}

impl Kernel {
    fn load() -> Result<Self> {
        let images = ["ntoskrnl", "hal", "wdfldr"].map(Definition::load);
        Ok(Self {
            images: images.into_iter().collect::<Result<_>>()?,
        })
    }
}

fn problems(data: &[u8], kernel: &Kernel) -> Result<Vec<String>> {
    let image = PeFile64::parse(data)?;
    let mut problems = header_problems(&image, data);
    problems.extend(import_problems(&image, kernel)?);
    Ok(problems)
}

fn header_problems(image: &PeFile64, data: &[u8]) -> Vec<String> {
    let file_header = &image.nt_headers().file_header;
    let header = &image.nt_headers().optional_header;
    let mut problems = Vec::new();

    let machine = file_header.machine.get(LE);
    if ![IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64].contains(&machine) {
        problems.push(format!("machine {machine:#06x} is neither x64 nor ARM64"));
    }
    if file_header
        .characteristics
        .get(LE)
        .contains(IMAGE_FILE_RELOCS_STRIPPED)
    {
        problems.push("it has no relocations and could load at one address only".into());
    }
    let subsystem = header.subsystem.get(LE);
    if subsystem != IMAGE_SUBSYSTEM_NATIVE {
        problems.push(format!("subsystem {subsystem} is not native (1)"));
    }
    if header.address_of_entry_point.get(LE) == 0 {
        problems.push("it has no entry point".into());
    }
    let flags = header.dll_characteristics.get(LE);
    for (flag, name) in FLAGS {
        if !flags.contains(flag) {
            problems.push(format!("the linker flag {name} is missing"));
        }
    }
    let present = header.check_sum.get(LE);
    let computed = checksum(data);
    if present != computed {
        problems.push(format!(
            "its checksum is {present:#x} and should be {computed:#x}"
        ));
    }
    for section in image.section_table().iter() {
        let wanted = IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_WRITE;
        if section.characteristics.get(LE).contains(wanted) {
            let name = String::from_utf8_lossy(section.raw_name()).into_owned();
            problems.push(format!("section {name} is writable and executable"));
        }
    }
    problems
}

fn import_problems(image: &PeFile64, kernel: &Kernel) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let Some(imports) = image.import_table()? else {
        return Ok(problems);
    };
    let mut descriptors = imports.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let name = String::from_utf8_lossy(imports.name(descriptor.name.get(LE))?).into_owned();
        let exporter = kernel
            .images
            .iter()
            .find(|known| known.image.eq_ignore_ascii_case(&name));
        let Some(exporter) = exporter else {
            problems.push(format!(
                "it imports from {name}, which is no part of the kernel"
            ));
            continue;
        };
        let mut thunks = imports.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            if thunk.is_ordinal() {
                problems.push(format!("it imports {name} #{} by number", thunk.ordinal()));
                continue;
            }
            let (_, symbol) = imports.hint_name(thunk.address())?;
            let symbol = String::from_utf8_lossy(symbol);
            if !exporter.exports.contains(&*symbol) {
                problems.push(format!("{name} is not known to export {symbol}"));
            }
        }
    }
    Ok(problems)
}

/// Where an image file holds its checksum.
pub fn checksum_field(data: &[u8]) -> Range<usize> {
    let new_header = data.get(0x3c..0x40).and_then(|bytes| bytes.try_into().ok());
    let start = new_header.map_or(0, u32::from_le_bytes) as usize
        + NT_HEADERS_BEFORE_OPTIONAL
        + CHECKSUM_OFFSET;
    start..start + 4
}

/// The checksum of an image file: the carry-around sum of its 16-bit words, the checksum's own
/// taken as zero, plus its length.
fn checksum(data: &[u8]) -> u32 {
    let own = checksum_field(data);
    let mut sum = 0_u32;
    for (index, word) in data.chunks(2).enumerate() {
        let at = index * 2;
        if own.contains(&at) {
            continue;
        }
        let high = word.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_le_bytes([word[0], high]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + u32::try_from(data.len()).unwrap_or(u32::MAX)
}
