//! The memory of an image, from the file's bytes to protected pages.

use nt_abi::PAGE_SIZE;
use region::Protection;

use super::ImageError;
use super::headers::Headers;
use super::pages::Pages;
use super::protection::Access;
use crate::mm::pageable;

/// The pages of an image. While it is being prepared they are plain writable memory; `protect`
/// gives each section what it asks for.
#[derive(Debug)]
pub struct ImageMemory {
    pages: Pages,
    size: usize,
}

impl ImageMemory {
    /// Allocates the image and copies headers and sections to their places.
    pub fn map(name: &str, headers: &Headers, file: &[u8]) -> Result<Self, ImageError> {
        let memory = |source| ImageError::Memory {
            name: name.to_owned(),
            source,
        };
        let size = headers.size as usize;
        let pages = Pages::new(size, Protection::READ_WRITE).map_err(memory)?;
        let mut image = Self { pages, size };
        let bytes = image.bytes_mut();
        let head = headers.header_size as usize;
        bytes[..head].copy_from_slice(&file[..head]);
        for section in &headers.sections {
            let (to, from) = (section.rva as usize, section.file_offset as usize);
            let length = section.file_size as usize;
            if length != 0 {
                bytes[to..to + length].copy_from_slice(&file[from..from + length]);
            }
        }
        Ok(image)
    }

    pub fn base(&self) -> usize {
        self.pages.start().expose_provenance()
    }

    pub const fn size(&self) -> usize {
        self.size
    }

    /// The image as it lies in memory; an RVA is an index. Only before [`protect`](Self::protect):
    /// afterwards the driver itself writes there.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: The allocation is at least `size` bytes, zeroed by the system or written by us,
        // and readable. `&self` borrows the allocation, and no driver code runs in it yet.
        unsafe { std::slice::from_raw_parts(self.pages.start(), self.size) }
    }

    /// As [`bytes`](Self::bytes), to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: As for `bytes`; `&mut self` makes this the only view of it, and the pages are
        // writable until `protect`.
        unsafe { std::slice::from_raw_parts_mut(self.pages.start(), self.size) }
    }

    /// The `length` bytes at `rva`, where that lies inside the image.
    pub fn range(&self, rva: u32, length: u32) -> Option<&[u8]> {
        self.bytes()
            .get(rva as usize..(rva as usize).checked_add(length as usize)?)
    }

    /// Reads the 64-bit value at `rva`.
    pub fn read_u64(&self, rva: u32) -> Option<u64> {
        Some(u64::from_le_bytes(self.range(rva, 8)?.try_into().ok()?))
    }

    /// Writes the 64-bit `value` at `rva`; false if that lies outside the image.
    #[must_use = "a value outside the image is not written"]
    pub fn write_u64(&mut self, rva: u32, value: u64) -> bool {
        let rva = rva as usize;
        let Some(place) = self.bytes_mut().get_mut(rva..rva.saturating_add(8)) else {
            return false;
        };
        place.copy_from_slice(&value.to_le_bytes());
        true
    }

    /// Gives every page the protection of its section. Pages of no section cannot be accessed.
    pub fn protect(&self, headers: &Headers) -> Result<(), region::Error> {
        self.set(0, self.size, Protection::NONE)?;
        self.set(0, headers.header_size as usize, Access::READ.protection())?;
        for section in &headers.sections {
            let protection = section.access.protection();
            self.set(
                section.rva as usize,
                section.virtual_size as usize,
                protection,
            )?;
            if section.name.starts_with("PAGE") && pageable::is_on() {
                let start = self.base() + section.rva as usize;
                let length = (section.virtual_size as usize).next_multiple_of(PAGE_SIZE);
                pageable::add(&(start..start + length), protection);
            }
        }
        Ok(())
    }

    fn set(&self, rva: usize, length: usize, access: Protection) -> Result<(), region::Error> {
        if length == 0 {
            return Ok(());
        }
        let start = self.pages.start().wrapping_add(rva);
        // SAFETY: The range lies inside the allocation that `self` owns (the headers were checked
        // against the size of the image), and nobody holds a reference into it: `bytes` and
        // `bytes_mut` borrow `self` for shorter than this call.
        unsafe { region::protect(start, length, access) }
    }

    /// Takes every access away and returns the pages to the system; the addresses stay reserved,
    /// so that a stray call into the unloaded image is recognised.
    pub fn retire(self) -> Option<Pages> {
        pageable::remove(&self.pages.range());
        // A failure leaves the pages to be unmapped as the allocation is dropped.
        self.set(0, self.size, Protection::NONE).ok()?;
        let start = self.pages.start().cast::<libc::c_void>();
        // SAFETY: The range is exactly the private anonymous mapping that `self` owns.
        let result = unsafe { libc::madvise(start, self.size, libc::MADV_DONTNEED) };
        (result == 0).then_some(self.pages)
    }
}
