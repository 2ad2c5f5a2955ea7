//! Loads a driver into the kernel of this process, gives it a device, sends it requests, unloads it,
//! and says what came of it.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod arguments;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod campaign;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod outcome;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod registry;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod requests;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod run;

use std::process::ExitCode;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn main() -> ExitCode {
    let run = arguments::parse();
    match run.campaign() {
        Some(arguments::Campaign::Allocations) => return campaign::allocations(&run),
        Some(arguments::Campaign::Schedules) => return campaign::schedules(&run),
        None => {}
    }
    run::run(&run).present(run.json)
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn main() -> ExitCode {
    eprintln!("nthost runs x64 kernel code natively: it needs an x86-64 Linux machine");
    ExitCode::FAILURE
}
