//! All objects of all clients: the handle table and the tree, with the locks that guard them.

use super::attributes::Attributes;
use super::context::{Added, Contexts};
use super::slots::{FreeSlots, SlotTable};
use super::tree::Tree;
use super::{Body, Kind, Object, ObjectRef, Typed};
use crate::abi::{STATUS_OBJECT_NAME_EXISTS, WDFOBJECT};
use crate::client::Client;
use crate::kernel::{NoMemory, Outcome, SpinLock, try_box};
use crate::violation;
use alloc::boxed::Box;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use nt_abi::{NTSTATUS, STATUS_DELETE_PENDING};

static TABLE: SlotTable<Object> = SlotTable::new();
static FREE: SpinLock<FreeSlots> = SpinLock::new(FreeSlots::new());
static TREE: SpinLock<Tree> = SpinLock::new(Tree::new());

/// Creates an object with the contexts that its attributes ask for, under `parent` if there is one.
/// The caller gets a reference of its own; existence has another.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`; `STATUS_DELETE_PENDING` when the parent is being deleted.
pub fn create(
    client: &'static Client,
    body: Body,
    attributes: &Attributes,
    parent: Option<&ObjectRef>,
) -> Outcome<ObjectRef> {
    let slot = FREE.with(|free| TABLE.take(free))?;
    // SAFETY: Slots live as long as the framework is in use.
    let entry = unsafe { slot.as_ref() };
    let give_back = |error: NoMemory| {
        FREE.with(|free| SlotTable::give_back(free, entry));
        NTSTATUS::from(error)
    };
    TREE.with(|tree| tree.add(entry.index()))
        .map_err(give_back)?;
    let object = try_box(Object {
        slot,
        handle: WDFOBJECT(entry.handle()),
        client,
        contexts: Contexts::new(),
        body,
        deleting: AtomicBool::new(false),
        permanent: AtomicBool::new(false),
        parental: AtomicBool::new(false),
    })
    .map_err(give_back)?;
    client.object_created();
    let object = NonNull::from(Box::leak(object));
    entry.publish(object);
    entry.reference();
    let object = ObjectRef { object };
    if let Err(status) = furnish(&object, attributes, parent) {
        super::delete(&object);
        return Err(status);
    }
    Ok(object)
}

/// Gives a new object its context and its parent.
fn furnish(object: &ObjectRef, attributes: &Attributes, parent: Option<&ObjectRef>) -> Outcome {
    if let Some(parent) = parent {
        // In this order, and against the order in `delete`: either the deletion sees that there may
        // be children, or this sees the deletion.
        parent.parental.store(true, Ordering::SeqCst);
        if parent.deleting.load(Ordering::SeqCst) {
            return Err(STATUS_DELETE_PENDING);
        }
        TREE.with(|tree| tree.link(object.slot().index(), parent.slot().index()))
            .map_err(|_| STATUS_DELETE_PENDING)?;
    }
    if attributes.wants_context() {
        add_context(object, attributes)?;
    }
    Ok(())
}

/// Adds a context to an object; tells where it is and whether it is new.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub fn add_context(object: &Object, attributes: &Attributes) -> Outcome<(*mut u8, NTSTATUS)> {
    let tag = object.client.tag();
    let info = attributes.type_info();
    Ok(
        match object
            .contexts
            .add(object.handle, attributes.raw(), info, tag)?
        {
            Added::New(context) => (context, nt_abi::STATUS_SUCCESS),
            Added::Existing(context) => (context, STATUS_OBJECT_NAME_EXISTS),
        },
    )
}

/// The last reference is gone: destroy events, then the memory.
pub fn destroy(object: NonNull<Object>) {
    // SAFETY: The object came from a leaked box in `create`, and its count fell to zero, after which
    // no reference can be made any more.
    let object = unsafe { Box::from_raw(object.as_ptr()) };
    if !object.deleting.load(Ordering::Acquire) {
        // The client dropped more references than it took, instead of deleting the object.
        violation::object_not_deleted(object.handle);
    }
    object.contexts.destroy(object.handle);
    let (client, slot) = (object.client, object.slot);
    drop(object);
    // SAFETY: Slots outlive their objects.
    let entry = unsafe { slot.as_ref() };
    FREE.with(|free| SlotTable::give_back(free, entry));
    client.object_destroyed();
}

/// What a handle of whatever kind names.
pub fn lookup_raw(handle: WDFOBJECT) -> Option<ObjectRef> {
    let slot = TABLE.acquire(handle.0)?;
    // SAFETY: A slot whose count could be raised holds an object.
    let object = unsafe { slot.as_ref() }.object();
    NonNull::new(object).map(|object| ObjectRef { object })
}

/// What a handle names, which must be of kind `T`: anything else stops the system with
/// `WDF_VIOLATION`, as the pages of all functions that take a handle say.
pub fn lookup<T: Kind>(handle: WDFOBJECT) -> Typed<T> {
    lookup_raw(handle)
        .and_then(ObjectRef::typed)
        .unwrap_or_else(|| violation::invalid_handle(handle, T::NAME))
}

/// Takes an object away from its parent.
pub fn unlink(object: &ObjectRef) {
    TREE.with(|tree| tree.unlink(object.slot().index()));
}

/// The parent of an object.
pub fn parent_of(object: &Object) -> Option<ObjectRef> {
    TREE.with(|tree| tree.parent(object.slot().index()).and_then(acquire))
}

/// Begins an object's disposal: no more children.
pub fn begin_dispose(object: &ObjectRef) {
    TREE.with(|tree| tree.begin_dispose(object.slot().index()));
}

/// The next child to be disposed.
pub fn dispose_next_child(parent: &ObjectRef) -> Option<ObjectRef> {
    TREE.with(|tree| {
        tree.dispose_next_child(parent.slot().index())
            .and_then(acquire)
    })
}

/// Takes the oldest child out of the tree.
pub fn take_child(parent: &ObjectRef) -> Option<ObjectRef> {
    TREE.with(|tree| tree.take_child(parent.slot().index()).and_then(acquire))
}

/// A reference to the object at an index. Called under the lock of the tree for objects in it, whose
/// existence is thereby certain.
fn acquire(index: u32) -> Option<ObjectRef> {
    let slot = TABLE.acquire_index(index)?;
    // SAFETY: A slot whose count could be raised holds an object.
    let object = unsafe { slot.as_ref() }.object();
    NonNull::new(object).map(|object| ObjectRef { object })
}

/// Frees the table and the tree when no object is left. No client is bound.
pub fn reset() {
    FREE.with(|free| {
        if free.taken() == 0 {
            // SAFETY: Without a client nobody looks up handles.
            unsafe { TABLE.reset(free) };
            TREE.with(Tree::reset);
        }
    });
}
