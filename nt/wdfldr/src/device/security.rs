//! Security descriptors in SDDL, as device objects take them: read to see that they are well-formed, and
//! not enforced, for neither nthost nor Wine has a security reference monitor.

use crate::kernel::Outcome;
use nt_abi::STATUS_INVALID_PARAMETER;

/// The rights that have a name of two letters: generic, standard, and those of files and keys.
const RIGHTS: [&[u8; 2]; 20] = [
    b"GA", b"GR", b"GW", b"GX", b"RC", b"SD", b"WD", b"WO", b"FA", b"FR", b"FW", b"FX", b"KA",
    b"KR", b"KW", b"KX", b"CC", b"DC", b"LC", b"SW",
];
/// Ways in which entries are inherited and audited.
const ENTRY_FLAGS: [&[u8; 2]; 7] = [b"CI", b"OI", b"NP", b"IO", b"ID", b"SA", b"FA"];

/// Checks that a string is a security descriptor: `D:` with flags and entries, perhaps an owner, a group
/// and a system list beside it.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER`.
pub fn check(sddl: &[u16]) -> Outcome {
    let mut reader = Reader { rest: sddl };
    let parts = reader.descriptor();
    if parts == Some(true) && reader.rest.is_empty() {
        Ok(())
    } else {
        Err(STATUS_INVALID_PARAMETER)
    }
}

/// What is left to be read.
struct Reader<'a> {
    rest: &'a [u16],
}

impl<'a> Reader<'a> {
    fn take(&mut self, text: &[u8]) -> Option<()> {
        let (start, rest) = self.rest.split_at_checked(text.len())?;
        let equal = start
            .iter()
            .zip(text)
            .all(|(unit, byte)| *unit == u16::from(*byte));
        equal.then(|| self.rest = rest)
    }

    /// What comes before `end`, which is taken too.
    fn until(&mut self, end: u8) -> Option<&'a [u16]> {
        let position = self.rest.iter().position(|unit| *unit == u16::from(end))?;
        let (start, rest) = self.rest.split_at(position);
        self.rest = &rest[1..];
        Some(start)
    }

    /// Reads all parts; whether there was a list of who may do what.
    fn descriptor(&mut self) -> Option<bool> {
        for owner in [b"O:", b"G:"] {
            if self.take(owner).is_some() {
                self.trustee()?;
            }
        }
        let has_list = self.take(b"D:").is_some();
        if has_list {
            self.list()?;
        }
        if self.take(b"S:").is_some() {
            self.list()?;
        }
        Some(has_list)
    }

    /// An owner or group: two letters, or a whole identifier.
    fn trustee(&mut self) -> Option<()> {
        let end = self
            .rest
            .windows(2)
            .position(|pair| pair[1] == u16::from(b':'));
        let (trustee, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        is_trustee(trustee).then_some(())
    }

    /// The flags and entries of a list.
    fn list(&mut self) -> Option<()> {
        for flag in [&b"P"[..], b"AR", b"AI"] {
            self.take(flag);
        }
        while self.take(b"(").is_some() {
            let entry = self.until(b')')?;
            is_entry(entry).then_some(())?;
        }
        Some(())
    }
}

/// `type;flags;rights;object;inherited object;trustee`.
fn is_entry(entry: &[u16]) -> bool {
    let mut fields = entry.split(|unit| *unit == u16::from(b';'));
    let mut next = || fields.next().unwrap_or_default();
    let [kind, flags, rights, object, inherited, trustee] = core::array::from_fn(|_| next());
    let kinds = [&b"A"[..], b"D", b"AU", b"AL", b"ML"];
    kinds.iter().any(|each| is(kind, each))
        && pairs_of(flags, &ENTRY_FLAGS)
        && !rights.is_empty()
        && (is_number(rights) || pairs_of(rights, &RIGHTS))
        && object.is_empty()
        && inherited.is_empty()
        && is_trustee(trustee)
        && fields.next().is_none()
}

fn is(text: &[u16], expected: &[u8]) -> bool {
    text.len() == expected.len()
        && text
            .iter()
            .zip(expected)
            .all(|(unit, byte)| *unit == u16::from(*byte))
}

fn pairs_of(text: &[u16], known: &[&[u8; 2]]) -> bool {
    text.chunks(2)
        .all(|pair| known.iter().any(|each| is(pair, each.as_slice())))
}

fn is_number(text: &[u16]) -> bool {
    let digits = text.strip_prefix(&[u16::from(b'0'), u16::from(b'x')]);
    digits.is_some_and(|digits| {
        (1..=8).contains(&digits.len())
            && digits
                .iter()
                .all(|unit| is_ascii(*unit, u8::is_ascii_hexdigit))
    })
}

/// Two letters that stand for somebody well known, or `S-1-...`.
fn is_trustee(text: &[u16]) -> bool {
    let letters = |text: &[u16]| {
        text.iter()
            .all(|unit| is_ascii(*unit, u8::is_ascii_uppercase))
    };
    let identifier = |rest: &[u16]| {
        rest.split(|unit| *unit == u16::from(b'-')).all(|part| {
            !part.is_empty() && part.iter().all(|unit| is_ascii(*unit, u8::is_ascii_digit))
        })
    };
    let well_known = || text.len() == 2 && letters(text);
    let prefix = [u16::from(b'S'), u16::from(b'-')];
    text.strip_prefix(&prefix)
        .map_or_else(well_known, identifier)
}

fn is_ascii(unit: u16, kind: impl Fn(&u8) -> bool) -> bool {
    u8::try_from(unit).is_ok_and(|byte| kind(&byte))
}

#[cfg(test)]
mod tests {
    use super::check;

    fn is_valid(sddl: &str) -> bool {
        let units: Vec<u16> = sddl.encode_utf16().collect();
        check(&units).is_ok()
    }

    #[test]
    fn the_descriptors_of_wdmsec_are_read() {
        // What the SDDL_DEVOBJ constants of wdmsec.h stand for.
        for sddl in [
            "D:P",
            "D:P(A;;GA;;;SY)",
            "D:P(A;;GA;;;SY)(A;;GA;;;BA)",
            "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GR;;;WD)(A;;GR;;;RC)",
            "D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GRGW;;;WD)(A;;GR;;;RC)",
            "O:SYG:SYD:P(A;;0x1f01ff;;;S-1-5-32-544)S:(AU;SAFA;GA;;;WD)",
        ] {
            assert!(is_valid(sddl), "{sddl}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for sddl in [
            "",
            "P(A;;GA;;;SY)",
            "D:P(A;;GA;;;SY",
            "D:P(A;;GA;;;SY)x",
            "D:P(A;;;;;SY)",
            "D:P(A;;QQ;;;SY)",
            "D:P(A;;G;;;SY)",
            "D:P(A;;GA;;SY)",
            "D:P(A;;GA;;;SY;)",
            "D:P(X;;GA;;;SY)",
            "D:P(A;;GA;;;SYS)",
            "D:P(A;;GA;;;S-1-)",
            "D:P(A;;0x;;;SY)",
        ] {
            assert!(!is_valid(sddl), "{sddl}");
        }
    }
}
