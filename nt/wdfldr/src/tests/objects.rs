//! Objects: contexts, cleanup and destruction, references, collections, strings, memory.

use super::callbacks::{driver, event, wdf};
use super::harness::{ATTRIBUTES, ContextType, context_type, note, noted, null, wide, with_device};
use crate::abi::{
    PWDFDEVICE_INIT, STATUS_OBJECT_NAME_EXISTS, STATUS_WDF_PARENT_NOT_SPECIFIED,
    WDF_OBJECT_ATTRIBUTES, WDFOBJECT,
};
use nt_abi::{NTSTATUS, PVOID, STATUS_INFO_LENGTH_MISMATCH, STATUS_SUCCESS, UNICODE_STRING};

static FIRST: ContextType = context_type(24);
static SECOND: ContextType = context_type(8);

/// What the events of an object note: the first byte of its context.
fn name(object: WDFOBJECT) -> char {
    let context = wdf!(object::WdfObjectGetTypedContextWorker(object, FIRST.info()));
    // SAFETY: The context is 24 bytes long.
    char::from(unsafe { context.cast::<u8>().read() })
}

fn attributes(parent: WDFOBJECT) -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        EvtCleanupCallback: Some(event!(|object: WDFOBJECT| {
            note(std::format!("cleanup {}", name(object)));
        })),
        EvtDestroyCallback: Some(event!(|object: WDFOBJECT| {
            let _ = object;
            note("destroy");
        })),
        ParentObject: parent,
        ContextTypeInfo: FIRST.info(),
        ..ATTRIBUTES
    }
}

fn create(parent: WDFOBJECT, label: u8) -> WDFOBJECT {
    let mut attributes = attributes(parent);
    let mut object = WDFOBJECT::NULL;
    let status = wdf!(object::WdfObjectCreate(
        &raw mut attributes,
        &raw mut object
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let context = wdf!(object::WdfObjectGetTypedContextWorker(object, FIRST.info()));
    // SAFETY: The context is 24 bytes long.
    let bytes = unsafe { core::slice::from_raw_parts_mut(context.cast::<u8>(), 24) };
    assert_eq!(bytes, [0; 24], "contexts are zeroed");
    bytes[0] = label;
    object
}

/// Runs `test` as a driver does.
fn as_driver(test: fn()) {
    fn add(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
        let mut device = WDFOBJECT::NULL;
        wdf!(device::WdfDeviceCreate(
            &raw mut init,
            null(),
            &raw mut device
        ))
    }
    with_device(driver!(add), |kernel, _| {
        kernel.run(test).expect("no bug check");
    });
}

#[test]
fn children_are_cleaned_up_before_their_parents() {
    as_driver(|| {
        let root = create(WDFOBJECT::NULL, b'r');
        let first = create(root, b'1');
        create(first, b'a');
        create(root, b'2');
        wdf!(object::WdfObjectDelete(root));
        let log = noted();
        assert_eq!(
            log[..4],
            ["cleanup a", "cleanup 1", "cleanup 2", "cleanup r"]
        );
        assert_eq!(log[4..], ["destroy"; 4]);
    });
}

#[test]
fn a_reference_keeps_an_object_after_its_deletion() {
    as_driver(|| {
        let object = create(WDFOBJECT::NULL, b'x');
        let file = core::ptr::null();
        wdf!(object::WdfObjectReferenceActual(object, null(), 0, file));
        wdf!(object::WdfObjectDelete(object));
        assert_eq!(noted(), ["cleanup x"]);
        assert_eq!(name(object), 'x', "the handle is still good");
        wdf!(object::WdfObjectDereferenceActual(object, null(), 0, file));
        assert_eq!(noted(), ["destroy"]);
    });
}

#[test]
fn the_driver_object_takes_what_is_left_with_it() {
    as_driver(|| {
        create(WDFOBJECT::NULL, b'l');
        noted();
    });
    // `with_device` asserts that nothing is left after the unload.
}

#[test]
fn contexts_are_added_once_per_type() {
    as_driver(|| {
        let object = create(WDFOBJECT::NULL, b'c');
        let mut attributes = WDF_OBJECT_ATTRIBUTES {
            ContextTypeInfo: SECOND.info(),
            ..ATTRIBUTES
        };
        let mut context: PVOID = null();
        let mut add = |place| {
            wdf!(object::WdfObjectAllocateContext(
                object,
                &raw mut attributes,
                place
            ))
        };
        assert_eq!(add(&raw mut context), STATUS_SUCCESS);
        let found = wdf!(object::WdfObjectGetTypedContextWorker(
            object,
            SECOND.info()
        ));
        assert_eq!(found, context);
        let mut again: PVOID = null();
        assert_eq!(add(&raw mut again), STATUS_OBJECT_NAME_EXISTS);
        assert_eq!(again, context);
        assert_eq!(wdf!(object::WdfObjectContextGetObject(context)), object);
        let third = context_type(8);
        let none = wdf!(object::WdfObjectGetTypedContextWorker(object, third.info()));
        assert!(none.is_null(), "no context of that type");
        wdf!(object::WdfObjectDelete(object));
        noted();
    });
}

#[test]
fn collections_hold_references_in_order() {
    as_driver(|| {
        let mut collection = WDFOBJECT::NULL;
        let status = wdf!(collection::WdfCollectionCreate(null(), &raw mut collection));
        assert_eq!(status, STATUS_SUCCESS);
        let items = [b'1', b'2', b'3'].map(|label| create(WDFOBJECT::NULL, label));
        for item in items {
            assert_eq!(
                wdf!(collection::WdfCollectionAdd(collection, item)),
                STATUS_SUCCESS
            );
            wdf!(object::WdfObjectDelete(item));
        }
        noted();
        assert_eq!(wdf!(collection::WdfCollectionGetCount(collection)), 3);
        assert_eq!(
            wdf!(collection::WdfCollectionGetItem(collection, 1)),
            items[1]
        );
        assert_eq!(
            wdf!(collection::WdfCollectionGetItem(collection, 3)),
            WDFOBJECT::NULL
        );
        assert_eq!(
            wdf!(collection::WdfCollectionGetLastItem(collection)),
            items[2]
        );
        wdf!(collection::WdfCollectionRemove(collection, items[0]));
        assert_eq!(
            noted(),
            ["destroy"],
            "the collection's reference was the last"
        );
        assert_eq!(
            wdf!(collection::WdfCollectionGetFirstItem(collection)),
            items[1]
        );
        wdf!(object::WdfObjectDelete(collection));
        assert_eq!(noted(), ["destroy"; 2]);
    });
}

#[test]
fn strings_are_copies() {
    as_driver(|| {
        let mut string = WDFOBJECT::NULL;
        {
            let (_text, mut text) = wide("hello");
            let created = wdf!(string::WdfStringCreate(
                &raw mut text,
                null(),
                &raw mut string
            ));
            assert_eq!(created, STATUS_SUCCESS);
        }
        let mut view = UNICODE_STRING::default();
        wdf!(string::WdfStringGetUnicodeString(string, &raw mut view));
        // SAFETY: The string is the framework's, which is alive.
        let text = unsafe { crate::client::characters(&raw const view) };
        assert_eq!(std::string::String::from_utf16_lossy(text), "hello");
        wdf!(object::WdfObjectDelete(string));
    });
}

#[test]
fn memory_is_allocated_and_freed_with_its_object() {
    as_driver(|| {
        let (mut memory, mut buffer) = (WDFOBJECT::NULL, null());
        let tag = u32::from_le_bytes(*b"Mem1");
        let (handle, place) = (&raw mut memory, &raw mut buffer);
        let status = wdf!(memory::WdfMemoryCreate(
            null(),
            512,
            tag,
            100,
            handle,
            place
        ));
        assert_eq!(status, STATUS_SUCCESS);
        let mut size = 0;
        assert_eq!(
            wdf!(memory::WdfMemoryGetBuffer(memory, &raw mut size)),
            buffer
        );
        assert_eq!(size, 100);
        wdf!(object::WdfObjectDelete(memory));
    });
}

#[test]
fn attributes_are_validated() {
    as_driver(|| {
        let mut object = WDFOBJECT::NULL;
        let mut short = WDF_OBJECT_ATTRIBUTES {
            Size: 4,
            ..ATTRIBUTES
        };
        let created = wdf!(object::WdfObjectCreate(&raw mut short, &raw mut object));
        assert_eq!(created, STATUS_INFO_LENGTH_MISMATCH);
        let mut config = super::support::timer_config();
        let mut orphan = ATTRIBUTES;
        let timer = wdf!(timer::WdfTimerCreate(
            &raw mut config,
            &raw mut orphan,
            &raw mut object
        ));
        assert_eq!(timer, STATUS_WDF_PARENT_NOT_SPECIFIED);
    });
}

#[test]
fn a_lookaside_list_uses_buffers_again() {
    as_driver(|| {
        let mut list = WDFOBJECT::NULL;
        let mut create = |size: usize| {
            let attributes: *mut WDF_OBJECT_ATTRIBUTES = null();
            wdf!(lookaside::WdfLookasideListCreate(
                attributes,
                size,
                0,
                attributes,
                0,
                &raw mut list
            ))
        };
        assert_eq!(create(0), nt_abi::STATUS_INVALID_PARAMETER);
        assert_eq!(create(24), STATUS_SUCCESS);
        let lend = || {
            let (mut memory, mut size) = (WDFOBJECT::NULL, 0);
            let place = &raw mut memory;
            let lent = wdf!(lookaside::WdfMemoryCreateFromLookaside(list, place));
            assert_eq!(lent, STATUS_SUCCESS);
            let buffer = wdf!(memory::WdfMemoryGetBuffer(memory, &raw mut size));
            assert_eq!(size, 24);
            (memory, buffer)
        };
        let (first, buffer) = lend();
        let (second, other) = lend();
        assert_ne!(buffer, other);
        wdf!(object::WdfObjectDelete(first));
        let (again, same) = lend();
        assert_eq!(same, buffer);
        // Buffers outlive the list.
        wdf!(object::WdfObjectDelete(list));
        wdf!(object::WdfObjectDelete(again));
        wdf!(object::WdfObjectDelete(second));
    });
}
