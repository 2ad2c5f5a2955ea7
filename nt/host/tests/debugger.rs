//! Break instructions with a debugger attached.
#![cfg(not(windows))]

mod support;

use std::sync::{Arc, Mutex};

use nthost::{Kernel, Stop, ntddk::*};
use support::image::driver;

#[test]
fn a_break_instruction_is_reported_and_passed_over() -> Result<(), Stop> {
    let output = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&output);
    nthost::set_debug_output(move |text| sink.lock().expect("a lock").push_str(text));
    let kernel = Kernel::get();
    kernel.attach_debugger();
    let place = driver().result(STATUS_SUCCESS).here();
    let image = driver().result(STATUS_SUCCESS).code(&[0xCC]).ret();
    kernel.load_image("breaks.sys", &image.build())?.unload()?;
    let text = format!("Break instruction at breaks.sys+{place:#x}\n");
    assert_eq!(*output.lock().expect("a lock"), text);
    Ok(())
}
