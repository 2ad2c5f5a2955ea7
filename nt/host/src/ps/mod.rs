//! The process structure: threads.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "functions and parameters are as NT's bindings have them"
)]

pub mod thread;

use crate::ob::ObjectType;

/// The type of thread objects.
pub static THREAD_TYPE: ObjectType = ObjectType::new("Thread");

/// What `PsThreadType` points to.
#[repr(transparent)]
pub struct TypePointer(&'static ObjectType);

/// `PsThreadType`: the variable that holds the type of thread objects.
#[expect(non_upper_case_globals, reason = "NT's name")]
pub static PsThreadType: TypePointer = TypePointer(&THREAD_TYPE);

impl TypePointer {
    /// The type, as the functions of the object manager take it.
    #[must_use]
    pub const fn get(&self) -> *mut ObjectType {
        core::ptr::from_ref(self.0).cast_mut()
    }
}
