//! A bug check comes back from the call in which it happens, and is the end of the kernel.
#![cfg(not(windows))]

mod support;

use nthost::{Kernel, Stop, ntddk::*};
use support::image::driver;

#[test]
fn a_bug_check_is_an_error_of_every_call() {
    let kernel = Kernel::get();
    assert!(kernel.bug_check().is_none());
    let image = driver().code(&[0x0F, 0x0B]).ret().build();
    let stop = kernel
        .load_image("illegal.sys", &image)
        .expect_err("a bug check");
    let report = stop.bug_check().expect("a bug check");
    assert_eq!(report.code, bugcheck::KMODE_EXCEPTION_NOT_HANDLED);
    let text = stop.to_string();
    assert!(
        text.contains("0x0000001E") && text.contains("illegal.sys+0x100e"),
        "{text}"
    );

    let after = kernel.open(r"\\.\Anything").expect_err("a dead kernel");
    assert!(matches!(after, Stop::BugCheck(_)), "{after}");
    assert!(kernel.bug_check().is_some());
    let other_thread = std::thread::spawn(move || kernel.run(|| ()))
        .join()
        .expect("a result");
    assert!(matches!(other_thread, Err(Stop::BugCheck(_))));
}
