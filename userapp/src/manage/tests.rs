//! The commands against a system of our own.

use std::{cell::RefCell, path::Path};

use clap::Parser as _;

use super::{
    Answer, carry_out,
    doctor::{self, Gravity, Package},
    exit_of, install, lines,
    system::{Arch, DISABLED, Device, Machine, System, SystemError, Trust},
};
use crate::{cli::Cli, exit::Exit};

/// A Windows that does as it is told and remembers it.
struct Fake {
    machine: Machine,
    trust: Trust,
    devices: RefCell<Vec<Device>>,
    service: RefCell<Option<bool>>,
    /// What `install` says instead of installing.
    refuses: Option<&'static str>,
    /// The problem that every device has once a driver is on it.
    problem: Option<u32>,
    driver_version: Option<[u16; 3]>,
    calls: RefCell<Vec<String>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            machine: Machine {
                build: 26100,
                arch: Arch::Amd64,
                elevated: true,
                test_signing: true,
                secure_boot: false,
                memory_integrity: false,
            },
            trust: Trust {
                root: true,
                publisher: true,
            },
            devices: RefCell::default(),
            service: RefCell::default(),
            refuses: None,
            problem: None,
            driver_version: Some(doctor::version()),
            calls: RefCell::default(),
        }
    }
}

impl Fake {
    fn installed() -> Self {
        let fake = Self::default();
        install::install(&fake, Path::new("a.inf")).expect("it installs");
        fake.calls.borrow_mut().clear();
        fake
    }

    fn call(&self, text: impl Into<String>) {
        self.calls.borrow_mut().push(text.into());
    }
}

impl System for Fake {
    fn machine(&self) -> Result<Machine, SystemError> {
        Ok(self.machine)
    }

    fn trust(&self, _certificate: &Path) -> Result<Trust, SystemError> {
        Ok(self.trust)
    }

    fn devices(&self, hardware_id: &str) -> Result<Vec<Device>, SystemError> {
        assert_eq!(hardware_id, r"root\SYNCSTRESS");
        Ok(self.devices.borrow().clone())
    }

    fn create_device(&self, _hardware_id: &str) -> Result<(), SystemError> {
        self.call("create");
        self.devices.borrow_mut().push(Device {
            instance: r"ROOT\SYSTEM\0001".into(),
            started: false,
            problem: Some(28),
            package: None,
        });
        Ok(())
    }

    fn install(&self, _hardware_id: &str, inf: &Path) -> Result<bool, SystemError> {
        self.call(format!("install {}", inf.display()));
        if let Some(why) = self.refuses {
            return Err(SystemError {
                what: "cannot install".into(),
                why: why.into(),
            });
        }
        for device in self.devices.borrow_mut().iter_mut() {
            device.started = self.problem.is_none();
            device.problem = self.problem;
            device.package = Some("oem7.inf".into());
        }
        *self.service.borrow_mut() = Some(true);
        Ok(false)
    }

    fn remove_device(&self, device: &Device) -> Result<bool, SystemError> {
        self.call(format!("remove {}", device.instance));
        self.devices.borrow_mut().retain(|it| it != device);
        Ok(false)
    }

    fn remove_package(&self, name: &str) -> Result<(), SystemError> {
        self.call(format!("remove {name}"));
        Ok(())
    }

    fn enable(&self, device: &Device, enable: bool) -> Result<(), SystemError> {
        self.call(format!("enable {enable}"));
        for it in self.devices.borrow_mut().iter_mut() {
            if it.instance == device.instance {
                it.started = enable;
                it.problem = (!enable).then_some(DISABLED);
            }
        }
        Ok(())
    }

    fn service(&self, name: &str) -> Result<Option<bool>, SystemError> {
        assert_eq!(name, "SyncStress");
        Ok(*self.service.borrow())
    }

    fn remove_service(&self, _name: &str) -> Result<(), SystemError> {
        self.call("remove service");
        *self.service.borrow_mut() = None;
        Ok(())
    }

    fn interface_is_there(&self) -> bool {
        self.devices.borrow().iter().any(|device| device.started)
    }

    fn driver_version(&self) -> Option<[u16; 3]> {
        self.driver_version.filter(|_| self.interface_is_there())
    }

    fn pause(&self) {}
}

fn run(fake: &Fake, line: &[&str]) -> Result<Answer, SystemError> {
    let line = [&["syncstress"], line].concat();
    let cli = Cli::try_parse_from(line).expect("a command line");
    let crate::cli::Command::Manage(command) = cli.command else {
        panic!("another command");
    };
    carry_out(&command, fake)
}

#[test]
fn install_creates_the_device_once_and_waits_for_the_interface() {
    let fake = Fake::default();
    run(&fake, &["install", "--inf", "/p/a.inf"]).expect("it installs");
    assert_eq!(*fake.calls.borrow(), ["create", "install /p/a.inf"]);
    run(&fake, &["install", "--inf", "/p/a.inf"]).expect("it installs again");
    assert_eq!(fake.calls.borrow().len(), 3, "no second device");
}

#[test]
fn a_package_that_is_refused_leaves_no_device() {
    let fake = Fake {
        refuses: Some("no signature"),
        ..Fake::default()
    };
    let error = run(&fake, &["install", "--inf", "/p/a.inf"]).expect_err("it is refused");
    assert_eq!(error.why, "no signature");
    assert!(fake.devices.borrow().is_empty());
}

#[test]
fn a_driver_that_does_not_start_is_told_with_its_problem() {
    let fake = Fake {
        problem: Some(52),
        ..Fake::default()
    };
    let error = run(&fake, &["install", "--inf", "/p/a.inf"]).expect_err("it does not start");
    assert!(error.why.contains("problem 52"), "{error}");
}

#[test]
fn uninstall_removes_device_package_and_service() {
    let fake = Fake::installed();
    run(&fake, &["uninstall"]).expect("it uninstalls");
    assert_eq!(
        *fake.calls.borrow(),
        [
            r"remove ROOT\SYSTEM\0001",
            "remove oem7.inf",
            "remove service"
        ]
    );
    let again = run(&fake, &["uninstall"]).expect("it does nothing");
    assert_eq!(lines(&again), ["there was nothing to remove"]);
}

#[test]
fn stop_and_start_switch_the_device() {
    let fake = Fake::installed();
    run(&fake, &["stop"]).expect("it stops");
    let status = run(&fake, &["status"]).expect("its status");
    assert_eq!(exit_of(&status), Exit::Unreachable);
    assert!(
        lines(&status).iter().any(|line| line.contains("disabled")),
        "{status:?}"
    );
    run(&fake, &["start"]).expect("it starts");
    let status = run(&fake, &["status"]).expect("its status");
    assert_eq!(exit_of(&status), Exit::Passed);
    run(&fake, &["start"]).expect("it runs already");
    assert_eq!(*fake.calls.borrow(), ["enable false", "enable true"]);
}

#[test]
fn without_elevation_nothing_is_changed() {
    let mut fake = Fake::installed();
    fake.machine.elevated = false;
    for command in ["install", "uninstall", "start", "stop"] {
        let error = run(&fake, &[command]).expect_err("it is refused");
        assert!(error.why.contains("elevated"), "{error}");
    }
    assert!(fake.calls.borrow().is_empty());
}

#[test]
fn without_a_device_there_is_nothing_to_start() {
    let error = run(&Fake::default(), &["start"]).expect_err("there is none");
    assert!(error.why.contains("syncstress install"), "{error}");
}

fn package() -> Package {
    Package {
        arch: Some(Arch::Amd64),
        certificate: Some("test.cer".into()),
    }
}

/// The findings that block, each with the first command that mends it.
fn blocking(fake: &Fake) -> Vec<(String, String)> {
    let findings = doctor::examine(fake, Some(&package())).expect("it examines");
    let blocking = findings
        .into_iter()
        .filter(|finding| finding.gravity == Gravity::Blocks);
    blocking
        .map(|mut finding| (finding.what, finding.mend.remove(0)))
        .collect()
}

#[track_caller]
fn assert_blocked(fake: &Fake, what: &str, mend: &str) {
    let found = blocking(fake);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.contains(what), "{found:?}");
    assert!(found[0].1.contains(mend), "{found:?}");
}

#[test]
fn the_doctor_finds_nothing_where_nothing_is_wrong() {
    let fake = Fake::installed();
    let findings = doctor::examine(&fake, Some(&package())).expect("it examines");
    assert_eq!(findings, []);
    let answer = Answer::Findings(findings);
    assert_eq!(lines(&answer), ["nothing stands in the way"]);
    assert_eq!(exit_of(&answer), Exit::Passed);
}

#[test]
fn the_doctor_names_each_obstacle_and_its_remedy() {
    let with = |change: fn(&mut Fake)| {
        let mut fake = Fake::installed();
        change(&mut fake);
        fake
    };
    let fake = with(|it| it.machine.elevated = false);
    assert_blocked(&fake, "not elevated", "RunAs");
    let fake = with(|it| it.machine.build = 19045);
    assert_blocked(&fake, "KMDF 1.33", "Windows 11");
    let fake = with(|it| it.machine.test_signing = false);
    assert_blocked(&fake, "test signing is off", "bcdedit /set testsigning on");
    let fake = with(|it| {
        it.machine.test_signing = false;
        it.machine.secure_boot = true;
    });
    assert_blocked(&fake, "Secure Boot", "shutdown /r /fw");
    let fake = with(|it| it.machine.arch = Arch::Arm64);
    assert_blocked(&fake, "other processors", "--arch arm64");
    let fake = with(|it| it.trust.root = false);
    assert_blocked(&fake, "not a trusted root", "certutil -addstore Root");
    let fake = with(|it| it.trust.publisher = false);
    assert_blocked(&fake, "publisher", "certutil -addstore TrustedPublisher");
    let fake = with(|it| it.driver_version = Some([9, 8, 7]));
    assert_blocked(&fake, "version 9.8.7", "syncstress uninstall");
    let fake = with(|it| it.driver_version = None);
    assert_blocked(&fake, "does not answer", "syncstress stop");
    let fake = with(|it| it.devices.get_mut().clear());
    assert_blocked(&fake, "no device", "syncstress install");
}

#[test]
fn memory_integrity_alone_is_worth_a_notice() {
    let mut fake = Fake::installed();
    fake.machine.memory_integrity = true;
    assert_eq!(blocking(&fake), []);
    let findings = doctor::examine(&fake, Some(&package())).expect("it examines");
    assert!(findings[0].what.contains("HVCI"), "{findings:?}");
    let mend = &findings[0].mend;
    assert!(mend[0].starts_with("reg add"), "{findings:?}");
    assert_eq!(mend[1], "shutdown /r /t 0");
}

#[test]
fn the_package_is_read_from_its_folder() {
    let folder = std::env::temp_dir().join(format!("syncstress-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let inf = folder.join("syncstress.inf");
    std::fs::write(&inf, "[M]\n%P% = Models, NTarm64.10.0...20348\n").expect("an INF");
    let package = Package::at(&inf).expect("a package");
    assert_eq!(package.arch, Some(Arch::Arm64));
    assert_eq!(package.certificate, None);
    assert!(Package::at(&folder.join("other.inf")).is_none());
    std::fs::remove_dir_all(&folder).expect("it is removed");
}
