//! Small PE images, made on the spot: a few bytes of code, with imports, exports and relocations.
//!
//! An image has its code at [`CODE`], its own data at [`DATA`], and in the same section the addresses
//! of its imports from [`IMPORTS`] on.

use object::{
    pe,
    write::pe::{NtHeaders, Writer},
};

/// The RVA of the code, whose first byte is the entry point.
pub const CODE: u32 = 0x1000;
/// The RVA of the data, of which the first [`DATA_SIZE`] bytes are the image's.
pub const DATA: u32 = 0x2000;
/// How many bytes of data there are.
pub const DATA_SIZE: u32 = 0x400;
/// The RVA of the address of the first import.
pub const IMPORTS: u32 = DATA + DATA_SIZE;
const TABLES: u32 = 0x3000;
const EXPORTS: u32 = 0x4000;

/// Where an image would like to lie, and does not.
pub const BASE: u64 = 0x1_4000_0000;

/// The load configuration, up to the security cookie.
const LOAD_CONFIG_SIZE: u32 = 0x60;
const COOKIE_FIELD: usize = 0x58;

/// An image to be built.
#[derive(Clone, Debug, Default)]
pub struct Image {
    code: Vec<u8>,
    data: Vec<u8>,
    imports: Vec<(&'static str, &'static str)>,
    exports: Vec<(&'static str, u32)>,
    forwarder: Option<(&'static str, &'static str)>,
    relocations: Vec<u32>,
    cookie: Option<u32>,
}

impl Image {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds code.
    pub fn code(mut self, bytes: &[u8]) -> Self {
        self.code.extend_from_slice(bytes);
        self
    }

    /// The RVA behind the code so far.
    pub fn here(&self) -> u32 {
        CODE + u32::try_from(self.code.len()).expect("little code")
    }

    /// Adds an instruction that ends with the distance to an RVA.
    pub fn code_to(self, bytes: &[u8], rva: u32) -> Self {
        let image = self.code(bytes);
        let distance = rva.wrapping_sub(image.here() + 4);
        image.code(&distance.to_le_bytes())
    }

    /// Adds a call of an import of the kernel, with the stack space that callees may use.
    pub fn call(self, name: &'static str) -> Self {
        self.call_from("ntoskrnl.exe", name)
    }

    /// Adds a call of an import of the kernel, for which the code has made room on the stack.
    pub fn call_plain(mut self, name: &'static str) -> Self {
        let index = self.import("ntoskrnl.exe", name);
        self.code_to(&[0xFF, 0x15], IMPORTS + 8 * index)
    }

    /// Adds a call of an import.
    pub fn call_from(mut self, module: &'static str, name: &'static str) -> Self {
        let index = self.import(module, name);
        self.code(&[0x48, 0x83, 0xEC, 0x28]) // sub rsp, 40
            .code_to(&[0xFF, 0x15], IMPORTS + 8 * index) // call [rip + ...]
            .code(&[0x48, 0x83, 0xC4, 0x28]) // add rsp, 40
    }

    fn import(&mut self, module: &'static str, name: &'static str) -> u32 {
        let import = (module, name);
        let known = self.imports.iter().position(|other| *other == import);
        let index = known.unwrap_or_else(|| {
            self.imports.push(import);
            self.imports.len() - 1
        });
        // Each import is a table of its own, which a zero ends.
        2 * u32::try_from(index).expect("few imports")
    }

    /// Adds `mov eax, VALUE`.
    pub fn result(self, value: i32) -> Self {
        self.code(&[0xB8]).code(&value.to_le_bytes())
    }

    /// Adds `ret`.
    pub fn ret(self) -> Self {
        self.code(&[0xC3])
    }

    /// Adds data and returns its RVA.
    pub fn data(&mut self, bytes: &[u8]) -> u32 {
        let rva = DATA + u32::try_from(self.data.len()).expect("little data");
        self.data.extend_from_slice(bytes);
        rva
    }

    /// Adds the absolute address of an RVA to the data, with its relocation, and returns where it is.
    pub fn address_of(&mut self, rva: u32) -> u32 {
        let place = self.data(&(BASE + u64::from(rva)).to_le_bytes());
        self.relocations.push(place);
        place
    }

    /// Exports an RVA.
    pub fn export(mut self, name: &'static str, rva: u32) -> Self {
        self.exports.push((name, rva));
        self
    }

    /// Exports a name that is found elsewhere.
    pub const fn forward(mut self, name: &'static str, target: &'static str) -> Self {
        self.forwarder = Some((name, target));
        self
    }

    /// Says where the security cookie is.
    pub const fn cookie(mut self, rva: u32) -> Self {
        self.cookie = Some(rva);
        self
    }

    /// The file.
    pub fn build(mut self) -> Vec<u8> {
        let tables = self.tables();
        let exports = self.export_table();
        self.data.resize(DATA_SIZE as usize, 0);
        let (thunks, lookup) = tables;
        self.data.extend_from_slice(&thunks);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small image");

        let mut file = Vec::new();
        let mut writer = Writer::new(true, 0x1000, 0x200, &mut file);
        writer.reserve_dos_header_and_stub();
        writer.reserve_nt_headers(16);
        writer.reserve_section_headers(5);
        let text = writer.reserve_text_section(length(&self.code));
        let data = writer.reserve_data_section(length(&self.data), length(&self.data));
        let rdata = writer.reserve_rdata_section(length(&lookup));
        let edata = writer.reserve_edata_section(length(&exports));
        assert_eq!((text.virtual_address, data.virtual_address), (CODE, DATA));
        assert_eq!(
            (rdata.virtual_address, edata.virtual_address),
            (TABLES, EXPORTS)
        );
        for place in &self.relocations {
            writer.add_reloc(*place, pe::IMAGE_REL_BASED_DIR64);
        }
        if self.relocations.is_empty() {
            // A block with one relocation of no effect.
            writer.add_reloc(DATA, pe::IMAGE_REL_BASED_ABSOLUTE);
        }
        writer.reserve_reloc_section();
        if !self.imports.is_empty() {
            let size = 20 * (u32::try_from(self.imports.len()).expect("few imports") + 1);
            writer.set_data_directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT, TABLES, size);
        }
        if self.exports.is_empty() && self.forwarder.is_none() {
            writer.set_data_directory(pe::IMAGE_DIRECTORY_ENTRY_EXPORT, 0, 0);
        }
        if let Some(place) = self.load_config_place() {
            writer.set_data_directory(
                pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG,
                place,
                LOAD_CONFIG_SIZE,
            );
        }
        writer.write_dos_header_and_stub().expect("an empty buffer");
        writer.write_nt_headers(headers());
        writer.write_section_headers();
        writer.write_section(text.file_offset, &self.code);
        writer.write_section(data.file_offset, &self.data);
        writer.write_section(rdata.file_offset, &lookup);
        writer.write_section(edata.file_offset, &exports);
        writer.write_reloc_section();
        file
    }

    /// The load configuration goes to the beginning of the data when there is a cookie.
    fn load_config_place(&self) -> Option<u32> {
        self.cookie.map(|_| DATA + DATA_SIZE - LOAD_CONFIG_SIZE)
    }

    /// The import address tables, and everything that they are bound by.
    fn tables(&mut self) -> (Vec<u8>, Vec<u8>) {
        if let (Some(cookie), Some(place)) = (self.cookie, self.load_config_place()) {
            self.data.resize((DATA_SIZE - LOAD_CONFIG_SIZE) as usize, 0);
            let mut configuration = vec![0; LOAD_CONFIG_SIZE as usize];
            configuration[..4].copy_from_slice(&LOAD_CONFIG_SIZE.to_le_bytes());
            let address = (BASE + u64::from(cookie)).to_le_bytes();
            configuration[COOKIE_FIELD..].copy_from_slice(&address);
            self.data.extend_from_slice(&configuration);
            self.relocations
                .push(place + u32::try_from(COOKIE_FIELD).expect("small"));
        }
        let descriptors = 20 * (self.imports.len() + 1);
        let mut lookup = vec![0_u8; descriptors];
        let mut thunks = Vec::new();
        for (index, (module, name)) in self.imports.iter().enumerate() {
            let here = |lookup: &[u8]| TABLES + u32::try_from(lookup.len()).expect("few imports");
            let module_rva = here(&lookup);
            lookup.extend_from_slice(module.as_bytes());
            lookup.push(0);
            lookup.resize(lookup.len().next_multiple_of(2), 0);
            let name_rva = here(&lookup);
            lookup.extend_from_slice(&[0, 0]); // the hint
            lookup.extend_from_slice(name.as_bytes());
            lookup.push(0);
            lookup.resize(lookup.len().next_multiple_of(8), 0);
            let table_rva = here(&lookup);
            let table = [u64::from(name_rva).to_le_bytes(), [0; 8]].concat();
            lookup.extend_from_slice(&table);
            thunks.extend_from_slice(&table);
            let slot = IMPORTS + 16 * u32::try_from(index).expect("few imports");
            let descriptor = [table_rva, 0, 0, module_rva, slot]
                .map(u32::to_le_bytes)
                .concat();
            lookup[20 * index..20 * (index + 1)].copy_from_slice(&descriptor);
        }
        (thunks, lookup)
    }

    fn export_table(&self) -> Vec<u8> {
        let mut exports: Vec<(&str, u32, Option<&str>)> = self
            .exports
            .iter()
            .map(|(name, rva)| (*name, *rva, None))
            .collect();
        exports.extend(self.forwarder.map(|(name, target)| (name, 0, Some(target))));
        exports.sort_unstable();
        let count = exports.len();
        let number = |n: usize| u32::try_from(n).expect("few exports");
        let (addresses, names, ordinals) = (40, 40 + 4 * count, 40 + 8 * count);
        let mut table = vec![0_u8; 40 + 10 * count];
        let put = |table: &mut Vec<u8>, at: usize, value: u32| {
            table[at..at + 4].copy_from_slice(&value.to_le_bytes());
        };
        put(&mut table, 16, 1); // the ordinal base
        put(&mut table, 20, number(count));
        put(&mut table, 24, number(count));
        put(&mut table, 28, EXPORTS + number(addresses));
        put(&mut table, 32, EXPORTS + number(names));
        put(&mut table, 36, EXPORTS + number(ordinals));
        for (index, (name, rva, target)) in exports.into_iter().enumerate() {
            let name_rva = EXPORTS + number(table.len());
            table.extend_from_slice(name.as_bytes());
            table.push(0);
            let rva = target.map_or(rva, |target| {
                let place = EXPORTS + number(table.len());
                table.extend_from_slice(target.as_bytes());
                table.push(0);
                place
            });
            put(&mut table, addresses + 4 * index, rva);
            put(&mut table, names + 4 * index, name_rva);
            let ordinal = u16::try_from(index).expect("few exports").to_le_bytes();
            table[ordinals + 2 * index..ordinals + 2 * index + 2].copy_from_slice(&ordinal);
        }
        table
    }
}

fn headers() -> NtHeaders {
    NtHeaders {
        machine: pe::IMAGE_FILE_MACHINE_AMD64,
        time_date_stamp: 0,
        characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE | pe::IMAGE_FILE_LARGE_ADDRESS_AWARE,
        major_linker_version: 14,
        minor_linker_version: 0,
        address_of_entry_point: CODE,
        image_base: BASE,
        major_operating_system_version: 10,
        minor_operating_system_version: 0,
        major_image_version: 10,
        minor_image_version: 0,
        major_subsystem_version: 10,
        minor_subsystem_version: 0,
        subsystem: pe::IMAGE_SUBSYSTEM_NATIVE,
        dll_characteristics: pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    }
}

/// A driver that returns from `DriverEntry` what its code computes, and has an unload routine.
pub fn driver() -> Image {
    // unload: ret, skipped by the entry; DriverEntry: mov rax, unload; mov [rcx + 0x68], rax
    Image::new()
        .code(&[0xEB, 0x01])
        .ret()
        .code_to(&[0x48, 0x8D, 0x05], CODE + 2)
        .code(&[0x48, 0x89, 0x41, 0x68])
}
