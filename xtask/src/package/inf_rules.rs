//! The rules of `InfVerif` that apply to a driver package like this one, as far as they are published:
//! page INF Validation Errors and Warnings, whose numbers stand here. `InfVerif /w`, which the makefile
//! of wdk-build runs on Windows, counts all of them as errors.

#[cfg(test)]
mod tests;

use super::inf::{Inf, Line, Section};
use crate::kit;

/// What is wrong with an INF.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The number of `InfVerif`'s error.
    pub code: u16,
    /// What is wrong, in words of our own.
    pub what: String,
}

/// Service type, start type and error control of a driver for a device that the system can start
/// without. Page: INF `AddService` Directive.
const SERVICE: [(&str, &str); 3] = [
    ("ServiceType", "1"),
    ("StartType", "3"),
    ("ErrorControl", "1"),
];
/// Directives of install sections that packages no longer may have. Each page says so: that of the
/// directive, or that of driver package isolation.
const LEGACY_DIRECTIVES: [&str; 14] = [
    "BitReg",
    "CopyINF",
    "DelFiles",
    "DelProperty",
    "DelReg",
    "DelService",
    "Ini2Reg",
    "LogConfig",
    "ProfileItems",
    "RegisterDlls",
    "RenFiles",
    "UnregisterDlls",
    "UpdateIniFields",
    "UpdateInis",
];
/// Ends of the names of sections that packages no longer may have, likewise.
const LEGACY_SECTIONS: [&str; 4] = ["CoInstallers", "FactDef", "LogConfigOverride", "Uninstall"];
/// Everything to SYSTEM and administrators. Page: Security Descriptors for Device Objects.
const ADMINISTRATORS_ONLY: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";

/// Checks a stamped INF for this architecture (`amd64`, `arm64`).
pub fn check(inf: &Inf, arch: &str) -> Vec<Finding> {
    let mut findings = Findings {
        inf,
        list: Vec::new(),
    };
    findings.version();
    findings.driver_ver();
    findings.strings();
    findings.legacy();
    findings.files();
    findings.models(arch);
    findings.list
}

struct Findings<'a> {
    inf: &'a Inf,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    fn unless(&mut self, holds: bool, code: u16, what: impl Into<String>) {
        if !holds {
            self.list.push(Finding {
                code,
                what: what.into(),
            });
        }
    }

    fn value(&self, section: &str, key: &str) -> String {
        self.inf.value(section, key).unwrap_or_default()
    }

    /// Page: INF Version Section.
    fn version(&mut self) {
        let signature = self.value("Version", "Signature");
        self.unless(
            signature.eq_ignore_ascii_case("$Windows NT$"),
            1001,
            "Version has no Signature = \"$Windows NT$\"",
        );
        self.unless(
            !self.value("Version", "Class").is_empty(),
            1234,
            "Version has no Class",
        );
        self.unless(
            is_guid(&self.value("Version", "ClassGuid")),
            1010,
            "ClassGuid is no GUID",
        );
        let provider = self.value("Version", "Provider");
        self.unless(!provider.is_empty(), 1234, "Version has no Provider");
        self.unless(
            !provider.to_lowercase().starts_with("microsoft"),
            1204,
            "Provider is Microsoft",
        );
        let catalog = self.value("Version", "CatalogFile");
        self.unless(!catalog.is_empty(), 1233, "Version has no CatalogFile");
        self.unless(
            catalog.is_empty() || has_extension(&catalog, ".cat"),
            1214,
            "CatalogFile does not end with .cat",
        );
        self.unless(
            self.value("Version", "PnpLockdown") == "1",
            1324,
            "Version has no PnpLockdown = 1",
        );
    }

    /// Page: INF `DriverVer` Directive.
    fn driver_ver(&mut self) {
        let version = self.inf.section("Version");
        let line = version.and_then(|it| it.line("DriverVer"));
        let value = |at: usize| line.and_then(|line| line.values.get(at).cloned());
        self.unless(
            value(0).is_some_and(|date| is_date(&date)),
            1218,
            "the date of DriverVer is not MM/DD/YYYY",
        );
        self.unless(
            value(1).is_some_and(|version| is_version(&version)),
            1217,
            "the version of DriverVer is not w.x.y.z",
        );
    }

    /// Page: INF Strings Section.
    fn strings(&mut self) {
        let entries = self.inf.sections().iter().flat_map(|it| &it.lines);
        let texts = entries.flat_map(|line| line.key.iter().chain(&line.values));
        let undefined: Vec<_> = texts
            .flat_map(|text| tokens(text))
            .filter(|token| token.parse::<u32>().is_err())
            .filter(|token| {
                let strings = self.inf.section("Strings");
                strings.and_then(|it| it.line(token)).is_none()
            })
            .map(str::to_owned)
            .collect();
        for token in undefined {
            self.unless(false, 1235, format!("%{token}% is not among the Strings"));
        }
    }

    fn legacy(&mut self) {
        for section in self.inf.sections() {
            let end = section.name.rsplit('.').next().unwrap_or_default();
            let legacy = LEGACY_SECTIONS
                .iter()
                .any(|name| end.eq_ignore_ascii_case(name));
            self.unless(!legacy, 1303, format!("a section {}", section.name));
            for directive in LEGACY_DIRECTIVES {
                self.unless(
                    section.line(directive).is_none(),
                    1300,
                    format!("the directive {directive} in {}", section.name),
                );
            }
        }
    }

    /// Pages: INF `SourceDisksFiles` Section, INF `DestinationDirs` Section, Run from Driver Store.
    fn files(&mut self) {
        let files = self.inf.section("SourceDisksFiles");
        for line in files.into_iter().flat_map(|section| &section.lines) {
            let name = line.key.clone().unwrap_or_default();
            self.unless(
                !has_extension(&name, ".cat"),
                1213,
                format!("{name} among the SourceDisksFiles"),
            );
            let disk = line.values.first().cloned().unwrap_or_default();
            let disks = self.inf.section("SourceDisksNames");
            self.unless(
                disks.is_some_and(|disks| disks.line(&disk).is_some()),
                1273,
                format!("{name} is on the disk {disk}, which SourceDisksNames lacks"),
            );
        }
        let folders = self.inf.section("DestinationDirs");
        let lines: &[Line] = folders.map_or(&[], |section| &section.lines);
        let isolated = |line: &Line| line.values.first().is_some_and(|folder| folder == "13");
        self.unless(
            !lines.is_empty() && lines.iter().all(isolated),
            1322,
            "DestinationDirs names folders other than 13, the driver store",
        );
    }

    /// Pages: INF Manufacturer Section, INF Models Section.
    fn models(&mut self, arch: &str) {
        let manufacturers = self.inf.section("Manufacturer");
        for line in manufacturers.into_iter().flat_map(|it| &it.lines) {
            let decorations = line.values.get(1..).unwrap_or_default();
            self.unless(
                !decorations.is_empty() && decorations.iter().all(|it| is_for(it, arch)),
                1287,
                format!(
                    "models that are not for NT{arch}.10.0...{} alone",
                    kit::LOWEST_BUILD
                ),
            );
        }
        let models = self.inf.model_sections();
        self.unless(!models.is_empty(), 1011, "there are no models");
        for line in models.iter().flat_map(|section| &section.lines) {
            self.unless(line.values.len() >= 2, 1271, "a model without hardware id");
            let install = line.values.first().cloned().unwrap_or_default();
            self.install(&install);
        }
    }

    /// Pages: INF `DDInstall` Section and those of its parts.
    fn install(&mut self, name: &str) {
        let copied = self.references(&format!("{name}.NT"), "CopyFiles", 0);
        for line in copied.iter().flat_map(|section| &section.lines) {
            let file = line.values.first().cloned().unwrap_or_default();
            let files = self.inf.section("SourceDisksFiles");
            self.unless(
                files.is_some_and(|files| files.line(&file).is_some()),
                1230,
                format!("{file} is copied, and not among the SourceDisksFiles"),
            );
        }
        self.security(name);
        let services = self.references(&format!("{name}.NT.Services"), "AddService", 2);
        for service in services {
            self.service(service);
        }
        self.framework(name);
    }

    /// Page: Creating Secure Device Installations.
    fn security(&mut self, name: &str) {
        let settings = self.references(&format!("{name}.NT.HW"), "AddReg", 0);
        let mut lines = settings.iter().flat_map(|section| &section.lines);
        let secured = lines.any(|line| {
            line.values.iter().map(String::as_str).eq([
                "HKR",
                "",
                "Security",
                "",
                ADMINISTRATORS_ONLY,
            ])
        });
        // InfVerif has no number for a device that everybody may open.
        self.unless(secured, 0, "the device is not for administrators alone");
    }

    /// Page: INF `AddService` Directive.
    fn service(&mut self, section: &Section) {
        for (key, wanted) in SERVICE {
            let value = self.value(&section.name, key);
            self.unless(value == wanted, 1234, format!("{key} is not {wanted}"));
        }
        let binary = self.value(&section.name, "ServiceBinary");
        let file = binary.strip_prefix(r"%13%\").unwrap_or_default();
        let files = self.inf.section("SourceDisksFiles");
        self.unless(
            files.is_some_and(|files| files.line(file).is_some()),
            2085,
            format!("ServiceBinary {binary} is not %13%\\ and a file of the package"),
        );
    }

    /// Page: Specifying WDF Directives in INF Files.
    fn framework(&mut self, name: &str) {
        let wdf = format!("{name}.NT.Wdf");
        let service = self.value(&format!("{name}.NT.Services"), "AddService");
        self.unless(
            self.value(&wdf, "KmdfService") == service,
            1234,
            "KmdfService does not name the service",
        );
        for section in self.references(&wdf, "KmdfService", 1) {
            let version = self.value(&section.name, "KmdfLibraryVersion");
            let number = |part: &str| part.parse::<u16>().is_ok();
            self.unless(
                version
                    .split_once('.')
                    .is_some_and(|(major, minor)| number(major) && number(minor)),
                1234,
                format!("KmdfLibraryVersion {version} is no version"),
            );
        }
    }

    /// The sections that the directive of a section names in its value number `at`; that they are not
    /// there is found.
    fn references(&mut self, section: &str, directive: &str, at: usize) -> Vec<&'a Section> {
        let inf = self.inf;
        let Some(line) = inf.section(section).and_then(|it| it.line(directive)) else {
            self.unless(false, 1084, format!("{section} has no {directive}"));
            return Vec::new();
        };
        let name = line.values.get(at).cloned().unwrap_or_default();
        let found = inf.section(&name);
        self.unless(
            found.is_some(),
            1203,
            format!("{directive} names a section {name}, which is not there"),
        );
        found.into_iter().collect()
    }
}

/// What stands between percent signs.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split('%')
        .skip(1)
        .step_by(2)
        .filter(|it| !it.is_empty())
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.to_lowercase().ends_with(extension)
}

/// `NTamd64.10.0...20348`: architecture, version 10.0, any product and suite, the lowest build.
fn is_for(decoration: &str, arch: &str) -> bool {
    let parts: Vec<_> = decoration.split('.').collect();
    let [nt, "10", "0", "", "", build] = parts[..] else {
        return false;
    };
    nt.eq_ignore_ascii_case(&format!("NT{arch}")) && build == kit::LOWEST_BUILD.to_string()
}

fn is_guid(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let parts = inner.unwrap_or_default().split('-');
    let hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<_> = parts
        .map(|part| if hexadecimal(part) { part.len() } else { 0 })
        .collect();
    lengths == [8, 4, 4, 4, 12]
}

fn is_date(text: &str) -> bool {
    let digits = |part: &str, length| part.len() == length && part.parse::<u16>().is_ok();
    let parts: Vec<_> = text.split('/').collect();
    matches!(parts[..], [month, day, year]
        if digits(month, 2) && digits(day, 2) && digits(year, 4))
}

fn is_version(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').map(str::parse::<u16>).collect();
    parts.len() == 4 && parts.iter().all(Result::is_ok)
}
