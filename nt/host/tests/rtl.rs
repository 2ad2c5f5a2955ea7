//! Strings, numbers, output for the debugger, and the registry.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::{Arc, Mutex},
};

use nthost::ntddk::*;
use support::{
    driver::{Text, text},
    nt,
};

/// A string with room for so many code units.
struct Room(Vec<u16>);

impl Room {
    fn new(units: usize) -> Self {
        Self(vec![0xFFFF; units])
    }

    fn counted(&mut self) -> UNICODE_STRING {
        UNICODE_STRING {
            Length: 0,
            MaximumLength: u16::try_from(2 * self.0.len()).expect("short"),
            Buffer: self.0.as_mut_ptr(),
        }
    }
}

#[test]
fn copies_are_cut_off_and_appends_are_refused() {
    let (source, mut room) = (Text::new("abcdef"), Room::new(4));
    let mut string = room.counted();
    nt!(RtlCopyUnicodeString(&raw mut string, &source.counted()));
    assert_eq!(text(&raw const string), "abcd");

    let mut room = Room::new(8);
    let mut string = room.counted();
    nt!(RtlCopyUnicodeString(
        &raw mut string,
        &Text::new("ab").counted()
    ));
    let appended = nt!(RtlAppendUnicodeStringToString(
        &raw mut string,
        &source.counted()
    ));
    assert_eq!(
        (appended, text(&raw const string)),
        (STATUS_SUCCESS, "ababcdef".to_owned())
    );
    let wide: Vec<u16> = "x\0".encode_utf16().collect();
    let appended = nt!(RtlAppendUnicodeToString(&raw mut string, wide.as_ptr()));
    assert_eq!((appended, string.Length), (STATUS_BUFFER_TOO_SMALL, 16));
    nt!(RtlCopyUnicodeString(&raw mut string, ptr::null()));
    assert_eq!(string.Length, 0);
}

#[test]
fn comparison_may_ignore_case() {
    let (one, other, longer) = (Text::new("Größe"), Text::new("GRÖßE"), Text::new("größer"));
    let compare = |a: &Text, b: &Text, fold| {
        nt!(RtlCompareUnicodeString(&a.counted(), &b.counted(), fold)).signum()
    };
    assert_eq!(compare(&one, &other, TRUE), 0);
    assert_ne!(compare(&one, &other, FALSE), 0);
    assert_eq!(
        (compare(&one, &longer, TRUE), compare(&longer, &one, TRUE)),
        (-1, 1)
    );
    assert_eq!(
        nt!(RtlEqualUnicodeString(
            &one.counted(),
            &other.counted(),
            TRUE
        )),
        TRUE
    );
    assert_eq!(
        nt!(RtlPrefixUnicodeString(
            &one.counted(),
            &longer.counted(),
            TRUE
        )),
        TRUE
    );
    assert_eq!(
        nt!(RtlPrefixUnicodeString(
            &longer.counted(),
            &one.counted(),
            TRUE
        )),
        FALSE
    );
}

#[test]
fn strings_are_converted() {
    let mut narrow = ANSI_STRING::default();
    nt!(RtlInitAnsiString(&raw mut narrow, c"narrow".as_ptr()));
    assert_eq!((narrow.Length, narrow.MaximumLength), (6, 7));
    let mut wide = UNICODE_STRING::default();
    let status = nt!(RtlAnsiStringToUnicodeString(
        &raw mut wide,
        &raw const narrow,
        TRUE
    ));
    assert_eq!(
        (status, text(&raw const wide)),
        (STATUS_SUCCESS, "narrow".to_owned())
    );
    nt!(RtlFreeUnicodeString(&raw mut wide));
    assert!(wide.Buffer.is_null());

    // Room for the text, and none for the zero that ends it.
    let mut room = Room::new(6);
    let mut string = room.counted();
    let status = nt!(RtlAnsiStringToUnicodeString(
        &raw mut string,
        &raw const narrow,
        FALSE
    ));
    assert_eq!(status, STATUS_BUFFER_OVERFLOW);
    let mut room = Room::new(3);
    let mut string = room.counted();
    assert_eq!(
        nt!(RtlIntegerToUnicodeString(42, 10, &raw mut string)),
        STATUS_SUCCESS
    );
    assert_eq!(text(&raw const string), "42");
}

#[test]
fn the_version_is_that_of_windows_10() {
    let mut version = RTL_OSVERSIONINFOEXW {
        dwOSVersionInfoSize: u32::try_from(size_of::<RTL_OSVERSIONINFOEXW>()).expect("small"),
        wProductType: 0xFF,
        ..RTL_OSVERSIONINFOEXW::default()
    };
    assert_eq!(
        nt!(RtlGetVersion((&raw mut version).cast())),
        STATUS_SUCCESS
    );
    assert_eq!(
        (
            version.dwMajorVersion,
            version.dwMinorVersion,
            version.wProductType
        ),
        (10, 0, 1)
    );
}

#[test]
fn output_arrives_formatted() {
    let output = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&output);
    nthost::set_debug_output(move |text| sink.lock().expect("a lock").push_str(text));
    let wide = Text::new("wide");
    let counted = wide.counted();
    nt!(DbgPrint(
        c"%s %d %wZ %I64x|".as_ptr(),
        c"text".as_ptr(),
        -5_i32,
        &raw const counted,
        u64::MAX
    ));
    nt!(DbgPrintEx(
        77,
        3,
        c"%c%u%%\n".as_ptr(),
        i32::from(b'x'),
        8_u32
    ));
    let mut list = [u64::from(b'y'), 9];
    nt!(vDbgPrintEx(
        77,
        3,
        c"%c%u\n".as_ptr(),
        list.as_mut_ptr().cast()
    ));
    assert_eq!(
        *output.lock().expect("a lock"),
        "text -5 wide ffffffffffffffff|x8%\ny9\n"
    );
}

fn attributes(name: &mut UNICODE_STRING, root: HANDLE) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: 48,
        RootDirectory: root,
        ObjectName: name,
        Attributes: OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    }
}

#[test]
fn registry_values_are_kept() {
    let path = Text::new(r"\Registry\Machine\Software\Test");
    let mut key = ptr::null_mut();
    let mut disposition = 0;
    let create = nt!(ZwCreateKey(
        &raw mut key,
        0,
        &mut attributes(&mut path.counted(), ptr::null_mut()),
        0,
        ptr::null_mut(),
        0,
        &raw mut disposition,
    ));
    assert_eq!((create, disposition), (STATUS_SUCCESS, 1));
    let (name, mut data) = (Text::new("Value"), 0xABCD_u32);
    let place = (&raw mut data).cast();
    let set = nt!(ZwSetValueKey(
        key,
        &mut name.counted(),
        0,
        REG_DWORD,
        place,
        4
    ));
    assert_eq!(set, STATUS_SUCCESS);

    let root = Text::new(r"\REGISTRY\machine\software");
    let mut parent = ptr::null_mut();
    let nobody = ptr::null_mut();
    let open = nt!(ZwOpenKey(
        &raw mut parent,
        0,
        &mut attributes(&mut root.counted(), nobody)
    ));
    assert_eq!(open, STATUS_SUCCESS);
    let (child, mut again) = (Text::new("test"), ptr::null_mut());
    let open = nt!(ZwOpenKey(
        &raw mut again,
        0,
        &mut attributes(&mut child.counted(), parent)
    ));
    assert_eq!(open, STATUS_SUCCESS);

    let query = |name: &Text, buffer: &mut [u32]| {
        let mut needed = 0;
        let length = u32::try_from(4 * buffer.len()).expect("short");
        let status = nt!(ZwQueryValueKey(
            again,
            &mut name.counted(),
            _KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation,
            buffer.as_mut_ptr().cast(),
            length,
            &raw mut needed,
        ));
        (status, needed)
    };
    let mut information = [0_u32; 4];
    assert_eq!(
        query(&Text::new("VALUE"), &mut information),
        (STATUS_SUCCESS, 16)
    );
    assert_eq!(information, [0, REG_DWORD, 4, 0xABCD]);
    assert_eq!(
        query(&name, &mut information[..3]),
        (STATUS_BUFFER_OVERFLOW, 16)
    );
    assert_eq!(
        query(&name, &mut information[..2]),
        (STATUS_BUFFER_TOO_SMALL, 16)
    );
    assert_eq!(
        query(&Text::new("Other"), &mut information).0,
        STATUS_OBJECT_NAME_NOT_FOUND
    );
    for handle in [key, parent, again] {
        assert_eq!(nt!(ZwClose(handle)), STATUS_SUCCESS);
    }
}
