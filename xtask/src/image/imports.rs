//! What a driver image may import: documented names, of the kernel and its modules, that every system
//! has on which the driver is to run.
//!
//! The lowest such system is given by KMDF, not by the imports. Of what the driver imports,
//! `ExAllocatePool2`, which wdk-alloc calls, is the newest: it came with version 2004 of Windows 10
//! (build 19041), so 1809 is out of the question. But the driver binds to KMDF 1.33, which came with
//! build 20348.

use anyhow::Result;
use object::{
    LittleEndian as LE,
    pe::ImageNtHeaders64,
    read::pe::{ImageThunkData, PeFile64},
};

use crate::{
    definition::{self, Definition},
    kit,
};

/// The names of the kit's definitions that are newer than version 1809 of Windows 10, with the build
/// that their pages (Minimum supported client) give by the name of its version.
const NEWER: [(&str, u32); 3] = [
    ("ExAllocatePool2", 19041),
    ("ExAllocatePool3", 19041),
    ("WheaReportHwError", 18362),
];

/// Names of the kit's definitions that have no page in the driver documentation, neither of their own
/// nor as the function behind a documented macro (as `KfRaiseIrql` is behind `KeRaiseIrql`), and that
/// no compiler calls by itself.
const UNDOCUMENTED: [&str; 19] = [
    "ExEnterCriticalRegionAndAcquireFastMutexUnsafe",
    "ExRaiseException",
    "ExReleaseFastMutexUnsafeAndLeaveCriticalRegion",
    "KeInitializeApc",
    "KeInsertQueueApc",
    "RtlAssert",
    "RtlLookupFunctionEntry",
    "RtlPcToFileHeader",
    "RtlRaiseException",
    "RtlUnwind",
    "RtlUnwindEx",
    "RtlVirtualUnwind",
    "ZwClearEvent",
    "ZwOpenThread",
    "ZwPulseEvent",
    "ZwQuerySystemInformation",
    "ZwResetEvent",
    "ZwWaitForMultipleObjects",
    "ZwYieldExecution",
];

/// What a driver may import.
pub struct Kernel {
    images: Vec<Definition>,
    /// The lowest build of Windows that the driver is to run on.
    pub lowest_build: u32,
}

/// What an image imports.
#[derive(Debug)]
pub enum Import {
    /// By its name.
    Name(String),
    /// By its ordinal.
    Number(u16),
}

impl Kernel {
    /// Reads the kit's definitions.
    pub fn load() -> Result<Self> {
        let images =
            ["ntoskrnl", "hal", "wdfldr"].map(|name| Definition::load(&definition::kernel(), name));
        Ok(Self {
            images: images.into_iter().collect::<Result<_>>()?,
            lowest_build: kit::LOWEST_BUILD,
        })
    }

    /// What the image imports and should not.
    pub fn problems(&self, image: &PeFile64) -> Result<Vec<String>> {
        let imports = imports(image)?;
        let problem = |(from, import): &(String, Import)| self.problem(from, import);
        Ok(imports.iter().filter_map(problem).collect())
    }

    fn problem(&self, from: &str, import: &Import) -> Option<String> {
        let exporter = self
            .images
            .iter()
            .find(|known| known.image.eq_ignore_ascii_case(from));
        let Some(exporter) = exporter else {
            return Some(format!(
                "it imports from {from}, which is no part of the kernel"
            ));
        };
        let name = match import {
            Import::Name(name) => name.as_str(),
            Import::Number(number) => {
                return Some(format!("it imports {from} #{number} by number"));
            }
        };
        if !exporter.exports.contains(name) {
            return Some(format!("{from} is not known to export {name}"));
        }
        if UNDOCUMENTED.contains(&name) {
            return Some(format!("it imports {name}, which is not documented"));
        }
        since(name)
            .filter(|&build| build > self.lowest_build)
            .map(|build| format!("it imports {name}, which is in Windows from build {build} on"))
    }
}

/// The newest of the image's imports, if one is newer than version 1809 of Windows 10, and the first
/// build that has it.
pub fn newest(image: &PeFile64) -> Result<Option<(u32, String)>> {
    let names = imports(image)?.into_iter().filter_map(|(_, import)| {
        let Import::Name(name) = import else {
            return None;
        };
        Some((since(&name)?, name))
    });
    Ok(names.max())
}

fn since(name: &str) -> Option<u32> {
    let mut newer = NEWER.iter();
    newer
        .find(|(known, _)| *known == name)
        .map(|&(_, build)| build)
}

/// What the image imports, and from which.
pub fn imports(image: &PeFile64) -> Result<Vec<(String, Import)>> {
    let mut result = Vec::new();
    let Some(table) = image.import_table()? else {
        return Ok(result);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let from = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into_owned();
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            let import = if thunk.is_ordinal() {
                Import::Number(thunk.ordinal())
            } else {
                let (_, name) = table.hint_name(thunk.address())?;
                Import::Name(String::from_utf8_lossy(name).into_owned())
            };
            result.push((from.clone(), import));
        }
    }
    Ok(result)
}
