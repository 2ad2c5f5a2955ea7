//! Memory, characters, conversions and what the C runtime of the kernel has.
#![cfg(not(windows))]

mod support;

use std::ptr;

use nthost::ntddk::*;
use support::{
    driver::{Text, text},
    nt,
};

#[test]
fn memory_is_compared_filled_and_moved() {
    let (mut one, two) = (*b"abcdef", *b"abcxef");
    assert_eq!(nt!(RtlCompareMemory(one.as_ptr(), two.as_ptr(), 6)), 3);
    assert_eq!(nt!(RtlCompareMemory(one.as_ptr(), one.as_ptr(), 6)), 6);
    let start = one.as_mut_ptr();
    nt!(RtlMoveMemory(start.wrapping_add(1), start, 4));
    assert_eq!(&one, b"aabcdf", "overlapping");
    nt!(RtlCopyMemory(start, two.as_ptr(), 2));
    assert_eq!(&one, b"abbcdf");
    nt!(RtlFillMemory(start, 2, b'z'));
    nt!(RtlZeroMemory(start.wrapping_add(4), 2));
    assert_eq!(&one, b"zzbc\0\0");
}

#[test]
fn characters_change_case() {
    for (lower, upper) in [('a', 'A'), ('é', 'É'), ('ж', 'Ж'), ('7', '7')] {
        let unit = |character: char| character.encode_utf16(&mut [0; 2])[0];
        let (lower, upper) = (unit(lower), unit(upper));
        assert_eq!(nt!(RtlUpcaseUnicodeChar(lower)), upper);
        assert_eq!(nt!(RtlDowncaseUnicodeChar(upper)), lower);
    }
    let mut upper = UNICODE_STRING::default();
    let source = Text::new("Straße 7");
    let old = nt!(KfRaiseIrql(1));
    let status = nt!(RtlUpcaseUnicodeString(
        &raw mut upper,
        &source.counted(),
        TRUE
    ));
    nt!(KeLowerIrql(old));
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(text(&raw const upper), "STRAßE 7", "one unit stays one");
    nt!(RtlFreeUnicodeString(&raw mut upper));
    assert!(upper.Buffer.is_null());
}

#[test]
fn narrow_strings_are_counted_and_converted() {
    let mut narrow = ANSI_STRING::default();
    nt!(RtlInitString(&raw mut narrow, c"narrow".as_ptr()));
    assert_eq!((narrow.Length, narrow.MaximumLength), (6, 7));
    let size = nt!(RtlxAnsiStringToUnicodeSize(&raw const narrow));
    assert_eq!(size, 14, "with the null");
    let mut back = ANSI_STRING::default();
    let source = Text::new("back");
    let status = nt!(RtlUnicodeStringToAnsiString(
        &raw mut back,
        &source.counted(),
        TRUE
    ));
    assert_eq!((status, back.Length), (STATUS_SUCCESS, 4));
    // SAFETY: The buffer holds that many bytes.
    let bytes = unsafe { core::slice::from_raw_parts(back.Buffer.cast::<u8>(), 4) };
    assert_eq!(bytes, b"back");
    nt!(RtlFreeAnsiString(&raw mut back));
    assert!(back.Buffer.is_null());
}

#[test]
fn guids_and_numbers_are_read_and_written() {
    let guid = GUID {
        Data1: 0x0123_4567,
        Data2: 0x89AB,
        Data3: 0xCDEF,
        Data4: [0, 1, 2, 3, 4, 5, 6, 7],
    };
    let mut written = UNICODE_STRING::default();
    assert_eq!(
        nt!(RtlStringFromGUID(&raw const guid, &raw mut written)),
        STATUS_SUCCESS
    );
    assert_eq!(
        text(&raw const written),
        "{01234567-89AB-CDEF-0001-020304050607}"
    );
    let mut read = GUID::default();
    assert_eq!(
        nt!(RtlGUIDFromString(&raw const written, &raw mut read)),
        STATUS_SUCCESS
    );
    assert_eq!((read.Data1, read.Data4), (guid.Data1, guid.Data4));
    nt!(RtlFreeUnicodeString(&raw mut written));
    let bad = nt!(RtlGUIDFromString(
        &Text::new("{0123}").counted(),
        &raw mut read
    ));
    assert_eq!(bad, STATUS_INVALID_PARAMETER);

    let mut number = 0;
    for (source, base, expected) in [
        ("0x1F", 0, 31),
        ("-12", 10, 12_u32.wrapping_neg()),
        ("77", 8, 63),
    ] {
        let status = nt!(RtlUnicodeStringToInteger(
            &Text::new(source).counted(),
            base,
            &raw mut number
        ));
        assert_eq!((status, number), (STATUS_SUCCESS, expected), "{source}");
    }
}

#[test]
fn the_version_comes_in_parts_too() {
    let (mut major, mut minor, mut build) = (0, 1, 0);
    let free = nt!(PsGetVersion(
        &raw mut major,
        &raw mut minor,
        &raw mut build,
        ptr::null_mut()
    ));
    assert_eq!((free, major, minor), (FALSE, 10, 0), "a free build of 10.0");
    assert!(build >= 10240, "{build}");
}

#[test]
fn a_registry_value_is_deleted() {
    let path = Text::new(r"\Registry\Machine\Software\RtlMemoryTest");
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).expect("small"),
        RootDirectory: ptr::null_mut(),
        ObjectName: &mut path.counted(),
        Attributes: 0,
        SecurityDescriptor: ptr::null_mut(),
        SecurityQualityOfService: ptr::null_mut(),
    };
    let (mut key, none) = (ptr::null_mut(), ptr::null_mut());
    let status = nt!(ZwCreateKey(
        &raw mut key,
        0xF_003F,
        &raw mut attributes,
        0,
        none,
        0,
        ptr::null_mut()
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let name = Text::new("Value");
    let mut data = 7_u32;
    let set = nt!(ZwSetValueKey(
        key,
        &mut name.counted(),
        0,
        4,
        (&raw mut data).cast(),
        4
    ));
    assert_eq!(set, STATUS_SUCCESS);
    let delete = || nt!(ZwDeleteValueKey(key, &mut name.counted()));
    assert_eq!(delete(), STATUS_SUCCESS);
    assert_eq!(delete(), STATUS_OBJECT_NAME_NOT_FOUND);
    nt!(ZwClose(key));
}

#[test]
fn a_registry_key_is_made_right_below_an_open_one_and_deleted_when_nothing_is_below_it() {
    let create_below = |root, path: &str| {
        let path = Text::new(path);
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).expect("small"),
            RootDirectory: root,
            ObjectName: &mut path.counted(),
            Attributes: 0,
            SecurityDescriptor: ptr::null_mut(),
            SecurityQualityOfService: ptr::null_mut(),
        };
        let (mut key, none) = (ptr::null_mut(), ptr::null_mut());
        let (attributes, disposition) = (&raw mut attributes, ptr::null_mut());
        let place = &raw mut key;
        let status = nt!(ZwCreateKey(place, 0, attributes, 0, none, 0, disposition));
        (status, key)
    };
    let create = |path: &str| {
        let (status, key) = create_below(ptr::null_mut(), path);
        assert_eq!(status, STATUS_SUCCESS);
        key
    };
    let parent = create(r"\Registry\Machine\Software\Parent");
    let child = create(r"\Registry\Machine\Software\Parent\Child");
    let (too_deep, _) = create_below(parent, r"Missing\Child");
    assert_eq!(too_deep, STATUS_OBJECT_NAME_NOT_FOUND);
    let (below, grandchild) = create_below(parent, r"Child\Grandchild");
    assert_eq!(below, STATUS_SUCCESS, "there is one between them");
    assert_eq!(nt!(ZwDeleteKey(grandchild)), STATUS_SUCCESS);
    nt!(ZwClose(grandchild));
    assert_eq!(nt!(ZwDeleteKey(parent)), STATUS_CANNOT_DELETE);
    assert_eq!(nt!(ZwDeleteKey(child)), STATUS_SUCCESS);
    assert_eq!(nt!(ZwDeleteKey(child)), STATUS_KEY_DELETED);
    assert_eq!(nt!(ZwDeleteKey(parent)), STATUS_SUCCESS);
    nt!(ZwClose(child));
    nt!(ZwClose(parent));
}

#[test]
fn the_c_runtime_compares_and_copies() {
    let mut room = *b"abcdef";
    let start = room.as_mut_ptr();
    assert_eq!(
        nt!(memmove(start.wrapping_add(1), start, 3)),
        start.wrapping_add(1)
    );
    assert_eq!(&room, b"aabcef");
    nt!(memcpy(start, b"xy".as_ptr(), 2));
    nt!(memset(start.wrapping_add(2), 0x101, 2));
    assert_eq!(&room, b"xy\x01\x01ef", "the low byte alone");
    let compare = |one: &[u8], two: &[u8]| nt!(memcmp(one.as_ptr(), two.as_ptr(), 2)).signum();
    assert_eq!(
        (
            compare(b"ab", b"ac"),
            compare(b"ab", b"ab"),
            compare(b"b\0", b"az")
        ),
        (-1, 0, 1)
    );
    assert_eq!(nt!(strlen(c"four".as_ptr())), 4);
    assert!(nt!(strcmp(c"a".as_ptr(), c"ab".as_ptr())) < 0);
    let wide = |text: &str| -> Vec<u16> { text.encode_utf16().chain([0]).collect() };
    let (lower, upper) = (wide("wide"), wide("WIDE"));
    assert_eq!(nt!(wcslen(lower.as_ptr())), 4);
    assert!(nt!(wcscmp(lower.as_ptr(), upper.as_ptr())) > 0);
    assert_eq!(nt!(_wcsicmp(lower.as_ptr(), upper.as_ptr())), 0);
}

#[test]
fn no_frames_are_walked() {
    let mut frames = [ptr::null_mut(); 4];
    let hash = ptr::null_mut();
    let count = nt!(RtlCaptureStackBackTrace(0, 4, frames.as_mut_ptr(), hash));
    assert_eq!((count, frames), (0, [ptr::null_mut(); 4]));
}
