//! Fields of NT structures that driver code shares with the kernel.
//!
//! A reference to such a structure would promise that nobody changes it meanwhile, which no driver
//! keeps to. So the kernel reaches each field through a raw pointer, in one access.

/// Declares methods that read (`get`) or write (`set`) a field of the structure that a value stands
/// for. The value's type promises that the structure is alive.
macro_rules! fields {
    ($object:ident; get { $($get:ident: $get_type:ty = $($get_field:ident).+;)* }
     set { $($set:ident: $set_type:ty = $($set_field:ident).+;)* }) => {
        impl $object {
            $(
                #[inline]
                pub fn $get(self) -> $get_type {
                    // SAFETY: A value of this type stands for a structure that is alive, and any
                    // bytes are a value of the field's type.
                    unsafe { (*self.as_ptr()).$($get_field).+ }
                }
            )*
            $(
                #[inline]
                pub fn $set(self, value: $set_type) {
                    // SAFETY: A value of this type stands for a structure that is alive, and who
                    // writes the field owns it by the rules of the I/O manager.
                    unsafe { (*self.as_ptr()).$($set_field).+ = value };
                }
            )*
        }
    };
}
pub(super) use fields;
