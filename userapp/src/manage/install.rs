//! Installing, removing, starting and stopping the driver.

use std::path::Path;

use super::system::{DISABLED, Device, System, SystemError};

/// The id by which the package finds its device; it is in the INF.
pub const HARDWARE_ID: &str = r"root\SYNCSTRESS";
/// The driver's service; it is in the INF.
pub const SERVICE: &str = "SyncStress";
/// How often the interface is looked for. [`System::pause`] comes between.
const PATIENCE: usize = 50;

/// What was done, in sentences.
pub type Done = Vec<String>;

/// Creates the device if there is none, and installs the package on it.
pub fn install(system: &dyn System, inf: &Path) -> Result<Done, SystemError> {
    demand_elevation(system)?;
    let mut done = Done::new();
    let before = system.devices(HARDWARE_ID)?;
    if before.is_empty() {
        system.create_device(HARDWARE_ID)?;
        done.push(format!("created a device {HARDWARE_ID}"));
    }
    let restart = match system.install(HARDWARE_ID, inf) {
        Ok(restart) => restart,
        Err(error) => {
            if before.is_empty() {
                // The first error is the one to tell; a device without driver is left at worst.
                let _ = remove_devices(system, &mut Done::new());
            }
            return Err(error);
        }
    };
    done.push(format!("installed {}", inf.display()));
    if restart {
        done.push(RESTART.into());
        return Ok(done);
    }
    wait_for_interface(system)?;
    done.push("the driver answers for its device interface".into());
    Ok(done)
}

/// Removes devices, packages and service.
pub fn uninstall(system: &dyn System) -> Result<Done, SystemError> {
    demand_elevation(system)?;
    let mut done = Done::new();
    let mut packages: Vec<_> = system
        .devices(HARDWARE_ID)?
        .into_iter()
        .filter_map(|device| device.package)
        .collect();
    packages.sort();
    packages.dedup();
    let restart = remove_devices(system, &mut done)?;
    for package in packages {
        system.remove_package(&package)?;
        done.push(format!("removed the package {package}"));
    }
    if system.service(SERVICE)?.is_some() {
        system.remove_service(SERVICE)?;
        done.push(format!("removed the service {SERVICE}"));
    }
    if done.is_empty() {
        done.push("there was nothing to remove".into());
    }
    if restart {
        done.push(RESTART.into());
    }
    Ok(done)
}

/// Starts the driver on its devices.
pub fn start(system: &dyn System) -> Result<Done, SystemError> {
    let done = switch(system, true)?;
    wait_for_interface(system)?;
    Ok(done)
}

/// Stops the driver, which unloads it.
pub fn stop(system: &dyn System) -> Result<Done, SystemError> {
    switch(system, false)
}

const RESTART: &str = "the machine has to be restarted: shutdown /r /t 0";

fn switch(system: &dyn System, on: bool) -> Result<Done, SystemError> {
    demand_elevation(system)?;
    let verb = if on { "start" } else { "stop" };
    let devices = system.devices(HARDWARE_ID)?;
    if devices.is_empty() {
        return Err(SystemError {
            what: format!("cannot {verb} the driver"),
            why: "there is no device; `syncstress install` creates it".into(),
        });
    }
    let mut done = Done::new();
    for device in devices {
        let is_on = device.problem != Some(DISABLED);
        if is_on == on {
            done.push(format!("{}: was so already", device.instance));
            continue;
        }
        system.enable(&device, on)?;
        let past = if on { "started" } else { "stopped" };
        done.push(format!("{}: {past}", device.instance));
    }
    Ok(done)
}

fn remove_devices(system: &dyn System, done: &mut Done) -> Result<bool, SystemError> {
    let mut restart = false;
    for device in system.devices(HARDWARE_ID)? {
        restart |= system.remove_device(&device)?;
        done.push(format!("removed the device {}", device.instance));
    }
    Ok(restart)
}

fn demand_elevation(system: &dyn System) -> Result<(), SystemError> {
    if system.machine()?.elevated {
        return Ok(());
    }
    Err(SystemError {
        what: "this changes the system".into(),
        why: "run it in an elevated prompt".into(),
    })
}

fn wait_for_interface(system: &dyn System) -> Result<(), SystemError> {
    for _ in 0..PATIENCE {
        if system.interface_is_there() {
            return Ok(());
        }
        system.pause();
    }
    let problems: Vec<_> = system
        .devices(HARDWARE_ID)?
        .iter()
        .filter_map(problem)
        .collect();
    Err(SystemError {
        what: "the device interface does not appear".into(),
        why: if problems.is_empty() {
            "`syncstress doctor` may know why".into()
        } else {
            problems.join("; ")
        },
    })
}

/// The problem of a device in words.
pub fn problem(device: &Device) -> Option<String> {
    let code = device.problem?;
    let meaning = match code {
        DISABLED => "it is disabled; `syncstress start` enables it",
        28 => "no driver is installed; `syncstress install` installs it",
        31 | 37 | 39 => "the driver did not load or start",
        48 => "Windows blocks the driver",
        52 => "the signature is not accepted; `syncstress doctor` says why",
        _ => "see the Device Manager",
    };
    Some(format!("{}: problem {code}: {meaning}", device.instance))
}
