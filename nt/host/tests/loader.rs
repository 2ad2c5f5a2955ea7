//! The PE loader: images that are well made, and images that are not.
#![cfg(not(windows))]

mod support;

use nthost::{ImageError, Kernel, Stop, ntddk::*};
use support::image::{CODE, DATA, Image, driver};

/// A status that no part of the kernel returns.
const ANSWER: NTSTATUS = 0xC0DE_0042_u32.cast_signed();

/// Loads a driver and returns what its `DriverEntry` said.
fn entry_status(name: &str, image: Image) -> NTSTATUS {
    match Kernel::get().load_image(name, &image.build()) {
        Ok(driver) => {
            driver.unload().expect("a driver that can be unloaded");
            STATUS_SUCCESS
        }
        Err(Stop::Status(status)) => status,
        Err(stop) => panic!("{stop}"),
    }
}

fn load_error(name: &str, file: &[u8]) -> ImageError {
    match Kernel::get().load_image(name, file) {
        Err(Stop::Image(error)) => error,
        other => panic!("the image was not refused: {other:?}"),
    }
}

#[test]
fn a_driver_is_loaded_runs_and_is_unloaded() -> Result<(), Stop> {
    let file = driver().result(STATUS_SUCCESS).ret().build();
    let loaded = Kernel::get().load_image("plain.sys", &file)?;
    assert_eq!(loaded.name(), "plain");
    let range = loaded.image_range().expect("an image");
    let inside = nthost::locate(range.start + 0x1001).expect("the image's code");
    assert_eq!(inside.to_string(), "plain.sys+0x1001");
    loaded.unload()?;
    let gone = nthost::locate(range.start + 0x1001).expect("a memory of the image");
    assert_eq!(gone.to_string(), "unloaded plain.sys+0x1001");
    Ok(())
}

#[test]
fn the_status_of_the_entry_routine_is_returned() {
    assert_eq!(
        entry_status("failing.sys", driver().result(ANSWER).ret()),
        ANSWER
    );
}

#[test]
fn addresses_are_relocated() {
    let mut image = driver();
    let cell = image.data(&ANSWER.to_le_bytes());
    let pointer = image.address_of(cell);
    // mov rax, [pointer]; mov eax, [rax]
    let image = image
        .code_to(&[0x48, 0x8B, 0x05], pointer)
        .code(&[0x8B, 0x00])
        .ret();
    assert_eq!(entry_status("relocated.sys", image), ANSWER);
}

#[test]
fn the_security_cookie_is_set() {
    const LINKERS_COOKIE: u64 = 0x2B99_2DDF_A232;
    let mut image = driver();
    let cookie = image.data(&LINKERS_COOKIE.to_le_bytes());
    // mov rax, [cookie]; sub rax, [linker's]; the low half is as good as any.
    let linkers = image.data(&LINKERS_COOKIE.to_le_bytes());
    let image = image
        .cookie(cookie)
        .code_to(&[0x48, 0x8B, 0x05], cookie)
        .code_to(&[0x48, 0x2B, 0x05], linkers)
        // setz al; movzx eax, al; neg eax: -1 if the cookie is still the linker's, else 0
        .code(&[0x0F, 0x94, 0xC0, 0x0F, 0xB6, 0xC0, 0xF7, 0xD8])
        .ret();
    assert_eq!(entry_status("cookie.sys", image), STATUS_SUCCESS);
}

#[test]
fn images_import_from_images() -> Result<(), Stop> {
    let kernel = Kernel::get();
    let exporter = Image::new().result(ANSWER).ret().export("Answer", CODE);
    let library = kernel.load_library_image("ANSWERS.SYS", &exporter.build())?;
    let importer = |name| {
        let image = driver().call_from("answers.sys", "Answer").ret();
        kernel.load_image(name, &image.build())
    };
    assert_eq!(
        importer("asks.sys").err().and_then(|stop| stop.status()),
        Some(ANSWER)
    );

    let user = driver()
        .call_from("answers.sys", "Answer")
        .result(STATUS_SUCCESS)
        .ret();
    let user = kernel.load_image("uses.sys", &user.build())?;
    let refused = library.unload();
    assert!(matches!(refused, Err(Stop::InUse { .. })), "{refused:?}");
    user.unload()
}

#[test]
fn imports_of_the_kernel_are_found_and_missing_ones_are_listed() -> Result<(), Stop> {
    // KeGetCurrentIrql returns a byte: PASSIVE_LEVEL, which is STATUS_SUCCESS.
    let image = driver()
        .call("KeGetCurrentIrql")
        .code(&[0x0F, 0xB6, 0xC0])
        .ret();
    let skipped = image.clone().call("NtNoSuchFunction");
    let loaded = Kernel::get().load_image("imports.sys", &image.build())?;
    assert!(loaded.missing_imports().is_empty());
    loaded.unload()?;
    let loaded = Kernel::get().load_image("lacks.sys", &skipped.build())?;
    assert_eq!(loaded.missing_imports(), ["ntoskrnl.exe!NtNoSuchFunction"]);
    loaded.unload()
}

#[test]
fn a_module_that_is_not_loaded_is_named() {
    let image = driver().call_from("NETIO.SYS", "WskRegister").ret();
    let error = load_error("network.sys", &image.build());
    assert!(matches!(error, ImageError::Module { .. }));
    assert_eq!(
        error.to_string(),
        "network.sys imports from NETIO.SYS, which is not loaded: load it first"
    );
}

#[test]
fn a_forwarder_is_refused() {
    let image = driver().ret().forward("Here", "OTHER.There");
    let error = load_error("forwards.sys", &image.build());
    assert!(
        error
            .to_string()
            .contains("Here is a forwarder (to OTHER.There)"),
        "{error}"
    );
}

#[test]
fn a_name_is_loaded_once() -> Result<(), Stop> {
    let file = driver().result(STATUS_SUCCESS).ret().build();
    let first = Kernel::get().load_image("once.sys", &file)?;
    assert!(matches!(
        load_error("ONCE.SYS", &file),
        ImageError::Loaded { .. }
    ));
    first.unload()
}

#[test]
fn what_is_no_driver_is_refused_with_what_it_is() {
    for (name, file, words) in [
        ("empty.sys", Vec::new(), "not an x64 driver image"),
        ("text.sys", b"hello".to_vec(), "not an x64 driver image"),
        ("arm.sys", patched(0x84, &0xAA64_u16.to_le_bytes()), "ARM64"),
        ("x86.sys", patched(0x98, &0x10B_u16.to_le_bytes()), "32-bit"),
        ("object.sys", patched(0x96, &[0, 0]), "object file"),
        ("fixed.sys", patched(0x96, &[0x23, 0]), "no relocations"),
        (
            "huge.sys",
            patched(0xD0, &u32::MAX.to_le_bytes()),
            "SizeOfImage",
        ),
        (
            "entry.sys",
            patched(0xA8, &DATA.to_le_bytes()),
            "entry point",
        ),
    ] {
        let error = load_error(name, &file);
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}

/// An image with other bytes at an offset. The headers begin at 0x80.
fn patched(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = driver().result(0).ret().build();
    assert_eq!(&file[0x80..0x84], b"PE\0\0");
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    file
}

/// An image with every part that the loader reads; nothing of it runs.
fn rich() -> Vec<u8> {
    let mut image = Image::new()
        .call("KeGetCurrentIrql")
        .call("NtNoSuchFunction")
        .ret();
    let cell = image.data(&[1, 2, 3, 4]);
    image.address_of(cell);
    image
        .export("One", CODE)
        .export("Two", cell)
        .cookie(cell)
        .build()
}

fn try_to_load(file: &[u8]) {
    match Kernel::get().load_library_image("damaged.sys", file) {
        Ok(library) => library.unload().expect("a library that nobody uses"),
        Err(Stop::Image(_)) => {}
        Err(stop) => panic!("{stop}"),
    }
}

#[test]
fn damaged_images_do_no_harm() {
    let file = rich();
    try_to_load(&file);
    for length in 0..file.len() {
        try_to_load(&file[..length]);
    }
    // A generator of numbers that is the same in every run (Marsaglia's xorshift).
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % limit as u64).expect("less than the limit")
    };
    for _ in 0..20_000 {
        let mut damaged = file.clone();
        for _ in 0..=next(3) {
            let at = next(damaged.len());
            damaged[at] = match next(4) {
                0 => 0xFF,
                1 => 0,
                2 => damaged[at] ^ 1 << next(8),
                _ => u8::try_from(next(256)).expect("a byte"),
            };
        }
        try_to_load(&damaged);
    }
}
