//! The commands that change or examine the Windows that this program runs on: install, uninstall,
//! start, stop, status, doctor.
//!
//! What they do is decided here, on the trait [`System`]; `windows` is the one implementation of it
//! that changes anything.

mod doctor;
mod install;
mod system;
#[cfg(test)]
mod tests;
#[cfg(windows)]
mod windows;

use std::{
    env,
    path::{self, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;

pub use self::system::SystemError;
use self::{
    doctor::{Finding, Gravity, Package},
    install::{Done, HARDWARE_ID, SERVICE},
    system::{Device, Machine, System},
};
use crate::{error::Error, exit::Exit, show};

/// What to do with the driver on this Windows.
#[derive(Debug, Subcommand)]
pub enum Manage {
    /// Windows: create the device and install the driver's package on it
    Install {
        /// The package's INF [default: syncstress.inf beside this program]
        #[arg(long, value_name = "PATH")]
        inf: Option<PathBuf>,
    },
    /// Windows: remove device, package and service
    Uninstall,
    /// Windows: start the driver on its device
    Start,
    /// Windows: stop the driver, which unloads it
    Stop,
    /// Windows: show device, package, service and interface
    Status,
    /// Windows: say what stands in the way of the driver, and what mends it
    Doctor {
        /// The package's INF [default: syncstress.inf beside this program]
        #[arg(long, value_name = "PATH")]
        inf: Option<PathBuf>,
    },
}

/// What a command prints as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Done),
    Status(Status),
    Findings(Vec<Finding>),
}

/// What there is of the driver.
#[derive(Debug, Serialize)]
struct Status {
    machine: Machine,
    devices: Vec<Device>,
    /// Whether the service runs, if there is one.
    service: Option<bool>,
    interface: bool,
    driver_version: Option<[u16; 3]>,
}

/// Carries the command out and says how it came out.
pub fn main(command: &Manage, json: bool) -> Exit {
    let result = this_system().and_then(|system| Ok(carry_out(command, &*system)?));
    match result {
        Ok(answer) => {
            if json {
                print_json(&answer);
            } else {
                print(&answer);
            }
            exit_of(&answer)
        }
        Err(error) => {
            show::error(&error);
            error.exit()
        }
    }
}

#[cfg(windows)]
#[allow(
    clippy::unnecessary_wraps,
    reason = "elsewhere there is no system to change"
)]
fn this_system() -> Result<Box<dyn System>, Error> {
    Ok(Box::new(windows::Windows))
}

#[cfg(not(windows))]
fn this_system() -> Result<Box<dyn System>, Error> {
    Err(Error::usage(
        "this is for Windows, where the driver has to be installed",
        "here, nthost loads it: `syncstress stress`".to_owned(),
    ))
}

fn carry_out(command: &Manage, system: &dyn System) -> Result<Answer, SystemError> {
    Ok(match command {
        Manage::Install { inf } => {
            Answer::Done(install::install(system, &inf_path(inf.as_ref())?)?)
        }
        Manage::Uninstall => Answer::Done(install::uninstall(system)?),
        Manage::Start => Answer::Done(install::start(system)?),
        Manage::Stop => Answer::Done(install::stop(system)?),
        Manage::Status => Answer::Status(Status {
            machine: system.machine()?,
            devices: system.devices(HARDWARE_ID)?,
            service: system.service(SERVICE)?,
            interface: system.interface_is_there(),
            driver_version: system.driver_version(),
        }),
        Manage::Doctor { inf } => {
            let package = Package::at(&inf_path(inf.as_ref())?);
            Answer::Findings(doctor::examine(system, package.as_ref())?)
        }
    })
}

/// The INF that was named, or the one beside this program: the whole path, as Windows wants it.
fn inf_path(named: Option<&PathBuf>) -> Result<PathBuf, SystemError> {
    let found = named.map_or_else(
        || Ok(env::current_exe()?.with_file_name("syncstress.inf")),
        path::absolute,
    );
    found.map_err(|error| SystemError {
        what: "cannot find the INF".into(),
        why: error.to_string(),
    })
}

fn exit_of(answer: &Answer) -> Exit {
    let blocked = |finding: &Finding| finding.gravity == Gravity::Blocks;
    match answer {
        Answer::Findings(findings) if findings.iter().any(blocked) => Exit::Failed,
        Answer::Status(status) if !status.interface => Exit::Unreachable,
        _ => Exit::Passed,
    }
}

fn print_json(answer: &Answer) {
    // Numbers, text and lists, all of which JSON has.
    if let Ok(text) = serde_json::to_string_pretty(answer) {
        anstream::println!("{text}");
    }
}

fn print(answer: &Answer) {
    for line in lines(answer) {
        anstream::println!("{line}");
    }
}

fn lines(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Done(done) => done.clone(),
        Answer::Status(status) => status.lines(),
        Answer::Findings(findings) if findings.is_empty() => {
            vec!["nothing stands in the way".to_owned()]
        }
        Answer::Findings(findings) => findings.iter().flat_map(Finding::lines).collect(),
    }
}

impl Finding {
    fn lines(&self) -> Vec<String> {
        let head = match self.gravity {
            Gravity::Blocks => "blocks",
            Gravity::Notice => "notice",
        };
        let mend = self
            .mend
            .iter()
            .map(|command| format!("          {command}"));
        std::iter::once(format!("{head}:   {}", self.what))
            .chain(mend)
            .collect()
    }
}

impl Status {
    fn lines(&self) -> Vec<String> {
        let yes = |is: bool| if is { "yes" } else { "no" };
        let mut lines = vec![format!("Windows build:  {}", self.machine.build)];
        if self.devices.is_empty() {
            lines.push("device:         none; `syncstress install` creates it".to_owned());
        }
        for device in &self.devices {
            let package = device.package.as_deref().unwrap_or("no package");
            let state = if device.started {
                "started"
            } else {
                "not started"
            };
            lines.push(format!(
                "device:         {}, {state}, {package}",
                device.instance
            ));
            lines.extend(install::problem(device).map(|it| format!("                {it}")));
        }
        let service = match self.service {
            Some(true) => "runs",
            Some(false) => "stopped",
            None => "none",
        };
        lines.push(format!("service:        {service}"));
        lines.push(format!("interface:      {}", yes(self.interface)));
        let version = self.driver_version.map(doctor::dotted);
        let version = version.unwrap_or_else(|| "does not answer".to_owned());
        lines.push(format!("driver:         {version}"));
        lines
    }
}
