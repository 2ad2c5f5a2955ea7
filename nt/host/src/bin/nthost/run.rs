//! `nthost run`: a driver's life, from its image's load to its unload.

use std::{
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use nthost::{BootError, Config, Device, Driver, ImageError, Kernel, Library, Rules, Stop};

use crate::{
    arguments::{Fault, Run, VIEWS},
    outcome::{Failure, Image, Outcome},
    requests,
};

/// Does everything that is asked for.
pub fn run(run: &Run) -> Outcome {
    let printed = capture(run.json);
    let mut outcome = Outcome::default();
    if let Err(failure) = live(run, &mut outcome) {
        outcome.fail(failure);
    }
    let printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.debug_output.push_str(&printed);
    drop(printed);
    outcome
}

/// Sends what drivers print to standard output, or keeps it for the document.
fn capture(keep: bool) -> Arc<Mutex<String>> {
    let printed = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&printed);
    nthost::set_debug_output(move |text| {
        if keep {
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(text);
        } else {
            let mut output = io::stdout().lock();
            // Nobody reads what a pipe was closed to.
            let _ = output.write_all(text.as_bytes());
            let _ = output.flush();
        }
    });
    printed
}

fn boot(run: &Run) -> Result<Kernel, BootError> {
    let default = Config::default();
    let kernel = Kernel::boot(Config {
        processors: run.processors.unwrap_or(default.processors),
        verifier: run.verifier != Rules::NONE,
        rules: run.verifier,
        find_hangs: true,
        ..default
    })?;
    if run.debugger {
        kernel.attach_debugger();
    }
    if let Some(policy) = run.explore {
        kernel.explore(policy, run.seed);
    }
    for fault in &run.faults {
        match fault {
            Fault::Allocation(number) => kernel.fail_allocation(*number),
            Fault::EachAllocation => kernel.fail_allocation(run.fail_allocation.unwrap_or(0)),
            Fault::Time => kernel.be_late(run.seed),
        }
    }
    Ok(kernel)
}

fn live(run: &Run, outcome: &mut Outcome) -> Result<(), Failure> {
    let kernel = boot(run).map_err(Stop::from)?;
    let mut libraries = Vec::new();
    let mut result = load_libraries(run, kernel, outcome, &mut libraries)
        .and_then(|()| with_driver(run, kernel, outcome));
    for library in libraries.into_iter().rev() {
        // What went wrong first is what is told.
        result = result.and_then(|()| Ok(library.unload()?));
    }
    if kernel.bug_check().is_some() {
        show(run, kernel, outcome);
    }
    outcome.allocations = kernel.allocations();
    outcome.failed_function = kernel.failed_function();
    outcome.left_behind = kernel.leaks();
    result
}

fn load_libraries(
    run: &Run,
    kernel: Kernel,
    outcome: &mut Outcome,
    libraries: &mut Vec<Library>,
) -> Result<(), Failure> {
    for path in &run.with {
        let library = kernel.load_library(path).map_err(with_hint)?;
        outcome.add(Image::new(library.name(), library.missing_imports()));
        libraries.push(library);
    }
    Ok(())
}

/// The driver's life. Unless a bug check ends it, the driver is unloaded whatever went wrong.
fn with_driver(run: &Run, kernel: Kernel, outcome: &mut Outcome) -> Result<(), Failure> {
    let prepared = kernel.prepare(&run.driver).map_err(with_hint)?;
    outcome.add(Image::new(prepared.name(), prepared.missing_imports()));
    for value in &run.registry {
        value.set(kernel, prepared.name());
    }
    let driver = prepared.start()?;
    let result = with_device(run, kernel, &driver, outcome);
    let name = driver.name().to_owned();
    if !driver.can_unload() {
        let told = format!("{name} has no unload routine: it stays loaded");
        return result.and(Err(Failure::Told(told)));
    }
    let unloaded = driver.unload();
    result.and_then(|()| Ok(unloaded?))
}

fn with_device(
    run: &Run,
    kernel: Kernel,
    driver: &Driver,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let device = if driver.takes_devices() {
        Some(driver.add_device()?)
    } else {
        None
    };
    let result = send_requests(run, kernel, driver, outcome);
    show(run, kernel, outcome);
    let removed = device.as_ref().map_or(Ok(()), Device::remove);
    result.and_then(|()| Ok(removed?))
}

fn send_requests(
    run: &Run,
    kernel: Kernel,
    driver: &Driver,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    if run.requests.is_empty() {
        return Ok(());
    }
    let name = name_to_open(run, driver)?;
    let (answers, result) = requests::send(kernel, run, &name);
    outcome.answers = answers;
    Ok(result?)
}

/// Takes note of what a kernel debugger would show.
fn show(run: &Run, kernel: Kernel, outcome: &mut Outcome) {
    for (name, view) in VIEWS
        .iter()
        .filter(|view| run.at_end.iter().any(|name| name == view.0))
    {
        outcome.at_end.insert(name, kernel.show(*view));
    }
}

/// The name that the requests go to.
fn name_to_open(run: &Run, driver: &Driver) -> Result<String, Failure> {
    let found = || driver.open_names().into_iter().next();
    run.open.clone().or_else(found).ok_or_else(|| {
        Failure::Told(format!(
            "no name leads to a device of {}: say with --open what the requests go to",
            driver.name()
        ))
    })
}

/// Says how to give what an image imports from.
fn with_hint(stop: Stop) -> Failure {
    match &stop {
        Stop::Image(error @ ImageError::Module { module, .. }) => {
            Failure::Told(format!("{error} (--with {module})"))
        }
        _ => stop.into(),
    }
}
