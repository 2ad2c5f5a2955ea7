//! What stampinf does on Windows: makes an INF of the template, for an architecture and with date
//! and version. Page: Stampinf Command-line Options.

use anyhow::{Result, bail};
use der::DateTime;

use crate::{arch::Arch, kit};

/// What is put in.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// For `$ARCH$`.
    pub arch: Arch,
    /// The date of `DriverVer`.
    pub date: DateTime,
    /// The version of `DriverVer`.
    pub version: [u16; 4],
}

impl Stamp {
    /// The INF of the template `inx`, with the ends of line of Windows.
    pub fn apply(&self, inx: &str) -> Result<String> {
        let text = inx
            .replace("$ARCH$", self.arch.inf_name())
            .replace("$KMDFVERSION$", kit::KMDF_VERSION);
        let mut stamped = 0;
        let mut inf = String::new();
        for line in text.lines() {
            let directive = line.split('=').next().unwrap_or_default().trim();
            if directive.eq_ignore_ascii_case("DriverVer") {
                stamped += 1;
                inf.push_str(&self.driver_ver());
            } else {
                inf.push_str(line);
            }
            inf.push_str("\r\n");
        }
        if stamped != 1 {
            bail!("the template has {stamped} DriverVer lines and should have one");
        }
        Ok(inf)
    }

    fn driver_ver(&self) -> String {
        let [major, minor, build, revision] = self.version;
        let (year, month, day) = (self.date.year(), self.date.month(), self.date.day());
        format!("DriverVer   = {month:02}/{day:02}/{year},{major}.{minor}.{build}.{revision}")
    }
}

#[cfg(test)]
mod tests {
    use der::DateTime;

    use super::Stamp;
    use crate::arch::Arch;

    const STAMP: fn(Arch) -> Stamp = |arch| Stamp {
        arch,
        date: DateTime::new(2026, 3, 9, 1, 2, 3).expect("a date"),
        version: [0, 1, 0, 77],
    };

    #[test]
    fn tokens_and_the_version_are_put_in() {
        let inx = "[Version]\nDriverVer =\n[M.NT$ARCH$]\nKmdfLibraryVersion = $KMDFVERSION$\n";
        assert_eq!(
            STAMP(Arch::X64).apply(inx).expect("it is stamped"),
            "[Version]\r\nDriverVer   = 03/09/2026,0.1.0.77\r\n[M.NTamd64]\r\n\
             KmdfLibraryVersion = 1.33\r\n"
        );
        let arm = STAMP(Arch::Arm64).apply(inx).expect("it is stamped");
        assert!(arm.contains("[M.NTarm64]"), "{arm}");
    }

    #[test]
    fn a_template_without_a_driver_ver_is_refused() {
        assert!(STAMP(Arch::X64).apply("[Version]\n").is_err());
    }
}
