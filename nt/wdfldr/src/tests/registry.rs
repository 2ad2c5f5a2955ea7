//! Registry keys and their values, properties of devices: what the published samples `hid/vhidmini2`,
//! `network/modem/fakemodem` and `serial/VirtualSerial2` do with them.

use super::callbacks::{driver, wdf};
use super::harness::{ATTRIBUTES, globals, null, wide, with_device};
use super::support::{as_driver, child};
use crate::abi::{
    PWDFDEVICE_INIT, WDF_OBJECT_ATTRIBUTES, WDFKEY, WDFMEMORY_OFFSET, WDFOBJECT, WDFSTRING,
};
use nt_abi::{
    NTSTATUS, PUNICODE_STRING, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL,
    STATUS_CANNOT_DELETE, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH, STATUS_RESOURCE_DATA_NOT_FOUND,
    STATUS_SUCCESS, UNICODE_STRING,
};
use nthost::{Kernel, RegistryData};
use std::string::{String, ToString};
use std::vec::Vec;

const ALL: u32 = 0xF_003F;
const REG_BINARY: u32 = 3;

/// Runs `f` with a name as a counted string.
fn named<R>(name: &str, f: impl FnOnce(PUNICODE_STRING) -> R) -> R {
    let (_characters, mut name) = wide(name);
    f(&raw mut name)
}

fn parameters_path() -> String {
    r"\Registry\Machine\System\CurrentControlSet\Services\testdrv\Parameters".to_string()
}

/// Runs `test` with the driver's parameters open, under a test of a driver.
fn with_parameters(test: impl FnOnce(Kernel, WDFKEY)) {
    as_driver(|kernel| {
        let work = || {
            // SAFETY: The globals are the driver's.
            let driver = unsafe { (*globals()).Driver };
            let mut key = WDFOBJECT::NULL;
            let opened = wdf!(registry_key::WdfDriverOpenParametersRegistryKey(
                driver,
                ALL,
                null(),
                &raw mut key
            ));
            assert_eq!(opened, STATUS_SUCCESS);
            test(kernel, key);
            wdf!(registry_key::WdfRegistryClose(key));
        };
        kernel.run(work).expect("no bug check");
    });
}

fn string(text: &str) -> WDFSTRING {
    let mut string = WDFOBJECT::NULL;
    let created = named(text, |text| {
        wdf!(string::WdfStringCreate(text, null(), &raw mut string))
    });
    assert_eq!(created, STATUS_SUCCESS);
    string
}

fn text_of(string: WDFSTRING) -> String {
    let mut view = UNICODE_STRING::default();
    wdf!(string::WdfStringGetUnicodeString(string, &raw mut view));
    // SAFETY: The string is alive.
    String::from_utf16_lossy(unsafe { crate::client::characters(&raw const view) })
}

fn delete(object: WDFOBJECT) {
    wdf!(object::WdfObjectDelete(object));
}

#[test]
fn what_a_test_gives_a_driver_finds() {
    let path = parameters_path();
    let given = Kernel::get();
    given.set_registry_value(&path, "Given", 11_u32);
    given.set_registry_value(&path, "Text", "some text");
    given.set_registry_value(&path, "Empty", [].as_slice() as &[u8]);
    with_parameters(|_, key| {
        let number = |name: &str| {
            let mut value = 0;
            let place = &raw mut value;
            let status = named(name, |name| {
                wdf!(registry_key::WdfRegistryQueryULong(key, name, place))
            });
            (status, value)
        };
        assert_eq!(number("given"), (STATUS_SUCCESS, 11));
        assert_eq!(number("Text").0, STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(number("None").0, STATUS_OBJECT_NAME_NOT_FOUND);
        let read = |name: &str| {
            let into = string("before");
            let status = named(name, |name| {
                wdf!(registry_key::WdfRegistryQueryString(key, name, into))
            });
            let text = text_of(into);
            delete(into);
            (status, text)
        };
        assert_eq!(read("Text"), (STATUS_SUCCESS, "some text".to_string()));
        assert_eq!(read("Given").0, STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(read("Empty").0, STATUS_RESOURCE_DATA_NOT_FOUND);
        counted_string_needs_room_for_the_null_character(key);
    });
}

fn counted_string_needs_room_for_the_null_character(key: WDFKEY) {
    let mut room = [0_u16; 10];
    let mut copy = |length: usize| {
        let mut target = UNICODE_STRING {
            Length: 0,
            MaximumLength: u16::try_from(2 * length).expect("short"),
            Buffer: room.as_mut_ptr(),
        };
        let mut bytes = 0;
        let status = named("Text", |name| {
            let (bytes, target) = (&raw mut bytes, &raw mut target);
            wdf!(registry_key::WdfRegistryQueryUnicodeString(
                key, name, bytes, target
            ))
        });
        (status, bytes, target.Length)
    };
    assert_eq!(copy(9), (STATUS_BUFFER_OVERFLOW, 20, 0));
    assert_eq!(copy(10), (STATUS_SUCCESS, 20, 18));
}

#[test]
fn values_go_through_memory() {
    with_parameters(|kernel, key| {
        let (mut memory, mut kind) = (WDFOBJECT::NULL, 0);
        let assign = |kind: u32, data: &mut [u8]| {
            let length = u32::try_from(data.len()).expect("short");
            let data = data.as_mut_ptr().cast();
            named("Bytes", |name| {
                wdf!(registry_key::WdfRegistryAssignValue(
                    key, name, kind, length, data
                ))
            })
        };
        let mut read = |name: &str| {
            let (memory, kind) = (&raw mut memory, &raw mut kind);
            named(name, |name| {
                wdf!(registry_key::WdfRegistryQueryMemory(
                    key,
                    name,
                    0,
                    null(),
                    memory,
                    kind
                ))
            })
        };
        assert_eq!(assign(REG_BINARY, &mut [1, 2, 3, 4]), STATUS_SUCCESS);
        assert_eq!(read("Nothing"), STATUS_OBJECT_NAME_NOT_FOUND);
        assert_eq!(read("Bytes"), STATUS_SUCCESS);
        assert_eq!(kind, REG_BINARY);
        let mut size = 0;
        let buffer = wdf!(memory::WdfMemoryGetBuffer(memory, &raw mut size));
        // SAFETY: The memory object has so many bytes.
        let bytes = unsafe { core::slice::from_raw_parts(buffer.cast::<u8>(), size) };
        assert_eq!(bytes, [1, 2, 3, 4]);
        let part = |offset: usize, length: usize| {
            let part = WDFMEMORY_OFFSET {
                BufferOffset: offset,
                BufferLength: length,
            };
            named("Part", |name| {
                wdf!(registry_key::WdfRegistryAssignMemory(
                    key,
                    name,
                    REG_BINARY,
                    memory,
                    &raw const part
                ))
            })
        };
        assert_eq!(part(1, 4), STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(part(1, 2), STATUS_SUCCESS);
        let found = kernel.registry_value(&parameters_path(), "Part");
        assert_eq!(found, Some(RegistryData::Other(REG_BINARY, [2, 3].into())));
        delete(memory);
        let remove = || {
            named("Part", |name| {
                wdf!(registry_key::WdfRegistryRemoveValue(key, name))
            })
        };
        assert_eq!(remove(), STATUS_SUCCESS);
        assert_eq!(remove(), STATUS_OBJECT_NAME_NOT_FOUND);
    });
}

#[test]
fn strings_go_through_collections() {
    with_parameters(|kernel, key| {
        let mut collection = WDFOBJECT::NULL;
        let place = &raw mut collection;
        let created = wdf!(collection::WdfCollectionCreate(null(), place));
        assert_eq!(created, STATUS_SUCCESS);
        let count = || wdf!(collection::WdfCollectionGetCount(collection));
        let mut under = WDF_OBJECT_ATTRIBUTES {
            ParentObject: collection,
            ..ATTRIBUTES
        };
        let mut read = |name: &str| {
            let attributes = &raw mut under;
            named(name, |name| {
                wdf!(registry_key::WdfRegistryQueryMultiString(
                    key, name, attributes, collection
                ))
            })
        };
        let path = parameters_path();
        kernel.set_registry_value(&path, "Names", ["one", "two"].as_slice());
        let unfinished = RegistryData::Other(7, [1, 0, 0, 0].into());
        kernel.set_registry_value(&path, "Unfinished", unfinished);
        kernel.set_registry_value(&path, "Number", 1_u32);
        assert_eq!(read("Unfinished"), STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(read("Number"), STATUS_OBJECT_TYPE_MISMATCH);
        assert_eq!(count(), 0);
        assert_eq!(read("Names"), STATUS_SUCCESS);
        let texts: Vec<_> = (0..count())
            .map(|index| text_of(wdf!(collection::WdfCollectionGetItem(collection, index))))
            .collect();
        assert_eq!(texts, ["one", "two"]);
        let write = |name: &str| {
            named(name, |name| {
                wdf!(registry_key::WdfRegistryAssignMultiString(
                    key, name, collection
                ))
            })
        };
        assert_eq!(write("Copies"), STATUS_SUCCESS);
        let copies = kernel.registry_value(&path, "Copies");
        assert_eq!(copies, kernel.registry_value(&path, "Names"));
        let added = wdf!(collection::WdfCollectionAdd(collection, key));
        assert_eq!(added, STATUS_SUCCESS);
        assert_eq!(write("Mixed"), STATUS_INVALID_PARAMETER);
        delete(collection);
        let single = string("one more");
        let written = named("Single", |name| {
            wdf!(registry_key::WdfRegistryAssignString(key, name, single))
        });
        assert_eq!(written, STATUS_SUCCESS);
        let found = kernel.registry_value(&path, "Single");
        assert_eq!(found, Some("one more".into()));
        delete(single);
    });
}

#[test]
fn keys_are_made_and_removed() {
    with_parameters(|_, key| {
        let create = |parent: WDFKEY, name: &str| {
            let (mut created, mut disposition) = (WDFOBJECT::NULL, 0);
            let (place, how) = (&raw mut created, &raw mut disposition);
            let status = named(name, |name| {
                wdf!(registry_key::WdfRegistryCreateKey(
                    parent,
                    name,
                    ALL,
                    0,
                    how,
                    null(),
                    place
                ))
            });
            assert_eq!(status, STATUS_SUCCESS);
            (created, disposition)
        };
        let (outer, new) = create(key, "Outer");
        assert_eq!(new, 1, "REG_CREATED_NEW_KEY");
        let (again, existing) = create(key, "outer");
        assert_eq!(existing, 2, "REG_OPENED_EXISTING_KEY");
        wdf!(registry_key::WdfRegistryClose(again));
        let (inner, _) = create(outer, "Inner");
        let remove = |key: WDFKEY| wdf!(registry_key::WdfRegistryRemoveKey(key));
        assert_eq!(remove(outer), STATUS_CANNOT_DELETE);
        assert_eq!(remove(inner), STATUS_SUCCESS);
        assert_eq!(remove(outer), STATUS_SUCCESS);
    });
}

/// The statuses with which a device and its driver look up the enumerator's name, which is `ROOT`.
fn enumerator(device: WDFOBJECT) -> [NTSTATUS; 3] {
    const ENUMERATOR: i32 = nt_abi::_DEVICE_REGISTRY_PROPERTY::DevicePropertyEnumeratorName;
    let (mut buffer, mut needed, mut memory) = ([0_u16; 5], 0, WDFOBJECT::NULL);
    let mut query = |length: u32| {
        wdf!(device::WdfDeviceQueryProperty(
            device,
            ENUMERATOR,
            length,
            buffer.as_mut_ptr().cast(),
            &raw mut needed
        ))
    };
    let direct = [query(9), query(10)];
    let allocated = wdf!(device::WdfDeviceAllocAndQueryProperty(
        device,
        ENUMERATOR,
        1,
        null(),
        &raw mut memory
    ));
    let mut copy = [0_u16; 5];
    let place = copy.as_mut_ptr().cast();
    let copied = wdf!(memory::WdfMemoryCopyToBuffer(memory, 0, place, 10));
    assert_eq!((copied, copy), (STATUS_SUCCESS, buffer));
    assert!(copy.into_iter().eq("ROOT\0".encode_utf16()));
    delete(memory);
    [direct[0], direct[1], allocated]
}

#[test]
fn a_device_has_properties_and_a_key() {
    as_driver(|kernel| {
        let device = child().ParentObject;
        let work = || {
            assert_eq!(
                enumerator(device),
                [STATUS_BUFFER_TOO_SMALL, STATUS_SUCCESS, STATUS_SUCCESS]
            );
            let mut key = WDFOBJECT::NULL;
            let open = |kind: u32, place| {
                wdf!(registry_key::WdfDeviceOpenRegistryKey(
                    device,
                    kind,
                    ALL,
                    null(),
                    place
                ))
            };
            assert_eq!(open(0, &raw mut key), STATUS_INVALID_PARAMETER);
            assert_eq!(open(1, &raw mut key), STATUS_SUCCESS);
            let assigned = named("PortName", |name| {
                named("COM7", |value| {
                    wdf!(registry_key::WdfRegistryAssignUnicodeString(
                        key, name, value
                    ))
                })
            });
            assert_eq!(assigned, STATUS_SUCCESS);
            wdf!(registry_key::WdfRegistryClose(key));
        };
        kernel.run(work).expect("no bug check");
    });
}

/// `general/toaster/toastDrv/kmdf/filter/sideband` looks at what it is to filter before it makes a device.
fn looks_first(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
    const ENUMERATOR: i32 = nt_abi::_DEVICE_REGISTRY_PROPERTY::DevicePropertyEnumeratorName;
    let (mut needed, mut memory, mut key) = (0, WDFOBJECT::NULL, WDFOBJECT::NULL);
    let mut buffer = [0_u16; 5];
    let status = wdf!(device::WdfFdoInitQueryProperty(
        init,
        ENUMERATOR,
        10,
        buffer.as_mut_ptr().cast(),
        &raw mut needed
    ));
    assert_eq!((status, needed), (STATUS_SUCCESS, 10));
    assert!(buffer.into_iter().eq("ROOT\0".encode_utf16()));
    let status = wdf!(device::WdfFdoInitAllocAndQueryProperty(
        init,
        ENUMERATOR,
        1,
        null(),
        &raw mut memory
    ));
    assert_eq!(status, STATUS_SUCCESS);
    delete(memory);
    let status = wdf!(registry_key::WdfFdoInitOpenRegistryKey(
        init,
        1,
        ALL,
        null(),
        &raw mut key
    ));
    assert_eq!(status, STATUS_SUCCESS);
    wdf!(registry_key::WdfRegistryClose(key));
    let mut device = WDFOBJECT::NULL;
    wdf!(device::WdfDeviceCreate(
        &raw mut init,
        null(),
        &raw mut device
    ))
}

#[test]
fn a_device_has_them_before_it_is_made() {
    with_device(driver!(looks_first), |_, _| ());
}

/// `serial/VirtualSerial2`: the name of its port, where programs look for serial ports.
#[test]
fn a_key_below_devicemap_is_made_and_found_again() {
    as_driver(|kernel| {
        let work = || {
            let device = child().ParentObject;
            let open = |name: &str| {
                let mut key = WDFOBJECT::NULL;
                let place = &raw mut key;
                let status = named(name, |name| {
                    wdf!(registry_key::WdfDeviceOpenDevicemapKey(
                        device,
                        name,
                        ALL,
                        null(),
                        place
                    ))
                });
                (status, key)
            };
            let (status, key) = open("SERIALCOMM");
            assert_eq!(status, STATUS_SUCCESS);
            let port = string("COM7");
            let assigned = named(r"\Device\VirtualSerial", |name| {
                wdf!(registry_key::WdfRegistryAssignString(key, name, port))
            });
            assert_eq!(assigned, STATUS_SUCCESS);
            wdf!(registry_key::WdfRegistryClose(key));
            delete(port);
            let (again, key) = open("serialcomm");
            assert_eq!(again, STATUS_SUCCESS);
            wdf!(registry_key::WdfRegistryClose(key));
            assert_eq!(open(&"x".repeat(256)).0, STATUS_BUFFER_TOO_SMALL);
            let path = r"\Registry\Machine\HARDWARE\DEVICEMAP\SERIALCOMM";
            let found = kernel.registry_value(path, r"\Device\VirtualSerial");
            assert_eq!(found, Some(RegistryData::Text("COM7".to_string())));
        };
        kernel.run(work).expect("no bug check");
    });
}
