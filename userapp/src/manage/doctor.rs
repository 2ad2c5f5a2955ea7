//! What stands in the way of the driver, and what mends it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    install::{HARDWARE_ID, problem},
    system::{Arch, Machine, System, SystemError},
};

/// The first build of Windows with KMDF 1.33, which the driver asks for: Windows Server 2022. Page:
/// KMDF Version History.
const LOWEST_BUILD: u32 = 20348;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// The driver cannot be installed or started like this.
    Blocks,
    /// It may be in the way.
    Notice,
}

/// Something that was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub gravity: Gravity,
    /// What was found.
    pub what: String,
    /// The commands that mend it, in order.
    pub mend: Vec<String>,
}

/// A package on disk.
#[derive(Debug)]
pub struct Package {
    /// For which processors its INF is.
    pub arch: Option<Arch>,
    /// The test certificate beside it.
    pub certificate: Option<PathBuf>,
}

impl Package {
    /// Looks at the package of this INF, if there is one.
    pub fn at(inf: &Path) -> Option<Self> {
        let text = fs::read_to_string(inf).ok()?.to_lowercase();
        let arch = [("ntamd64", Arch::Amd64), ("ntarm64", Arch::Arm64)]
            .into_iter()
            .find(|(decoration, _)| text.contains(decoration));
        let certificate = inf.with_file_name("syncstress-test.cer");
        Some(Self {
            arch: arch.map(|(_, arch)| arch),
            certificate: certificate.is_file().then_some(certificate),
        })
    }
}

/// Looks for everything that is known to go wrong.
pub fn examine(
    system: &dyn System,
    package: Option<&Package>,
) -> Result<Vec<Finding>, SystemError> {
    let machine = system.machine()?;
    let mut findings = of_machine(&machine);
    if let Some(package) = package {
        findings.extend(of_package(system, &machine, package)?);
    } else {
        findings.push(notice(
            "there is no package beside this program to look at",
            &["syncstress doctor --inf PATH"],
        ));
    }
    findings.extend(of_device(system)?);
    Ok(findings)
}

fn of_machine(machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    if machine.build < LOWEST_BUILD {
        let what = format!(
            "build {} of Windows has no KMDF 1.33; the first that has is {LOWEST_BUILD}",
            machine.build
        );
        findings.push(blocks(&what, &["use Windows 11 or Windows Server 2022"]));
    }
    if !machine.elevated {
        findings.push(blocks(
            "this prompt is not elevated, and the device is for administrators",
            &["powershell Start-Process cmd -Verb RunAs"],
        ));
    }
    if !machine.test_signing {
        let mut mend = Vec::new();
        if machine.secure_boot {
            mend.push("shutdown /r /fw /t 0   (and there: Secure Boot off)");
        }
        mend.extend(["bcdedit /set testsigning on", "shutdown /r /t 0"]);
        let what = if machine.secure_boot {
            "test signing is off, and Secure Boot, which is on, keeps it off"
        } else {
            "test signing is off: Windows does not load a driver with a test signature"
        };
        findings.push(blocks(what, &mend));
    }
    if machine.memory_integrity {
        findings.push(notice(
            "memory integrity (HVCI) is on; if the driver does not load, try without",
            &[
                r"reg add HKLM\SYSTEM\CurrentControlSet\Control\DeviceGuard\Scenarios\HypervisorEnforcedCodeIntegrity /v Enabled /t REG_DWORD /d 0 /f",
                "shutdown /r /t 0",
            ],
        ));
    }
    findings
}

fn of_package(
    system: &dyn System,
    machine: &Machine,
    package: &Package,
) -> Result<Vec<Finding>, SystemError> {
    let mut findings = Vec::new();
    if package.arch != Some(machine.arch) {
        let command = format!("cargo xtask package --arch {}", machine.arch.option());
        findings.push(blocks(
            "the package is for other processors than this machine's",
            &[&command],
        ));
    }
    let Some(certificate) = &package.certificate else {
        findings.push(notice(
            "there is no syncstress-test.cer beside the INF: whose signature is it?",
            &["cargo xtask package --sign test"],
        ));
        return Ok(findings);
    };
    let trust = system.trust(certificate)?;
    let stores = [
        (trust.root, "Root", "a trusted root"),
        (trust.publisher, "TrustedPublisher", "a trusted publisher's"),
    ];
    for (trusted, store, what) in stores {
        if !trusted {
            let command = format!("certutil -addstore {store} \"{}\"", certificate.display());
            findings.push(blocks(
                &format!("the test certificate is not {what}"),
                &[&command],
            ));
        }
    }
    Ok(findings)
}

fn of_device(system: &dyn System) -> Result<Vec<Finding>, SystemError> {
    let devices = system.devices(HARDWARE_ID)?;
    if devices.is_empty() {
        let what = format!("there is no device {HARDWARE_ID}");
        return Ok(vec![blocks(&what, &["syncstress install"])]);
    }
    let mut findings: Vec<_> = devices
        .iter()
        .filter_map(problem)
        .map(|problem| blocks(&problem, &["syncstress status"]))
        .collect();
    let ours = version();
    match system.driver_version() {
        Some(driver) if driver != ours => {
            let [driver, ours] = [driver, ours].map(dotted);
            findings.push(blocks(
                &format!("the driver is version {driver}, and this program {ours}"),
                &["syncstress uninstall", "syncstress install"],
            ));
        }
        None if findings.is_empty() => findings.push(blocks(
            "the driver does not answer",
            &["syncstress stop", "syncstress start"],
        )),
        _ => {}
    }
    Ok(findings)
}

/// A version as people write it.
pub fn dotted([major, minor, patch]: [u16; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

/// This program's version.
pub fn version() -> [u16; 3] {
    let part = |digits: &str| digits.parse().unwrap_or_default();
    [
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    ]
}

fn blocks(what: &str, mend: &[&str]) -> Finding {
    finding(Gravity::Blocks, what, mend)
}

fn notice(what: &str, mend: &[&str]) -> Finding {
    finding(Gravity::Notice, what, mend)
}

fn finding(gravity: Gravity, what: &str, mend: &[&str]) -> Finding {
    Finding {
        gravity,
        what: what.to_owned(),
        mend: mend.iter().map(|&command| command.to_owned()).collect(),
    }
}
