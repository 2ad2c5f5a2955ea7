//! A driver to send requests to, without the program around it.

use std::sync::OnceLock;

use syncstress::{
    client::Client,
    transport::{Images, InProcess, Nthost, Transport},
};

use crate::{Host, images};

/// The driver on this host. It is loaded once for the whole process and stays: there is one kernel
/// in a process.
///
/// # Panics
/// If it cannot be loaded.
#[must_use]
pub fn driver(host: Host) -> &'static dyn Transport {
    static IN_PROCESS: OnceLock<InProcess> = OnceLock::new();
    static NTHOST: OnceLock<Nthost> = OnceLock::new();
    match host {
        Host::InProcess => IN_PROCESS.get_or_init(|| InProcess::load(None).expect("it loads")),
        Host::Nthost => NTHOST.get_or_init(|| {
            let (driver, loader) = images();
            Nthost::load(None, &Images { driver, loader }).expect("it loads")
        }),
    }
}

/// A new handle to the driver on this host.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn open(host: Host) -> Client {
    Client::new(driver(host).open().expect("the device opens")).expect("the driver answers")
}
