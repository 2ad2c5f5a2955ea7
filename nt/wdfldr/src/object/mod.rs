//! Framework objects: what a handle stands for, its references, contexts, parent and children.
//!
//! An object is created with one reference, its *existence*, which deletion takes away. Deletion has
//! two passes, as "Framework Object Life Cycle" describes: first the cleanup events, children before
//! parents; then the references go, and an object without any is destroyed.

mod api;
mod attributes;
mod context;
mod registry;
mod slots;
mod tree;

pub use api::*;
pub use attributes::{Attributes, ParentRule, Rules};
pub use registry::{create, lookup, lookup_raw, parent_of, reset};

use crate::abi::WDFOBJECT;
use crate::client::Client;
use crate::collection::Collection;
use crate::device::Device;
use crate::dpc::Dpc;
use crate::driver::Driver;
use crate::file::File;
use crate::interrupt::Interrupt;
use crate::io_target::IoTarget;
use crate::lookaside::Lookaside;
use crate::memory::Memory;
use crate::queue::Queue;
use crate::registry_key::Key;
use crate::request::Request;
use crate::resources::ResourceList;
use crate::string::StringObject;
use crate::sync::{SpinLockObject, WaitLock};
use crate::timer::Timer;
use crate::work_item::WorkItem;
use alloc::boxed::Box;
use context::Contexts;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use slots::Slot;

/// What kind of object it is, with what that kind needs.
#[expect(
    clippy::large_enum_variant,
    reason = "requests come and go most often, and each is one block of memory"
)]
pub enum Body {
    Plain,
    Driver(Box<Driver>),
    Device(Box<Device>),
    Queue(Box<Queue>),
    Request(Request),
    File(File),
    Memory(Memory),
    SpinLock(SpinLockObject),
    WaitLock(WaitLock),
    Timer(Box<Timer>),
    Dpc(Box<Dpc>),
    WorkItem(WorkItem),
    String(StringObject),
    Collection(Collection),
    Key(Key),
    ResourceList(ResourceList),
    IoTarget(Box<IoTarget>),
    Lookaside(Lookaside),
    Interrupt(Box<Interrupt>),
}

/// A kind of object that a handle can be asked for.
pub trait Kind: Sized {
    /// The name of the handle type, for reports.
    const NAME: &'static core::ffi::CStr;
    /// This kind's part of a body.
    fn of(body: &Body) -> Option<&Self>;
}

macro_rules! kinds {
    ($($variant:ident: $ty:ty, $name:literal;)*) => {
        $(impl Kind for $ty {
            const NAME: &'static core::ffi::CStr = $name;
            fn of(body: &Body) -> Option<&Self> {
                match body {
                    Body::$variant(this) => Some(this),
                    _ => None,
                }
            }
        })*
    };
}

kinds! {
    Driver: Driver, c"WDFDRIVER";
    Device: Device, c"WDFDEVICE";
    Queue: Queue, c"WDFQUEUE";
    Request: Request, c"WDFREQUEST";
    File: File, c"WDFFILEOBJECT";
    Memory: Memory, c"WDFMEMORY";
    SpinLock: SpinLockObject, c"WDFSPINLOCK";
    WaitLock: WaitLock, c"WDFWAITLOCK";
    Timer: Timer, c"WDFTIMER";
    Dpc: Dpc, c"WDFDPC";
    WorkItem: WorkItem, c"WDFWORKITEM";
    String: StringObject, c"WDFSTRING";
    Collection: Collection, c"WDFCOLLECTION";
    Key: Key, c"WDFKEY";
    ResourceList: ResourceList, c"WDFCMRESLIST";
    IoTarget: IoTarget, c"WDFIOTARGET";
    Lookaside: Lookaside, c"WDFLOOKASIDE";
    Interrupt: Interrupt, c"WDFINTERRUPT";
}

/// A framework object.
pub struct Object {
    slot: NonNull<Slot<Self>>,
    handle: WDFOBJECT,
    client: &'static Client,
    contexts: Contexts,
    body: Body,
    /// Set when somebody deletes it, or its parent's deletion reaches it.
    deleting: AtomicBool,
    /// Whether `WdfObjectDelete` is refused.
    permanent: AtomicBool,
    /// Whether it may have children, so that most requests need no look at the tree.
    parental: AtomicBool,
}

// SAFETY: The slot is shared memory with atomic members; everything else is Send and Sync by itself.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for Object {}
// SAFETY: As above.
unsafe impl Sync for Object {}

impl Object {
    pub const fn handle(&self) -> WDFOBJECT {
        self.handle
    }

    /// The client driver that the object belongs to.
    pub const fn client(&self) -> &'static Client {
        self.client
    }

    pub const fn body(&self) -> &Body {
        &self.body
    }

    pub fn is_deleting(&self) -> bool {
        self.deleting.load(Ordering::Acquire)
    }

    /// Refuses `WdfObjectDelete` from here on: the framework alone deletes this object.
    pub fn make_permanent(&self) {
        self.permanent.store(true, Ordering::Relaxed);
    }

    /// Lets `WdfObjectDelete` delete this object.
    pub fn make_deletable(&self) {
        self.permanent.store(false, Ordering::Relaxed);
    }

    const fn slot(&self) -> &Slot<Self> {
        // SAFETY: Slots outlive the objects in them.
        unsafe { self.slot.as_ref() }
    }
}

/// A counted reference to an object.
pub struct ObjectRef {
    object: NonNull<Object>,
}

// SAFETY: A reference can be used and dropped on any thread; objects are Send and Sync.
unsafe impl Send for ObjectRef {}
// SAFETY: As above.
unsafe impl Sync for ObjectRef {}

impl ObjectRef {
    /// The reference as one word, to be kept where only a pointer fits. The count stays up.
    pub const fn into_raw(self) -> *mut core::ffi::c_void {
        let raw = self.object.as_ptr().cast();
        core::mem::forget(self);
        raw
    }

    /// Takes back a reference from [`into_raw`](Self::into_raw).
    ///
    /// # Safety
    /// `raw` came from `into_raw` and was not taken back yet.
    pub const unsafe fn from_raw(raw: *mut core::ffi::c_void) -> Self {
        // SAFETY: By contract it is the address of an object.
        let object = unsafe { NonNull::new_unchecked(raw.cast()) };
        Self { object }
    }

    /// Whether both refer to one object.
    pub fn is(&self, other: &Self) -> bool {
        self.object == other.object
    }

    /// This object as one of a certain kind.
    pub fn typed<T: Kind>(self) -> Option<Typed<T>> {
        let body = NonNull::from(T::of(&self.body)?);
        Some(Typed {
            object: self,
            body,
            kind: PhantomData,
        })
    }
}

impl Deref for ObjectRef {
    type Target = Object;
    fn deref(&self) -> &Object {
        // SAFETY: The object lives while it is referenced, and this is a reference.
        unsafe { self.object.as_ref() }
    }
}

impl Clone for ObjectRef {
    fn clone(&self) -> Self {
        self.slot().reference();
        Self {
            object: self.object,
        }
    }
}

impl Drop for ObjectRef {
    fn drop(&mut self) {
        if self.slot().release() {
            registry::destroy(self.object);
        }
    }
}

/// A counted reference to an object of a known kind.
pub struct Typed<T> {
    object: ObjectRef,
    body: NonNull<T>,
    kind: PhantomData<T>,
}

// SAFETY: As for `ObjectRef`; the body is a part of the object.
unsafe impl<T: Sync> Send for Typed<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for Typed<T> {}

impl<T> Typed<T> {
    pub const fn object(&self) -> &ObjectRef {
        &self.object
    }

    pub const fn handle(&self) -> WDFOBJECT {
        // SAFETY: The object lives while it is referenced.
        unsafe { self.object.object.as_ref() }.handle
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            body: self.body,
            kind: PhantomData,
        }
    }
}

impl<T> Deref for Typed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: The body is a part of the object, which never moves and lives while referenced.
        unsafe { self.body.as_ref() }
    }
}

/// The device that an object is or belongs to.
pub fn device_of(object: &ObjectRef) -> Option<Typed<Device>> {
    let mut object = object.clone();
    loop {
        match &object.body {
            Body::Device(_) => return object.typed(),
            Body::Queue(queue) => return Some(queue.device().clone()),
            Body::Request(request) => return Some(request.device().clone()),
            _ => object = parent_of(&object)?,
        }
    }
}

/// Deletes an object and its children: cleanup events from the leaves up, then the references that
/// existence holds, from the leaves up. What others still reference stays until they let go. Deleting
/// an object that is being deleted does nothing.
///
/// IRQL <= `DISPATCH_LEVEL`; `PASSIVE_LEVEL` where a kind says so.
pub fn delete(object: &ObjectRef) {
    if dispose_early(object) {
        end(object);
    }
}

/// The first half of [`delete`]: the cleanup events of an object and its children, and the end of the
/// children. Returns whether it was not deleted before; the caller then owes it its [`end`].
pub fn dispose_early(object: &ObjectRef) -> bool {
    if object.deleting.swap(true, Ordering::SeqCst) {
        return false;
    }
    registry::unlink(object);
    dispose(object);
    release_children(object);
    true
}

/// The second half of [`delete`]: the reference that existence holds goes.
pub fn end(object: &ObjectRef) {
    if let Body::Device(device) = &object.body {
        device.delete_wdm();
    }
    // SAFETY: The reference that `create` made is still counted, and `deleting` lets this be reached
    // once. The caller's reference keeps the object alive beyond it.
    drop(unsafe { ObjectRef::from_raw(object.object.as_ptr().cast()) });
}

/// The first pass: cleanup events, children before the parent.
fn dispose(object: &ObjectRef) {
    if object.parental.load(Ordering::SeqCst) {
        registry::begin_dispose(object);
        while let Some(child) = registry::dispose_next_child(object) {
            if !child.deleting.swap(true, Ordering::SeqCst) {
                dispose(&child);
            }
        }
    }
    object.body.quiesce(object);
    object.contexts.clean_up(object.handle);
}

/// The second pass: the tree comes apart, from the leaves up.
fn release_children(object: &ObjectRef) {
    if object.parental.load(Ordering::SeqCst) {
        while let Some(child) = registry::take_child(object) {
            release_children(&child);
            end(&child);
        }
    }
}

impl Body {
    /// Stops what a kind does on its own, before the client's cleanup event.
    fn quiesce(&self, object: &ObjectRef) {
        match self {
            Self::Timer(timer) => timer.quiesce(),
            Self::Dpc(dpc) => dpc.quiesce(),
            Self::WorkItem(item) => item.quiesce(),
            Self::Collection(collection) => collection.clear(),
            Self::Device(device) => device.quiesce(),
            Self::Queue(queue) => queue.quiesce(object),
            Self::IoTarget(target) => target.quiesce(),
            Self::Interrupt(interrupt) => interrupt.quiesce(),
            _ => {}
        }
    }
}
