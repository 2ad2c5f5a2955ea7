//! The headers of an image: what is read from them, checked before anything is mapped.

use std::ops::Range;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64};

use super::ImageError;
use super::protection::Access;

/// No driver is larger; a larger `SizeOfImage` is taken for damage instead of being allocated.
const LARGEST_IMAGE: u32 = 256 << 20;
const PAGE: u32 = 0x1000;

/// A section: where it lies in the image and in the file, and what may be done with it.
#[derive(Debug)]
pub struct Section {
    pub name: String,
    pub rva: u32,
    pub virtual_size: u32,
    pub file_offset: u32,
    /// Never more than `virtual_size` rounded up to pages, nor beyond the end of the file.
    pub file_size: u32,
    pub access: Access,
}

/// A data directory that is present: its range lies inside the image.
#[derive(Clone, Copy, Debug)]
pub struct Directory {
    pub rva: u32,
    pub size: u32,
}

/// The checked headers of an image.
#[derive(Debug)]
pub struct Headers {
    pub preferred_base: u64,
    pub size: u32,
    pub header_size: u32,
    /// Zero when the image has no entry point.
    pub entry: u32,
    pub sections: Vec<Section>,
    pub exports: Option<Directory>,
    pub imports: Option<Directory>,
    pub relocations: Option<Directory>,
    pub load_config: Option<Directory>,
}

impl Headers {
    /// Reads the headers of the image `name` from the file's contents.
    ///
    /// # Errors
    ///
    /// [`ImageError::Kind`] for what is no PE32+ x64 image, [`ImageError::Format`] for headers that
    /// contradict themselves or the file, [`ImageError::Unsupported`] for sections that are not
    /// aligned to pages.
    pub fn parse(name: &str, file: &[u8]) -> Result<Self, ImageError> {
        let reader = Reader { name, file };
        reader.check_kind()?;
        let pe = PeFile64::parse(file).map_err(|e| reader.damaged(e))?;
        let optional = pe.nt_headers().optional_header();
        let characteristics = pe.nt_headers().file_header().characteristics.get(LE);
        if !characteristics.contains(pe::IMAGE_FILE_EXECUTABLE_IMAGE) {
            return Err(reader.kind("it is an object file, not linked"));
        }
        if characteristics.contains(pe::IMAGE_FILE_RELOCS_STRIPPED) {
            return Err(reader.unsupported("it has no relocations, and works at one address only"));
        }
        let size = optional.size_of_image();
        if size == 0 || size > LARGEST_IMAGE {
            return Err(reader.damaged(format!("SizeOfImage is {size:#x}")));
        }
        let alignment = optional.section_alignment();
        if alignment < PAGE || !alignment.is_power_of_two() {
            return Err(reader.unsupported(format!(
                "its sections are aligned to {alignment:#x}, not to pages"
            )));
        }
        let header_size = optional.size_of_headers();
        if header_size > size || header_size as usize > file.len() {
            return Err(reader.damaged(format!("SizeOfHeaders is {header_size:#x}")));
        }
        let headers = Self {
            preferred_base: optional.image_base(),
            size: size.next_multiple_of(PAGE),
            header_size,
            entry: optional.address_of_entry_point(),
            sections: reader.sections(&pe, header_size, size)?,
            exports: reader.directory(&pe, pe::IMAGE_DIRECTORY_ENTRY_EXPORT, size)?,
            imports: reader.directory(&pe, pe::IMAGE_DIRECTORY_ENTRY_IMPORT, size)?,
            relocations: reader.directory(&pe, pe::IMAGE_DIRECTORY_ENTRY_BASERELOC, size)?,
            load_config: reader.directory(&pe, pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, size)?,
        };
        headers.check_entry(&reader)?;
        Ok(headers)
    }

    /// Where the image's code is, as offsets from its beginning.
    pub fn code(&self) -> impl Iterator<Item = Range<usize>> {
        let code = self
            .sections
            .iter()
            .filter(|section| section.access.execute);
        code.map(|section| {
            let start = section.rva as usize;
            start..start + section.virtual_size as usize
        })
    }

    fn check_entry(&self, reader: &Reader<'_>) -> Result<(), ImageError> {
        let executable = |section: &Section| {
            section.access.execute
                && (section.rva..section.rva + section.virtual_size).contains(&self.entry)
        };
        if self.entry == 0 || self.sections.iter().any(executable) {
            return Ok(());
        }
        Err(reader.damaged(format!(
            "the entry point {:#x} lies outside its code",
            self.entry
        )))
    }
}

struct Reader<'a> {
    name: &'a str,
    file: &'a [u8],
}

impl Reader<'_> {
    fn damaged(&self, what: impl std::fmt::Display) -> ImageError {
        ImageError::Format {
            name: self.name.to_owned(),
            what: what.to_string(),
        }
    }

    fn kind(&self, what: impl std::fmt::Display) -> ImageError {
        ImageError::Kind {
            name: self.name.to_owned(),
            what: what.to_string(),
        }
    }

    fn unsupported(&self, what: impl std::fmt::Display) -> ImageError {
        ImageError::Unsupported {
            name: self.name.to_owned(),
            what: what.to_string(),
        }
    }

    fn check_kind(&self) -> Result<(), ImageError> {
        let dos = pe::ImageDosHeader::parse(self.file).map_err(|e| self.kind(e))?;
        let offset = u64::from(dos.nt_headers_offset());
        let machine = object::read::pe::optional_header_magic(self.file)
            .map_err(|e| self.kind(e))
            .and_then(|magic| match magic {
                pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => Ok(self.machine(offset)),
                pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => Err(self.kind("it is a 32-bit image")),
                other => Err(self.kind(format!("its optional header has magic {other:#x}"))),
            })?;
        match machine {
            Some(pe::IMAGE_FILE_MACHINE_AMD64) => Ok(()),
            Some(pe::IMAGE_FILE_MACHINE_ARM64) => Err(self.kind("it is built for ARM64")),
            Some(other) => Err(self.kind(format!("it is built for machine {:#x}", other.0))),
            None => Err(self.damaged("the file ends inside its headers")),
        }
    }

    fn machine(&self, nt_headers: u64) -> Option<pe::Machine> {
        let at = usize::try_from(nt_headers).ok()?.checked_add(4)?;
        let bytes = self.file.get(at..at.checked_add(2)?)?;
        Some(pe::Machine(u16::from_le_bytes(bytes.try_into().ok()?)))
    }

    fn directory(
        &self,
        pe: &PeFile64<'_>,
        index: usize,
        size_of_image: u32,
    ) -> Result<Option<Directory>, ImageError> {
        let Some(entry) = pe.data_directory(index) else {
            return Ok(None);
        };
        let (rva, size) = entry.address_range();
        if rva == 0 || size == 0 {
            return Ok(None);
        }
        if rva.checked_add(size).is_none_or(|end| end > size_of_image) {
            return Err(self.damaged(format!(
                "data directory {index} ({rva:#x}, {size:#x} bytes) lies outside the image"
            )));
        }
        Ok(Some(Directory { rva, size }))
    }

    fn sections(
        &self,
        pe: &PeFile64<'_>,
        header_size: u32,
        size_of_image: u32,
    ) -> Result<Vec<Section>, ImageError> {
        let mut sections: Vec<Section> = Vec::new();
        let mut free_from = header_size;
        for header in pe.section_table().iter() {
            let section = self.section(header, size_of_image)?;
            if section.rva < free_from {
                return Err(self.damaged(format!(
                    "section {} at {:#x} overlaps what is before it",
                    section.name, section.rva
                )));
            }
            free_from = (section.rva + section.virtual_size).next_multiple_of(PAGE);
            sections.push(section);
        }
        Ok(sections)
    }

    fn section(
        &self,
        header: &pe::ImageSectionHeader,
        size_of_image: u32,
    ) -> Result<Section, ImageError> {
        let name = String::from_utf8_lossy(header.raw_name()).into_owned();
        let rva = header.virtual_address.get(LE);
        let raw_size = header.size_of_raw_data.get(LE);
        let file_offset = header.pointer_to_raw_data.get(LE);
        // Linkers may leave VirtualSize zero: the size in the file counts then.
        let virtual_size = match header.virtual_size.get(LE) {
            0 => raw_size,
            size => size,
        };
        if !rva.is_multiple_of(PAGE) {
            return Err(self.damaged(format!("section {name} starts at {rva:#x}, inside a page")));
        }
        if rva
            .checked_add(virtual_size)
            .is_none_or(|end| end > size_of_image)
        {
            return Err(self.damaged(format!("section {name} reaches beyond SizeOfImage")));
        }
        let file_size = raw_size.min(virtual_size);
        let end = u64::from(file_offset) + u64::from(file_size);
        if file_size != 0 && end > self.file.len() as u64 {
            return Err(self.damaged(format!("section {name} reaches beyond the end of the file")));
        }
        let access = Access::of_section(header.characteristics.get(LE));
        Ok(Section {
            name,
            rva,
            virtual_size,
            file_offset,
            file_size,
            access,
        })
    }
}
