//! Loads a driver into the kernel of this process, gives it a device, sends it requests, unloads it,
//! and says what came of it.

mod arguments;
mod campaign;
mod outcome;
mod requests;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    let run = arguments::parse();
    if run.is_campaign() {
        return campaign::run(&run);
    }
    run::run(&run).present(run.json)
}
