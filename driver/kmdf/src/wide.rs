//! Strings as the kernel takes them.

use wdk_sys::{UNICODE_STRING, USHORT};

/// `N` UTF-16 units, in a static or constant.
pub struct Wide<const N: usize>([u16; N]);

impl<const N: usize> Wide<N> {
    /// Joins parts of ASCII that have `N` characters together; anything else does not compile.
    pub const fn join(parts: &[&str]) -> Self {
        let mut units = [0; N];
        let mut length = 0;
        let mut part = 0;
        while part < parts.len() {
            let bytes = parts[part].as_bytes();
            let mut index = 0;
            while index < bytes.len() {
                assert!(bytes[index].is_ascii(), "one unit for each byte");
                units[length] = bytes[index] as u16;
                length += 1;
                index += 1;
            }
            part += 1;
        }
        assert!(length == N, "the parts fill the string");
        Self(units)
    }

    /// The string for a call that does not change it, as long as `self` lives.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "asserted not to, at compile time"
    )]
    pub const fn unicode_string(&self) -> UNICODE_STRING {
        const {
            assert!(
                N * size_of::<u16>() <= USHORT::MAX as usize,
                "a UNICODE_STRING counts its bytes in 16 bits"
            );
        }
        let bytes = (N * size_of::<u16>()) as USHORT;
        UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: self.0.as_ptr().cast_mut(),
        }
    }
}
