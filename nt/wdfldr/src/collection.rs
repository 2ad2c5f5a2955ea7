//! `WDFCOLLECTION`: an ordered list of objects, each of which it references.

use crate::abi::{WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFCOLLECTION, WDFOBJECT};
use crate::kernel::{Outcome, SpinLock, status_of, ulong};
use crate::object::{self, Body, ObjectRef, create_simple, lookup};
use crate::violation;
use alloc::vec::Vec;
use nt_abi::{NTSTATUS, STATUS_INSUFFICIENT_RESOURCES, ULONG};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A framework collection object.
pub struct Collection {
    items: SpinLock<Vec<ObjectRef>>,
}

impl Collection {
    /// Lets go of everything in it.
    pub fn clear(&self) {
        let items = self.items.with(core::mem::take);
        drop(items);
    }

    pub fn count(&self) -> usize {
        self.items.with(|items| items.len())
    }

    pub fn get(&self, index: usize) -> Option<ObjectRef> {
        self.items.with(|items| items.get(index).cloned())
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn add(&self, item: ObjectRef) -> Outcome {
        self.items.with(|items| {
            items
                .try_reserve(1)
                .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            items.push(item);
            Ok(())
        })
    }

    /// Deletes the items from an index on, and takes them out.
    pub fn truncate(&self, length: usize) {
        while self.count() > length {
            if let Some(last) = self.items.with(Vec::pop) {
                object::delete(&last);
            }
        }
    }

    fn handle_at(&self, index: impl FnOnce(usize) -> Option<usize>) -> WDFOBJECT {
        self.items.with(|items| {
            let item = index(items.len()).and_then(|index| items.get(index));
            item.map_or(WDFOBJECT::NULL, |item| item.handle())
        })
    }

    fn remove(&self, find: impl FnOnce(&[ObjectRef]) -> Option<usize>) -> bool {
        let item = self
            .items
            .with(|items| find(items).map(|index| items.remove(index)));
        item.is_some()
    }
}

/// `WdfCollectionCreate`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionCreate(
    DriverGlobals: Globals,
    CollectionAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Collection: *mut WDFCOLLECTION,
) -> NTSTATUS {
    if Collection.is_null() {
        violation::null_parameter(c"WdfCollectionCreate");
    }
    let body = Body::Collection(self::Collection {
        items: SpinLock::new(Vec::new()),
    });
    // SAFETY: The client's pointers, passed on.
    unsafe { create_simple(DriverGlobals, body, CollectionAttributes, Collection) }
}

/// `WdfCollectionGetCount`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionGetCount(_: Globals, Collection: WDFCOLLECTION) -> ULONG {
    ulong(lookup::<self::Collection>(Collection).count())
}

/// `WdfCollectionAdd`: at the end. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionAdd(
    _: Globals,
    Collection: WDFCOLLECTION,
    Object: WDFOBJECT,
) -> NTSTATUS {
    let collection = lookup::<self::Collection>(Collection);
    status_of(collection.add(object::any(Object)))
}

/// `WdfCollectionRemove`. The item is in the collection. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionRemove(
    _: Globals,
    Collection: WDFCOLLECTION,
    Item: WDFOBJECT,
) {
    let collection = lookup::<self::Collection>(Collection);
    if !collection.remove(|items| items.iter().position(|item| item.handle() == Item)) {
        crate::kernel::print(
            c"WDFLDR: %p is not in the collection to remove it from\n",
            Item.0,
        );
    }
}

/// `WdfCollectionRemoveItem`. The index is in range. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionRemoveItem(
    _: Globals,
    Collection: WDFCOLLECTION,
    Index: ULONG,
) {
    let collection = lookup::<self::Collection>(Collection);
    let index = Index as usize;
    if !collection.remove(|items| (index < items.len()).then_some(index)) {
        crate::kernel::print(c"WDFLDR: the collection has no item %Iu\n", index);
    }
}

/// `WdfCollectionGetItem`: null when out of range. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionGetItem(
    _: Globals,
    Collection: WDFCOLLECTION,
    Index: ULONG,
) -> WDFOBJECT {
    lookup::<self::Collection>(Collection).handle_at(|_| Some(Index as usize))
}

/// `WdfCollectionGetFirstItem`: null when empty. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionGetFirstItem(
    _: Globals,
    Collection: WDFCOLLECTION,
) -> WDFOBJECT {
    lookup::<self::Collection>(Collection).handle_at(|_| Some(0))
}

/// `WdfCollectionGetLastItem`: null when empty. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfCollectionGetLastItem(
    _: Globals,
    Collection: WDFCOLLECTION,
) -> WDFOBJECT {
    lookup::<self::Collection>(Collection).handle_at(|count| count.checked_sub(1))
}
