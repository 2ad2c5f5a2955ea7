//! Numbers and their text.

use nt_abi::{
    NTSTATUS, PCUNICODE_STRING, PULONG, PUNICODE_STRING, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
    ULONG,
};

use super::{pageable, unicode::store, units};
use crate::irql::PASSIVE;

/// The digits of a number, in upper case.
fn digits(mut value: ULONG, base: ULONG) -> Vec<u16> {
    let mut text = Vec::new();
    loop {
        let digit = char::from_digit(value % base, base)
            .unwrap_or('0')
            .to_ascii_uppercase();
        text.push(digit as u16);
        value /= base;
        if value == 0 {
            break;
        }
    }
    text.reverse();
    text
}

/// Writes a number to a string, in base 2, 8, 10 (or 0) or 16. `PASSIVE_LEVEL`.
///
/// `STATUS_BUFFER_OVERFLOW` if the string has no room, `STATUS_INVALID_PARAMETER` for another base.
///
/// # Safety
///
/// The string must be valid. DDI: `RtlIntegerToUnicodeString`.
pub unsafe extern "win64" fn RtlIntegerToUnicodeString(
    Value: ULONG,
    Base: ULONG,
    String: PUNICODE_STRING,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlIntegerToUnicodeString);
    let base = match Base {
        0 => 10,
        2 | 8 | 10 | 16 => Base,
        _ => return STATUS_INVALID_PARAMETER,
    };
    // SAFETY: Valid by the contract of this function.
    unsafe { store(String, &digits(Value, base), false) }
}

/// The number that a text begins with, as `RtlUnicodeStringToInteger` reads it.
fn parse(text: &str, base: ULONG) -> Option<ULONG> {
    let text = text.trim_start();
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (base, text) = match (base, text.get(..2)) {
        (0, Some("0x")) => (16, &text[2..]),
        (0, Some("0o")) => (8, &text[2..]),
        (0, Some("0b")) => (2, &text[2..]),
        (0 | 10, _) => (10, text),
        (2 | 8 | 16, _) => (base, text),
        _ => return None,
    };
    let value = text
        .chars()
        .map_while(|c| c.to_digit(base))
        .fold(0_u32, |value, digit| {
            value.wrapping_mul(base).wrapping_add(digit)
        });
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// Reads the number that a string begins with. `PASSIVE_LEVEL`.
///
/// `STATUS_INVALID_PARAMETER` for an empty string or an impossible base; zero if there is no number.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlUnicodeStringToInteger`.
pub unsafe extern "win64" fn RtlUnicodeStringToInteger(
    String: PCUNICODE_STRING,
    Base: ULONG,
    Value: PULONG,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlUnicodeStringToInteger);
    // SAFETY: Valid by the contract of this function.
    let text = std::string::String::from_utf16_lossy(unsafe { units(String) });
    if text.is_empty() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(value) = parse(&text, Base) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: Valid for a write by the contract of this function.
    unsafe { Value.write(value) };
    STATUS_SUCCESS
}

crate::export::exports! {
    "ntoskrnl.exe";
    RtlIntegerToUnicodeString, RtlUnicodeStringToInteger,
}

#[cfg(test)]
mod tests {
    use super::{digits, parse};

    /// The table of the page of `RtlUnicodeStringToInteger`.
    #[test]
    fn reads_the_documented_examples() {
        for (text, base, value) in [
            ("123", 10, 123),
            ("-345", 10, -345),
            ("xyz", 10, 0),
            ("+678abc", 10, 678),
            ("+678abc", 16, 6_785_724),
            ("007", 10, 7),
            ("789", 8, 7),
            ("FGH", 16, 15),
            (" ", 10, 0),
            ("0x1F", 0, 31),
            ("0b101", 0, 5),
        ] {
            assert_eq!(
                parse(text, base),
                Some(i32::cast_unsigned(value)),
                "{text} base {base}"
            );
        }
        assert_eq!(parse("1", 7), None);
    }

    #[test]
    fn writes_digits() {
        assert_eq!(String::from_utf16_lossy(&digits(0, 10)), "0");
        assert_eq!(String::from_utf16_lossy(&digits(0xBEEF, 16)), "BEEF");
        assert_eq!(
            String::from_utf16_lossy(&digits(u32::MAX, 2)),
            "1".repeat(32)
        );
    }
}
