//! `nthost run`: a driver's life, from its image's load to its unload.

use std::{
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use nthost::{BootError, Config, Device, Driver, ImageError, Kernel, Library, Stop};

use crate::{
    arguments::{Run, VIEWS},
    outcome::{Failure, Image, Outcome},
    requests,
};

/// Does everything that is asked for.
pub fn run(run: &Run) -> Outcome {
    let printed = capture(run.json);
    let mut outcome = Outcome::default();
    if let Err(failure) = live(run, &mut outcome) {
        outcome.fail(failure);
        if outcome.has_bug_check() {
            show(run, Kernel::get(), &mut outcome);
        }
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
        verifier: run.verifier,
        ..default
    })?;
    if run.debugger {
        kernel.attach_debugger();
    }
    Ok(kernel)
}

fn live(run: &Run, outcome: &mut Outcome) -> Result<(), Failure> {
    let kernel = boot(run).map_err(Stop::from)?;
    let mut libraries = Vec::new();
    for path in &run.with {
        let library = kernel.load_library(path).map_err(with_hint)?;
        outcome.add(Image::new(library.name(), library.missing_imports()));
        libraries.push(library);
    }
    let prepared = kernel.prepare(&run.driver).map_err(with_hint)?;
    outcome.add(Image::new(prepared.name(), prepared.missing_imports()));
    let driver = prepared.start()?;
    let device = if driver.takes_devices() {
        Some(driver.add_device()?)
    } else {
        None
    };
    if !run.requests.is_empty() {
        let name = name_to_open(run, &driver)?;
        let (answers, result) = requests::send(kernel, run, &name);
        outcome.answers = answers;
        result?;
    }
    show(run, kernel, outcome);
    unload(device.as_ref(), driver, libraries)?;
    outcome.left_behind = kernel.leaks();
    Ok(())
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

fn unload(device: Option<&Device>, driver: Driver, libraries: Vec<Library>) -> Result<(), Failure> {
    device.map_or(Ok(()), Device::remove)?;
    let name = driver.name().to_owned();
    if !driver.can_unload() {
        return Err(Failure::Told(format!(
            "{name} has no unload routine: it stays loaded"
        )));
    }
    driver.unload()?;
    for library in libraries.into_iter().rev() {
        library.unload()?;
    }
    Ok(())
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
