//! Is a finished syncstress.exe one that Windows runs, and alone?

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use object::{
    LittleEndian as LE,
    pe::{
        IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA,
        IMAGE_DLLCHARACTERISTICS_NX_COMPAT, IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64,
        IMAGE_SUBSYSTEM_WINDOWS_CUI,
    },
    read::pe::PeFile64,
};

use super::libraries;
use crate::{
    arch::Arch,
    definition::{self, Definition},
    image::{Import, imports, sections_to_write_and_execute},
    workspace::read,
};

/// Checks the program at `path`.
///
/// # Errors
///
/// Names everything that is wrong with it.
pub fn check(path: &Path, arch: Arch) -> Result<()> {
    let data = read(path)?;
    let image = PeFile64::parse(&*data)
        .with_context(|| format!("{} is not a 64-bit PE image", path.display()))?;
    let mut problems = header_problems(&image, arch);
    // What mingw-w64's C library imports is known to run: the program does, under Wine.
    if arch == Arch::Arm64 {
        problems.extend(import_problems(&imports(&image)?, &windows()?));
    }
    if !problems.is_empty() {
        bail!(
            "{} is not fit for Windows:\n  {}",
            path.display(),
            problems.join("\n  ")
        );
    }
    Ok(())
}

fn header_problems(image: &PeFile64, arch: Arch) -> Vec<String> {
    let mut problems = Vec::new();
    let machine = image.nt_headers().file_header.machine.get(LE);
    let wanted = match arch {
        Arch::X64 => IMAGE_FILE_MACHINE_AMD64,
        Arch::Arm64 => IMAGE_FILE_MACHINE_ARM64,
    };
    if machine != wanted {
        problems.push(format!("machine {machine:#06x} is not {}", arch.name()));
    }
    let header = &image.nt_headers().optional_header;
    let subsystem = header.subsystem.get(LE);
    if subsystem != IMAGE_SUBSYSTEM_WINDOWS_CUI {
        problems.push(format!("subsystem {subsystem} is not the console (3)"));
    }
    let flags = header.dll_characteristics.get(LE);
    for (flag, name) in [
        (IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "/DYNAMICBASE"),
        (IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "/NXCOMPAT"),
        (IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "/HIGHENTROPYVA"),
    ] {
        if !flags.contains(flag) {
            problems.push(format!("the linker flag {name} is missing"));
        }
    }
    problems.extend(sections_to_write_and_execute(image));
    problems
}

/// What version 1809 of Windows 10 has of what programs import.
fn windows() -> Result<Vec<Definition>> {
    let folder = libraries::sources().join("def");
    let names = definition::names(&folder)?;
    let definitions = names.iter().map(|name| Definition::load(&folder, name));
    definitions.collect()
}

fn import_problems(imports: &[(String, Import)], windows: &[Definition]) -> Vec<String> {
    let problem = |(from, import): &(String, Import)| {
        let exporter = windows
            .iter()
            .find(|known| known.image.eq_ignore_ascii_case(from));
        let Some(exporter) = exporter else {
            return Some(format!(
                "it imports from {from}, which is not known to be part of Windows"
            ));
        };
        match import {
            Import::Number(number) => Some(format!("it imports {from} #{number} by number")),
            Import::Name(name) if !exporter.exports.contains(name) => {
                Some(format!("{from} of Windows 10 is not known to have {name}"))
            }
            Import::Name(_) => None,
        }
    };
    imports.iter().filter_map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::{Import, import_problems, windows};

    fn problems(from: &str, import: Import) -> Vec<String> {
        let windows = windows().expect("the definitions read");
        import_problems(&[(from.into(), import)], &windows)
    }

    #[test]
    fn a_program_takes_from_windows_what_windows_10_has() {
        let name = |name: &str| Import::Name(name.into());
        assert_eq!(problems("KERNEL32.dll", name("ExitProcess")), [""; 0]);
        for (from, import, word) in [
            ("libunwind.dll", name("_Unwind_Resume"), "libunwind.dll"),
            ("vcruntime140.dll", name("memcpy"), "vcruntime140.dll"),
            ("kernel32.dll", name("GetTempPath2W"), "GetTempPath2W"),
            ("ws2_32.dll", Import::Number(23), "#23"),
        ] {
            let found = problems(from, import);
            assert!(matches!(&*found, [one] if one.contains(word)), "{found:?}");
        }
    }
}
