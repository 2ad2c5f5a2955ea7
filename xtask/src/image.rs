//! `cargo xtask check-image`: is a finished image one that the Windows kernel would load?
//!
//! No section is asked to be pageable or discarded (`PAGE`, `INIT`). Locks are for code that runs at
//! `DISPATCH_LEVEL`, where pageable code must not be called, and the compiler puts generic code of
//! wdk-sync wherever it instantiates it. `DriverEntry` is a few hundred bytes.

mod identity;
mod imports;
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
        DllFlags, IMAGE_DEBUG_TYPE_REPRO, IMAGE_DIRECTORY_ENTRY_DEBUG,
        IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY,
        IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
        IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64, IMAGE_FILE_RELOCS_STRIPPED,
        IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, IMAGE_SUBSYSTEM_NATIVE, ImageDebugDirectory,
    },
    pod::slice_from_bytes,
    read::pe::PeFile64,
};

use self::imports::Kernel;
use crate::workspace::read;
pub use identity::settle;
pub use imports::{Import, imports};

/// Which images to check.
#[derive(clap::Args)]
pub struct Arguments {
    /// Images (.sys files)
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// The flags of the optional header that wdk-build's linker arguments ask for. It does not ask for
/// Control Flow Guard, and nothing marks the image as fit for shadow stacks (CET).
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
        let kernel = Kernel::load()?;
        check_with(path, &kernel)?;
        let data = read(path)?;
        println!("{}: as the kernel wants it", path.display());
        println!("  {} bytes", data.len());
        if let Some((build, name)) = imports::newest(&PeFile64::parse(&*data)?)? {
            println!("  {name} is in Windows from build {build} on");
        }
    }
    Ok(())
}

/// Checks the image at `path`.
///
/// # Errors
///
/// Names everything that is wrong with it.
pub fn check(path: &Path) -> Result<()> {
    check_with(path, &Kernel::load()?)
}

fn check_with(path: &Path, kernel: &Kernel) -> Result<()> {
    let problems = problems(&read(path)?, kernel)
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

fn problems(data: &[u8], kernel: &Kernel) -> Result<Vec<String>> {
    let image = PeFile64::parse(data)?;
    let mut problems = header_problems(&image, data);
    problems.extend(kernel.problems(&image)?);
    if !is_reproducible(&image, data) {
        problems.push("the linker flag /Brepro is missing: it holds the time".into());
    }
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
    let mut others = flags;
    for (flag, name) in FLAGS {
        if !flags.contains(flag) {
            problems.push(format!("the linker flag {name} is missing"));
        }
        others.0 &= !flag.0;
    }
    if others.0 != 0 {
        problems.push(format!("flags that nobody asked for: {:#x}", others.0));
    }
    let present = header.check_sum.get(LE);
    let computed = checksum(data);
    if present != computed {
        problems.push(format!(
            "its checksum is {present:#x} and should be {computed:#x}"
        ));
    }
    problems.extend(sections_to_write_and_execute(image));
    problems
}

/// The problem that a section can be written and executed, for each that can.
pub fn sections_to_write_and_execute(image: &PeFile64) -> Vec<String> {
    let wanted = IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_WRITE;
    let sections = image.section_table();
    let both = sections
        .iter()
        .filter(|section| section.characteristics.get(LE).contains(wanted));
    both.map(|section| {
        let name = String::from_utf8_lossy(section.raw_name()).into_owned();
        format!("section {name} is writable and executable")
    })
    .collect()
}

/// Whether a hash of the contents stands where else the time is: the debug directory says so.
fn is_reproducible(image: &PeFile64, data: &[u8]) -> bool {
    debug_entries(image, data).is_some_and(|(_, entries)| {
        entries
            .iter()
            .any(|entry| entry.typ.get(LE) == IMAGE_DEBUG_TYPE_REPRO)
    })
}

/// The debug directory, and where it is in the file.
fn debug_entries<'a>(
    image: &PeFile64,
    data: &'a [u8],
) -> Option<(usize, &'a [ImageDebugDirectory])> {
    let directory = image.data_directory(IMAGE_DIRECTORY_ENTRY_DEBUG)?;
    let (start, size) = directory.file_range(&image.section_table()).ok()?;
    let bytes = data.get(start as usize..)?.get(..size as usize)?;
    let count = bytes.len() / size_of::<ImageDebugDirectory>();
    let (entries, _) = slice_from_bytes(bytes, count).ok()?;
    Some((start as usize, entries))
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
