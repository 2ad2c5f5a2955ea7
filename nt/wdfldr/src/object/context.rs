//! Context spaces: the client's own data on a framework object, and its cleanup and destroy events.

use crate::abi::{
    PFN_WDF_OBJECT_CONTEXT_CLEANUP, PFN_WDF_OBJECT_CONTEXT_DESTROY, WDF_OBJECT_ATTRIBUTES,
    WDF_OBJECT_CONTEXT_TYPE_INFO, WDFOBJECT,
};
use crate::kernel::{Block, NoMemory, try_box};
use alloc::boxed::Box;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// A word in front of every context, by which a pointer to one is recognised.
const SIGNATURE: u64 = 0x7478_6574_6E6F_4377;

/// What lies directly in front of the context that the client sees.
#[repr(C, align(16))]
struct Prefix {
    signature: u64,
    object: AtomicUsize,
}

/// One context of an object.
struct Context {
    type_info: usize,
    memory: Block,
    cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    cleaned: AtomicBool,
    destroy: PFN_WDF_OBJECT_CONTEXT_DESTROY,
    next: AtomicPtr<Self>,
}

/// The contexts of an object, oldest first. Only ever added to.
pub struct Contexts {
    first: AtomicPtr<Context>,
}

/// What [`Contexts::add`] found.
pub enum Added {
    /// A new context, zeroed.
    New(*mut u8),
    /// A context of that type was there (`STATUS_OBJECT_NAME_EXISTS`).
    Existing(*mut u8),
}

impl Contexts {
    pub const fn new() -> Self {
        Self {
            first: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Adds the context that (validated) attributes ask for, on the object with this handle.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn add(
        &self,
        object: WDFOBJECT,
        attributes: &WDF_OBJECT_ATTRIBUTES,
        type_info: Option<&WDF_OBJECT_CONTEXT_TYPE_INFO>,
        tag: u32,
    ) -> Result<Added, NoMemory> {
        let identity = attributes.ContextTypeInfo.addr();
        let size = type_info.map_or(0, |info| {
            info.ContextSize.max(attributes.ContextSizeOverride)
        });
        let memory = Block::new(size_of::<Prefix>() + size, tag)?;
        let prefix = Prefix {
            signature: SIGNATURE,
            object: AtomicUsize::new(object.0),
        };
        // SAFETY: The block is at least a prefix long and aligned to 16, as pool is.
        unsafe { memory.start::<Prefix>().write(prefix) };
        let context = Context {
            type_info: identity,
            memory,
            cleanup: attributes.EvtCleanupCallback,
            cleaned: AtomicBool::new(false),
            destroy: attributes.EvtDestroyCallback,
            next: AtomicPtr::new(core::ptr::null_mut()),
        };
        let mut context = try_box(context)?;
        let data = context.data();
        let mut place = &self.first;
        loop {
            let new = &raw mut *context;
            match place.compare_exchange(
                core::ptr::null_mut(),
                new,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    // The list owns it now; `drop` below takes it back.
                    let _ = Box::into_raw(context);
                    return Ok(Added::New(data));
                }
                Err(existing) => {
                    // SAFETY: Contexts stay in the list until the object is destroyed.
                    let existing = unsafe { &*existing };
                    if identity != 0 && existing.type_info == identity {
                        return Ok(Added::Existing(existing.data()));
                    }
                    place = &existing.next;
                }
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Context> {
        let mut next = &self.first;
        core::iter::from_fn(move || {
            // SAFETY: Contexts stay in the list as long as the object, which `self` is part of.
            let context = unsafe { next.load(Ordering::Acquire).as_ref() }?;
            next = &context.next;
            Some(context)
        })
    }

    /// The context of a type, by the address of its type information.
    pub fn find(&self, type_info: usize) -> Option<*mut u8> {
        self.iter()
            .find(|context| context.type_info == type_info)
            .map(Context::data)
    }

    /// Calls each cleanup event that was not called yet.
    pub fn clean_up(&self, object: WDFOBJECT) {
        for context in self.iter() {
            if let (Some(cleanup), false) = (
                context.cleanup,
                context.cleaned.swap(true, Ordering::AcqRel),
            ) {
                // SAFETY: The client registered the event for this object, which is alive; its image
                // is loaded as long as it has objects.
                unsafe { cleanup(object) };
            }
        }
    }

    /// Calls each destroy event. The object has no references left.
    pub fn destroy(&self, object: WDFOBJECT) {
        for context in self.iter() {
            if let Some(destroy) = context.destroy {
                // SAFETY: As for the cleanup event.
                unsafe { destroy(object) };
            }
        }
    }

    /// The handle of the object that a context belongs to.
    ///
    /// # Safety
    /// There is readable memory in front of `data`, as there is for every context.
    pub unsafe fn object_of(data: NonNull<u8>) -> Option<WDFOBJECT> {
        // SAFETY: By this function's contract.
        let prefix = unsafe { data.cast::<Prefix>().sub(1) };
        // SAFETY: As above; a prefix is plain words.
        let prefix = unsafe { prefix.as_ref() };
        (prefix.signature == SIGNATURE).then(|| WDFOBJECT(prefix.object.load(Ordering::Relaxed)))
    }
}

impl Context {
    const fn data(&self) -> *mut u8 {
        // SAFETY: The block begins with a prefix, so this stays inside it.
        unsafe { self.memory.as_ptr().add(size_of::<Prefix>()) }
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        let mut next = *self.first.get_mut();
        while !next.is_null() {
            // SAFETY: Each context came from `Box::into_raw`, and nobody else refers to the list of
            // an object that is being dropped.
            let mut context = unsafe { Box::from_raw(next) };
            next = *context.next.get_mut();
        }
    }
}
