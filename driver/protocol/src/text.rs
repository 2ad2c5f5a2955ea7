//! Short UTF-8 text in a structure of fixed layout.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Up to `N` bytes of UTF-8, padded with zeros.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// Takes the longest prefix of `text` that fits and ends between two characters.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        let source = text.as_bytes();
        let mut length = if source.len() < N { source.len() } else { N };
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let mut bytes = [0; N];
        let mut i = 0;
        while i < length {
            bytes[i] = source[i];
            i += 1;
        }
        Self(bytes)
    }

    /// Takes the longest end of `text` that fits and begins between two characters: of a path or of
    /// the name of a type, the end says more.
    #[must_use]
    pub const fn end_of(text: &str) -> Self {
        let mut start = text.len().saturating_sub(N);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        Self::new(text.split_at(start).1)
    }

    /// The text up to its padding, or to the first byte that is not UTF-8: the other side of a
    /// device is not trusted to send good text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(N);
        let bytes = &self.0[..length];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }
}

impl<const N: usize> core::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const N: usize> core::fmt::Display for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
