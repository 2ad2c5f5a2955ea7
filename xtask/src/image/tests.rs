//! Each thing that the check looks at, broken once in an otherwise good image.

use object::read::pe::PeFile64;

use super::{Kernel, checksum, imports, problems, settle};

/// A small driver image; every field can be spoilt.
struct Driver {
    machine: u16,
    characteristics: u16,
    entry_point: u32,
    subsystem: u16,
    flags: u16,
    text_rights: u32,
    imports_from: &'static str,
    import: Import,
    checksum: Option<u32>,
    /// The type of its one entry in the debug directory.
    debug: u32,
}

enum Import {
    Name(&'static str),
    Number(u16),
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            machine: 0x8664,
            characteristics: 0x2022,
            entry_point: 0x1000,
            subsystem: 1,
            flags: 0x1e0,
            text_rights: 0x6000_0020,
            imports_from: "ntoskrnl.exe",
            import: Import::Name("KeSetEvent"),
            checksum: None,
            debug: 16,
        }
    }
}

const NT_HEADERS: usize = 0x40;
const OPTIONAL: usize = NT_HEADERS + 24;
const SECTIONS: usize = OPTIONAL + 240;
/// File offset of the section with the imports, which is loaded at 0x2000.
const IMPORTS: usize = 0x400;

impl Driver {
    fn bytes(&self) -> Vec<u8> {
        let mut image = vec![0; 0x600];
        put(&mut image, 0, b"MZ");
        put(&mut image, 0x3c, &0x40_u32.to_le_bytes());
        put(&mut image, NT_HEADERS, b"PE\0\0");
        put(&mut image, NT_HEADERS + 4, &self.machine.to_le_bytes());
        put(&mut image, NT_HEADERS + 6, &2_u16.to_le_bytes());
        put(&mut image, NT_HEADERS + 20, &240_u16.to_le_bytes());
        put(
            &mut image,
            NT_HEADERS + 22,
            &self.characteristics.to_le_bytes(),
        );
        put(&mut image, OPTIONAL, &0x20b_u16.to_le_bytes());
        put(&mut image, OPTIONAL + 16, &self.entry_point.to_le_bytes());
        put(&mut image, OPTIONAL + 32, &0x1000_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 36, &0x200_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 56, &0x3000_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 60, &0x200_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 68, &self.subsystem.to_le_bytes());
        put(&mut image, OPTIONAL + 70, &self.flags.to_le_bytes());
        put(&mut image, OPTIONAL + 108, &16_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 112 + 8, &0x2000_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 112 + 12, &0x28_u32.to_le_bytes());
        section(
            &mut image,
            0,
            *b".text\0\0\0",
            [0x1000, 0x200, 0x200],
            self.text_rights,
        );
        section(
            &mut image,
            1,
            *b".rdata\0\0",
            [0x2000, 0x200, 0x400],
            0x4000_0040,
        );
        self.put_imports(&mut image);
        put(&mut image, OPTIONAL + 112 + 48, &0x2180_u32.to_le_bytes());
        put(&mut image, OPTIONAL + 112 + 52, &28_u32.to_le_bytes());
        put(&mut image, IMPORTS + 0x180 + 12, &self.debug.to_le_bytes());
        let sum = self.checksum.unwrap_or_else(|| checksum(&image));
        put(&mut image, OPTIONAL + 64, &sum.to_le_bytes());
        image
    }

    fn put_imports(&self, image: &mut [u8]) {
        put(image, IMPORTS, &0x2040_u32.to_le_bytes());
        put(image, IMPORTS + 12, &0x2080_u32.to_le_bytes());
        put(image, IMPORTS + 16, &0x2040_u32.to_le_bytes());
        put(image, IMPORTS + 0x80, self.imports_from.as_bytes());
        match self.import {
            Import::Name(name) => {
                put(image, IMPORTS + 0x40, &0x2100_u64.to_le_bytes());
                put(image, IMPORTS + 0x102, name.as_bytes());
            }
            Import::Number(number) => {
                put(
                    image,
                    IMPORTS + 0x40,
                    &(1 << 63 | u64::from(number)).to_le_bytes(),
                );
            }
        }
    }
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn section(image: &mut [u8], index: usize, name: [u8; 8], place: [u32; 3], rights: u32) {
    let [address, size, file_offset] = place;
    let at = SECTIONS + index * 40;
    put(image, at, &name);
    for (offset, value) in [
        (8, size),
        (12, address),
        (16, size),
        (20, file_offset),
        (36, rights),
    ] {
        put(image, at + offset, &value.to_le_bytes());
    }
}

fn found_in(driver: &Driver) -> Vec<String> {
    let kernel = Kernel::load().expect("the kit's definitions read");
    problems(&driver.bytes(), &kernel).expect("it is a PE image")
}

#[track_caller]
fn assert_only_problem(driver: &Driver, text: &str) {
    let found = found_in(driver);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(text), "{found:?}");
}

#[test]
fn a_good_image_passes() {
    assert_eq!(found_in(&Driver::default()), Vec::<String>::new());
    let arm = Driver {
        machine: 0xaa64,
        ..Driver::default()
    };
    assert_eq!(found_in(&arm), Vec::<String>::new());
}

#[test]
fn import_names_match_whatever_the_case() {
    let driver = Driver {
        imports_from: "NTOSKRNL.EXE",
        ..Driver::default()
    };
    assert_eq!(found_in(&driver), Vec::<String>::new());
}

#[test]
fn a_foreign_machine() {
    assert_only_problem(
        &Driver {
            machine: 0x5064,
            ..Driver::default()
        },
        "machine 0x5064",
    );
}

#[test]
fn a_user_mode_subsystem() {
    assert_only_problem(
        &Driver {
            subsystem: 3,
            ..Driver::default()
        },
        "subsystem 3",
    );
}

#[test]
fn no_relocations() {
    assert_only_problem(
        &Driver {
            characteristics: 0x2023,
            ..Driver::default()
        },
        "relocations",
    );
}

#[test]
fn no_entry_point() {
    assert_only_problem(
        &Driver {
            entry_point: 0,
            ..Driver::default()
        },
        "entry point",
    );
}

#[test]
fn each_missing_flag() {
    for (flag, name) in [
        (0x40, "/DYNAMICBASE"),
        (0x100, "/NXCOMPAT"),
        (0x80, "/INTEGRITYCHECK"),
        (0x20, "/HIGHENTROPYVA"),
    ] {
        assert_only_problem(
            &Driver {
                flags: 0x1e0 & !flag,
                ..Driver::default()
            },
            name,
        );
    }
}

#[test]
fn no_checksum_and_a_wrong_one() {
    assert_only_problem(
        &Driver {
            checksum: Some(0),
            ..Driver::default()
        },
        "checksum is 0x0",
    );
    assert_only_problem(
        &Driver {
            checksum: Some(7),
            ..Driver::default()
        },
        "checksum is 0x7",
    );
}

#[test]
fn code_that_can_be_written() {
    let driver = Driver {
        text_rights: 0xe000_0020,
        ..Driver::default()
    };
    assert_only_problem(&driver, "writable and executable");
}

#[test]
fn an_import_from_user_mode() {
    let driver = Driver {
        imports_from: "KERNEL32.dll",
        ..Driver::default()
    };
    assert_only_problem(&driver, "KERNEL32.dll");
}

#[test]
fn an_import_that_the_kernel_lacks() {
    let driver = Driver {
        import: Import::Name("KeSetEventt"),
        ..Driver::default()
    };
    assert_only_problem(&driver, "KeSetEventt");
    let elsewhere = Driver {
        import: Import::Name("WdfVersionBind"),
        ..Driver::default()
    };
    assert_only_problem(&elsewhere, "WdfVersionBind");
}

#[test]
fn an_import_by_number() {
    let driver = Driver {
        import: Import::Number(12),
        ..Driver::default()
    };
    assert_only_problem(&driver, "#12");
}

#[test]
fn an_import_without_a_page() {
    for name in ["ZwQuerySystemInformation", "KeInsertQueueApc"] {
        let driver = Driver {
            import: Import::Name(name),
            ..Driver::default()
        };
        assert_only_problem(&driver, "not documented");
    }
}

#[test]
fn an_import_that_came_later() {
    let bytes = Driver {
        import: Import::Name("ExAllocatePool2"),
        ..Driver::default()
    }
    .bytes();
    let mut kernel = Kernel::load().expect("the kit's definitions read");
    assert_eq!(problems(&bytes, &kernel).expect("an image"), [""; 0]);
    let image = PeFile64::parse(&*bytes).expect("an image");
    let newest = imports::newest(&image).expect("it has imports");
    assert_eq!(newest, Some((19041, "ExAllocatePool2".to_owned())));

    kernel.lowest_build = 17763;
    let found = problems(&bytes, &kernel).expect("an image");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("build 19041"), "{found:?}");
}

#[test]
fn flags_that_wdk_build_does_not_ask_for() {
    let driver = Driver {
        flags: 0x41e0,
        ..Driver::default()
    };
    assert_only_problem(&driver, "0x4000");
}

/// An image as linked at some time with some .pdb, and that .pdb.
fn linked(time: u32, guid: [u8; 16]) -> (Vec<u8>, Vec<u8>) {
    let mut image = Driver {
        debug: 2,
        ..Driver::default()
    }
    .bytes();
    put(&mut image, NT_HEADERS + 8, &time.to_le_bytes());
    let entry = IMPORTS + 0x180;
    put(&mut image, entry + 4, &time.to_le_bytes());
    let record = IMPORTS + 0x1a0;
    put(
        &mut image,
        entry + 24,
        &u32::try_from(record).expect("it fits").to_le_bytes(),
    );
    put(&mut image, record, b"RSDS");
    put(&mut image, record + 4, &guid);
    let pdb = [b"before", &guid[..], b"after"].concat();
    (image, pdb)
}

#[test]
fn what_links_differently_and_is_the_same_becomes_the_same() {
    let [(mut one, mut one_pdb), (mut other, mut other_pdb)] =
        [linked(1, [1; 16]), linked(2, [2; 16])];
    assert_ne!(one, other);
    settle(&mut one, &mut one_pdb).expect("they belong together");
    settle(&mut other, &mut other_pdb).expect("they belong together");
    assert_eq!((&one, &one_pdb), (&other, &other_pdb));
    let record = IMPORTS + 0x1a0;
    assert_eq!(one[record + 4..record + 20], one_pdb[6..22]);
    let sum = u32::from_le_bytes(one[OPTIONAL + 64..OPTIONAL + 68].try_into().expect("four"));
    assert_eq!(sum, checksum(&one));

    let (mut changed, mut changed_pdb) = linked(1, [1; 16]);
    changed[IMPORTS + 0x150] = 1;
    settle(&mut changed, &mut changed_pdb).expect("they belong together");
    assert_ne!(changed_pdb, one_pdb, "another image has another identity");
}

#[test]
fn the_pdb_of_another_image() {
    let (mut image, _) = linked(1, [1; 16]);
    let (_, mut pdb) = linked(1, [2; 16]);
    assert!(settle(&mut image, &mut pdb).is_err());
}

#[test]
fn the_time_of_the_build() {
    let driver = Driver {
        debug: 2,
        ..Driver::default()
    };
    assert_only_problem(&driver, "/Brepro");
}

#[test]
fn no_image_at_all() {
    let kernel = Kernel::load().expect("the kit's definitions read");
    assert!(problems(b"MZ, and no more", &kernel).is_err());
}
