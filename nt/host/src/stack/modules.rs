//! What the unwinder must know: where code lies, and the tables that tell how to leave it.

use core::{ffi::c_void, ops::Range, slice};
use std::{borrow::Cow, collections::HashMap};

use framehop::{Module, ModuleSectionInfo, Unwinder as _, x86_64::UnwinderX86_64};
use libc::{c_int, dl_phdr_info, size_t};

use crate::{address::pointer, loader::registry};

type Bytes = Cow<'static, [u8]>;

/// An unwinder that knows all code of this process.
pub fn unwinder() -> UnwinderX86_64<Bytes> {
    let mut unwinder = UnwinderX86_64::new();
    for module in images().into_iter().chain(host()) {
        unwinder.add_module(module);
    }
    unwinder
}

/// The sections that an unwinder asks for.
#[derive(Default)]
struct Sections {
    base: u64,
    sections: HashMap<&'static [u8], (Range<u64>, Bytes)>,
}

impl ModuleSectionInfo<Bytes> for Sections {
    fn base_svma(&self) -> u64 {
        self.base
    }

    fn section_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        self.sections.get(name).map(|section| section.0.clone())
    }

    fn section_data(&mut self, name: &[u8]) -> Option<Bytes> {
        self.sections.get(name).map(|section| section.1.clone())
    }
}

/// The loaded images of drivers.
fn images() -> Vec<Module<Bytes>> {
    const NEEDED: [&str; 4] = [".text", ".pdata", ".rdata", ".xdata"];
    let module = |image: registry::LoadedImage| {
        let mut sections = Sections {
            base: image.range.start as u64,
            ..Sections::default()
        };
        for (name, data) in image.symbols.sections(&NEEDED) {
            let start = sections.base + u64::from(data.rva);
            let range = start..start + data.bytes.len() as u64;
            sections
                .sections
                .insert(name.as_bytes(), (range, data.bytes.into()));
        }
        let range = image.range.start as u64..image.range.end as u64;
        Module::new(image.name.to_string(), range.clone(), range.start, sections)
    };
    registry::images().into_iter().map(module).collect()
}

/// The program and its libraries.
fn host() -> Vec<Module<Bytes>> {
    unsafe extern "C" fn add(info: *mut dl_phdr_info, _: size_t, list: *mut c_void) -> c_int {
        // SAFETY: `host` passes its list.
        let list = unsafe { &mut *list.cast::<Vec<Module<Bytes>>>() };
        // SAFETY: The loader passes what it knows of an object.
        list.extend(object(unsafe { &*info }));
        0
    }

    let mut list: Vec<Module<Bytes>> = Vec::new();
    // SAFETY: The function takes what it is given, and the list outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut list).cast()) };
    list
}

/// A program or library, if it has unwind tables.
fn object(info: &dl_phdr_info) -> Option<Module<Bytes>> {
    // SAFETY: The loader says where the program headers are, and how many.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| {
        let start = info.dlpi_addr + header.p_vaddr;
        start..start + header.p_memsz
    };
    let of_type = |kind: u32| headers.iter().filter(move |header| header.p_type == kind);
    let loaded: Vec<_> = of_type(libc::PT_LOAD).map(range).collect();
    let index = of_type(libc::PT_GNU_EH_FRAME).map(range).next()?;
    let start = table_start(&index)?;
    // The table ends somewhere in the segment that it begins in; a zero there ends it for its reader.
    let end = loaded.iter().find(|segment| segment.contains(&start))?.end;
    let mut sections = Sections {
        base: info.dlpi_addr,
        ..Sections::default()
    };
    for (name, range) in [(&b".eh_frame_hdr"[..], index), (b".eh_frame", start..end)] {
        let data = Cow::Borrowed(bytes(&range));
        sections.sections.insert(name, (range, data));
    }
    let all = loaded.first()?.start..loaded.last()?.end;
    Some(Module::new(String::new(), all, info.dlpi_addr, sections))
}

/// Where `.eh_frame` begins, which its index says, relative to itself.
fn table_start(index: &Range<u64>) -> Option<u64> {
    /// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`
    const RELATIVE: u8 = 0x1B;
    const POINTER: usize = 4;
    let [1, RELATIVE, _, _, pointer @ ..] = bytes(index) else {
        return None;
    };
    let distance = i32::from_le_bytes(*pointer.first_chunk::<POINTER>()?);
    index
        .start
        .checked_add(POINTER as u64)?
        .checked_add_signed(distance.into())
}

/// What a loaded object has there.
fn bytes(range: &Range<u64>) -> &'static [u8] {
    let length = usize::try_from(range.end - range.start).unwrap_or(0);
    // SAFETY: The range is part of a segment that is loaded for reading. The libraries of this process are
    // not unloaded.
    unsafe { slice::from_raw_parts(pointer(range.start), length) }
}
