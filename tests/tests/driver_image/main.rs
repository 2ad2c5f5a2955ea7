//! The driver's image in nthost with the verifier on: a long random campaign of requests, and what it has
//! to put up with. Each test loads the image, and nothing may be left of it afterwards.
#![cfg(not(windows))]

mod campaign;
mod holds_up;
mod oracle;
mod requests;

use std::sync::{Mutex, PoisonError};

use nthost::{Device, File, Kernel, Stop, ntddk::GUID};
use syncstress_protocol::DEVICE_INTERFACE_GUID;
use syncstress_tests::images;

/// Opens the driver's device.
fn open() -> Result<File, Stop> {
    let (data1, data2, data3, data4) = DEVICE_INTERFACE_GUID;
    Kernel::get().open(GUID {
        Data1: data1,
        Data2: data2,
        Data3: data3,
        Data4: data4,
    })
}

/// Runs a test with the driver loaded; afterwards, nothing of it may be left. One at a time: the
/// kernel belongs to the process. The test removes the device, or leaves that to this.
fn with_driver(test: impl FnOnce(&Device)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let kernel = Kernel::get();
    assert!(kernel.config().verifier);
    let before = kernel.leaks();
    let (driver, runtime) = images();
    let runtime = kernel.load_library(runtime).expect("the runtime loads");
    let driver = kernel.load(driver).expect("the driver loads");
    assert_eq!(driver.missing_imports(), [""; 0]);
    let device = driver.add_device().expect("the device starts");
    test(&device);
    match device.remove() {
        Ok(()) | Err(Stop::Status(_)) => {}
        Err(stop) => panic!("{stop}"),
    }
    driver.unload().expect("the driver unloads");
    runtime.unload().expect("the runtime unloads");
    assert_eq!(kernel.leaks(), before);
}
