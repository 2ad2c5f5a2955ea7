//! GUIDs and their text.

use nt_abi::{
    GUID, NTSTATUS, PCGUID, PCUNICODE_STRING, PUNICODE_STRING, STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
};

use super::{pageable, unicode::store, units};
use crate::irql::PASSIVE;

/// The registry form of a GUID: `{00000000-0000-0000-0000-000000000000}`.
pub fn format(guid: &GUID) -> String {
    let [a, b, rest @ ..] = guid.Data4;
    let rest = rest
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    format!(
        "{{{:08X}-{:04X}-{:04X}-{a:02X}{b:02X}-{rest:012X}}}",
        guid.Data1, guid.Data2, guid.Data3
    )
}

/// Reads the registry form of a GUID, digits in any case.
pub fn parse(text: &str) -> Option<GUID> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = inner.split('-').collect();
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() != lengths.len()
        || parts
            .iter()
            .zip(lengths)
            .any(|(part, length)| part.len() != length || !hex(part))
    {
        return None;
    }
    let tail = format!("{}{}", parts[3], parts[4]);
    Some(GUID {
        Data1: u32::from_str_radix(parts[0], 16).ok()?,
        Data2: u16::from_str_radix(parts[1], 16).ok()?,
        Data3: u16::from_str_radix(parts[2], 16).ok()?,
        Data4: u64::from_str_radix(&tail, 16).ok()?.to_be_bytes(),
    })
}

/// Writes a GUID to a new string, which `RtlFreeUnicodeString` frees. `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlStringFromGUID`.
pub unsafe extern "win64" fn RtlStringFromGUID(
    Guid: PCGUID,
    GuidString: PUNICODE_STRING,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlStringFromGUID);
    // SAFETY: Valid by the contract of this function.
    let text: Vec<u16> = format(unsafe { &*Guid }).encode_utf16().collect();
    // SAFETY: As above; the buffer is allocated.
    unsafe { store(GuidString, &text, true) }
}

/// Reads a GUID. `PASSIVE_LEVEL`. `STATUS_INVALID_PARAMETER` if the string is none.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlGUIDFromString`.
pub unsafe extern "win64" fn RtlGUIDFromString(
    GuidString: PCUNICODE_STRING,
    Guid: *mut GUID,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlGUIDFromString);
    // SAFETY: Valid by the contract of this function.
    let text = String::from_utf16_lossy(unsafe { units(GuidString) });
    let Some(guid) = parse(&text) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: Valid for a write by the contract of this function.
    unsafe { Guid.write(guid) };
    STATUS_SUCCESS
}

crate::export::exports! { "ntoskrnl.exe"; RtlStringFromGUID, RtlGUIDFromString }

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn text_goes_both_ways() {
        let text = "{CDDC1234-5678-9ABC-DEF0-0123456789AB}";
        let guid = parse(text).expect("a GUID");
        assert_eq!(
            (guid.Data1, guid.Data4[0], guid.Data4[7]),
            (0xCDDC_1234, 0xDE, 0xAB)
        );
        assert_eq!(format(&guid), text);
        for bad in [
            "",
            "{}",
            "CDDC1234-5678-9ABC-DEF0-0123456789AB",
            "{+DDC1234-5678-9ABC-DEF0-0123456789AB}",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
