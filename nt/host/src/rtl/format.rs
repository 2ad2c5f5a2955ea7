//! The format strings of `DbgPrint`: those of C's `printf`, with the kernel's own string types.
//!
//! Floating point is left out, as the page of `DbgPrint` says.

use std::fmt::Write as _;

use nt_abi::{ANSI_STRING, UNICODE_STRING};

use crate::address::pointer;

use super::{ansi, terminated, terminated_bytes, units};

/// The variable arguments of a call: one after the other in eight bytes each.
pub struct Arguments {
    next: *const u64,
}

impl Arguments {
    /// The arguments that lie from `first` on.
    pub const fn new(first: *const u64) -> Self {
        Self { next: first }
    }

    /// The next argument.
    ///
    /// # Safety
    ///
    /// The caller of the formatting function must have passed it.
    const unsafe fn next(&mut self) -> u64 {
        // SAFETY: The argument is there, by the contract of this function.
        let value = unsafe { self.next.read() };
        self.next = self.next.wrapping_add(1);
        value
    }
}

/// One conversion of a format string: `%[flags][width][.precision][size]type`.
#[derive(Default)]
struct Conversion {
    left: bool,
    zeros: bool,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    size: Size,
}

/// How wide an argument is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Size {
    Byte,
    Short,
    #[default]
    Int,
    /// `l`: 32 bits as a number, wide as a character.
    Long,
    Wide,
    Quad,
}

/// A text that was formatted.
pub struct Formatted {
    pub text: String,
    /// Whether a conversion was used that may be used at `PASSIVE_LEVEL` only.
    pub passive_only: bool,
}

/// Formats as `DbgPrint` does.
///
/// # Safety
///
/// `arguments` must have what `format` asks for, of the type that it says.
pub unsafe fn format(format: &str, arguments: &mut Arguments) -> Formatted {
    let mut out = Formatted {
        text: String::new(),
        passive_only: false,
    };
    let mut rest = format;
    while let Some((plain, after)) = rest.split_once('%') {
        out.text.push_str(plain);
        let mut conversion = Conversion::default();
        // SAFETY: The arguments fit the format, by the contract of this function.
        let after = unsafe { conversion.parse(after, arguments) };
        let mut letters = after.chars();
        match letters.next() {
            None => return out,
            // SAFETY: As above.
            Some(kind) => unsafe { conversion.convert(kind, arguments, &mut out) },
        }
        rest = letters.as_str();
    }
    out.text.push_str(rest);
    out
}

impl Conversion {
    /// Reads everything up to the type; returns what follows.
    unsafe fn parse<'a>(&mut self, mut text: &'a str, arguments: &mut Arguments) -> &'a str {
        while let Some(flag @ ('-' | '0' | '+' | ' ' | '#')) = text.chars().next() {
            match flag {
                '-' => self.left = true,
                '0' => self.zeros = true,
                '#' => self.alternate = true,
                sign => self.sign = Some(sign),
            }
            text = &text[1..];
        }
        // SAFETY: The arguments fit the format, by the contract of `format`.
        if let (Some(width), after) = unsafe { number(text, arguments) } {
            self.left |= width < 0;
            self.width = width.unsigned_abs() as usize;
            text = after;
        }
        if let Some(after) = text.strip_prefix('.') {
            // SAFETY: As above.
            let (precision, after) = unsafe { number(after, arguments) };
            self.precision = Some(usize::try_from(precision.unwrap_or(0)).unwrap_or(0));
            text = after;
        }
        let sizes = [
            ("I64", Size::Quad),
            ("I32", Size::Int),
            ("ll", Size::Quad),
            ("hh", Size::Byte),
            ("I", Size::Quad),
            ("h", Size::Short),
            ("l", Size::Long),
            ("w", Size::Wide),
            ("z", Size::Quad),
            ("t", Size::Quad),
            ("j", Size::Quad),
        ];
        for (prefix, size) in sizes {
            if let Some(after) = text.strip_prefix(prefix) {
                self.size = size;
                return after;
            }
        }
        text
    }

    unsafe fn convert(&self, kind: char, arguments: &mut Arguments, out: &mut Formatted) {
        if kind == '%' {
            out.text.push('%');
            return;
        }
        // SAFETY: Every other conversion takes an argument, by the contract of `format`.
        let argument = unsafe { arguments.next() };
        let wide = matches!(self.size, Size::Long | Size::Wide);
        match kind {
            'd' | 'i' => self.signed(argument, out),
            'u' | 'o' | 'x' | 'X' => self.unsigned(kind, argument, out),
            'p' | 'P' => self.pad("", &format!("{argument:016X}"), out),
            'c' | 'C' => {
                out.passive_only |= wide || kind == 'C';
                let unit = if wide || kind == 'C' {
                    argument as u16
                } else {
                    u16::from(argument as u8)
                };
                self.pad("", &String::from_utf16_lossy(&[unit]), out);
            }
            'S' | 's' | 'Z' => {
                let wide = if kind == 'S' {
                    self.size != Size::Short
                } else {
                    wide
                };
                out.passive_only |= wide;
                // SAFETY: The argument is a string of the type that the format says.
                let text = unsafe { self.string(kind == 'Z', wide, argument) };
                self.pad("", &text, out);
            }
            other => {
                // Windows prints what it does not know as it stands.
                out.text.push(other);
            }
        }
    }

    unsafe fn string(&self, counted: bool, wide: bool, argument: u64) -> String {
        let address = pointer::<u8>(argument).cast_const();
        if address.is_null() {
            return "(null)".to_owned();
        }
        let limit = self.precision.unwrap_or(usize::MAX);
        if wide {
            let units = if counted {
                // SAFETY: `%wZ` takes a pointer to a counted UTF-16 string.
                unsafe { units(pointer::<UNICODE_STRING>(argument)) }
            } else {
                // SAFETY: `%ws` takes a UTF-16 string that ends with a zero.
                unsafe { terminated(address.cast()) }
            };
            return String::from_utf16_lossy(&units[..units.len().min(limit)]);
        }
        let bytes = if counted {
            // SAFETY: `%Z` takes a pointer to a counted 8-bit string.
            unsafe { ansi::bytes(pointer::<ANSI_STRING>(argument)) }
        } else if let Some(limit) = self.precision {
            // SAFETY: `%.Ns` takes N bytes, or fewer if a zero ends them.
            unsafe { at_most(address, limit) }
        } else {
            // SAFETY: `%s` takes a string that ends with a zero.
            unsafe { terminated_bytes(address.cast()) }
        };
        String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned()
    }

    fn signed(&self, argument: u64, out: &mut Formatted) {
        let value = match self.size {
            Size::Byte => i64::from(argument as i8),
            Size::Short => i64::from(argument as i16),
            Size::Quad => argument.cast_signed(),
            Size::Int | Size::Long | Size::Wide => i64::from(argument as i32),
        };
        let sign = if value < 0 {
            "-".to_owned()
        } else {
            self.sign.map_or_else(String::new, String::from)
        };
        self.pad(&sign, &self.digits(value.unsigned_abs().to_string()), out);
    }

    fn unsigned(&self, kind: char, argument: u64, out: &mut Formatted) {
        let value = match self.size {
            Size::Byte => argument & 0xFF,
            Size::Short => argument & 0xFFFF,
            Size::Quad => argument,
            Size::Int | Size::Long | Size::Wide => argument & 0xFFFF_FFFF,
        };
        let (prefix, text) = match kind {
            'x' => ("0x", format!("{value:x}")),
            'X' => ("0X", format!("{value:X}")),
            'o' => ("0", format!("{value:o}")),
            _ => ("", value.to_string()),
        };
        let prefix = if self.alternate && value != 0 {
            prefix
        } else {
            ""
        };
        self.pad(prefix, &self.digits(text), out);
    }

    /// At least as many digits as the precision asks for.
    fn digits(&self, text: String) -> String {
        match self.precision {
            Some(precision) => format!("{text:0>precision$}"),
            None => text,
        }
    }

    fn pad(&self, prefix: &str, text: &str, out: &mut Formatted) {
        let length = prefix.len() + text.chars().count();
        let fill = self.width.saturating_sub(length);
        // Writing to a string does not fail.
        let _ = if self.left {
            write!(out.text, "{prefix}{text}{:fill$}", "")
        } else if self.zeros && self.precision.is_none() {
            write!(out.text, "{prefix}{:0>fill$}{text}", "")
        } else {
            write!(out.text, "{:fill$}{prefix}{text}", "")
        };
    }
}

/// Reads a number or `*`, which takes an argument; returns what follows.
unsafe fn number<'a>(text: &'a str, arguments: &mut Arguments) -> (Option<i32>, &'a str) {
    if let Some(after) = text.strip_prefix('*') {
        // SAFETY: The format asks for the argument, and the caller of `format` promises it.
        return (Some(unsafe { arguments.next() } as i32), after);
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

/// The bytes of a string up to a zero, `limit` of them at most.
const unsafe fn at_most<'a>(text: *const u8, limit: usize) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: `limit` bytes are there, unless a zero comes before.
    while length < limit && unsafe { text.wrapping_add(length).read() } != 0 {
        length += 1;
    }
    // SAFETY: `length` bytes were just read.
    unsafe { std::slice::from_raw_parts(text, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str, arguments: &[u64]) -> String {
        // SAFETY: Every test passes what its format asks for.
        unsafe { format(text, &mut Arguments::new(arguments.as_ptr())) }.text
    }

    #[test]
    fn numbers() {
        assert_eq!(
            formatted("%d|%i|%u", &[u64::MAX, 5, u64::MAX]),
            "-1|5|4294967295"
        );
        assert_eq!(
            formatted("%I64d %lld %I64x", &[u64::MAX, u64::MAX, 0xABC]),
            "-1 -1 abc"
        );
        assert_eq!(formatted("%hhu %hd %lu", &[0x1FF, 0xFFFF, 7]), "255 -1 7");
        assert_eq!(
            formatted("%08X|%#x|%+d|%5d|%-5d|", &[0xBEEF, 255, 3, 42, 42]),
            "0000BEEF|0xff|+3|   42|42   |"
        );
        assert_eq!(
            formatted("%.4d %*d %05d", &[7, 4, 9, i32::cast_unsigned(-42).into()]),
            "0007    9 -0042"
        );
        assert_eq!(formatted("%p", &[0x1234]), "0000000000001234");
    }

    #[test]
    fn strings() {
        let wide: Vec<u16> = "wide\0".encode_utf16().collect();
        let counted = UNICODE_STRING {
            Length: 4,
            MaximumLength: 8,
            Buffer: wide.as_ptr().cast_mut(),
        };
        let wide_address = wide.as_ptr().expose_provenance() as u64;
        let counted_address = (&raw const counted).expose_provenance() as u64;
        let narrow = c"narrow".as_ptr().expose_provenance() as u64;
        assert_eq!(
            formatted(
                "[%s] [%ws] [%S] [%ls]",
                &[narrow, wide_address, wide_address, wide_address]
            ),
            "[narrow] [wide] [wide] [wide]"
        );
        assert_eq!(
            formatted(
                "[%wZ] [%.3s] [%8s] [%s]",
                &[counted_address, narrow, narrow, 0]
            ),
            "[wi] [nar] [  narrow] [(null)]"
        );
        assert_eq!(
            formatted("%c%C 100%%", &[u64::from(b'a'), u64::from(b'b')]),
            "ab 100%"
        );
    }

    #[test]
    fn what_may_be_used_at_passive_level_only() {
        let passive = |text| {
            let zero = [0_u64; 2];
            // SAFETY: Null is a string that every conversion takes.
            unsafe { format(text, &mut Arguments::new(zero.as_ptr())) }.passive_only
        };
        assert!(passive("%ws") && passive("%wZ") && passive("%S") && passive("%lc"));
        assert!(!passive("%s") && !passive("%d %x") && !passive("plain"));
    }

    #[test]
    fn what_is_incomplete_or_unknown_does_no_harm() {
        assert_eq!(formatted("100%", &[]), "100");
        assert_eq!(formatted("%", &[]), "");
        assert_eq!(formatted("%q!", &[0]), "q!");
    }
}
