//! Loads a driver into the kernel of this process, gives it a device, sends it requests, unloads it,
//! and says what it left behind.

use std::{path::PathBuf, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nthost::{BootError, Config, Device, Kernel, Leaks, Stop};

const EXIT_CODES: &str = "Exit codes:
  0    everything went well
  1    an image, a status or a request failed
  2    the command line is wrong
  3    the driver left something behind
  188  a bug check stopped the kernel";

const FAILED: u8 = 1;
const LEFT_BEHIND: u8 = 3;
const BUG_CHECK: u8 = 188;

/// The command line.
///
/// It is built by hand: what clap's derive macros make would loosen the lints that this workspace
/// forbids to loosen.
fn command() -> Command {
    let path = || value_parser!(PathBuf);
    let switch = |name, help| {
        Arg::new(name)
            .long(name)
            .help(help)
            .action(ArgAction::SetTrue)
    };
    let run = Command::new("run")
        .about("Load a driver, send it the requests that are asked for, and unload it")
        .arg(
            Arg::new("driver")
                .required(true)
                .value_parser(path())
                .help("The driver's image"),
        )
        .arg(
            Arg::new("library")
                .long("library")
                .value_name("IMAGE")
                .action(ArgAction::Append)
                .value_parser(path())
                .help("An image that the driver imports from, such as WDFLDR.SYS; repeatable"),
        )
        .arg(switch(
            "device",
            "Find the driver a device: calls AddDevice and starts it",
        ))
        .arg(
            Arg::new("open")
                .long("open")
                .value_name("NAME")
                .help(r"Open this name, such as \\.\Sample, for the requests"),
        )
        .arg(
            Arg::new("ioctl")
                .long("ioctl")
                .value_name("CODE[:INPUT[:SIZE]]")
                .requires("open")
                .action(ArgAction::Append)
                .value_parser(parse_request)
                .help(
                    "Send a device control request: code, input as hex digits, size of the output \
                     (0x222000:0A0B:64); repeatable",
                ),
        )
        .arg(
            Arg::new("processors")
                .long("processors")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help("How many processors the kernel has"),
        )
        .arg(switch(
            "no-verifier",
            "Check no more than a kernel without Driver Verifier does",
        ))
        .arg(switch(
            "debugger",
            "Pass over break instructions, as a kernel debugger would",
        ));
    Command::new("nthost")
        .about("Runs Windows kernel drivers on Linux, on an NT kernel with a verifier")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run)
}

/// What `nthost run` is to do.
struct Run {
    driver: PathBuf,
    libraries: Vec<PathBuf>,
    device: bool,
    open: Option<String>,
    requests: Vec<Request>,
    processors: Option<u32>,
    verifier: bool,
    debugger: bool,
}

#[derive(Clone)]
struct Request {
    code: u32,
    input: Vec<u8>,
    size: usize,
}

fn parse_request(text: &str) -> Result<Request, String> {
    let mut parts = text.split(':');
    let code = parts.next().unwrap_or_default();
    let code = code
        .strip_prefix("0x")
        .map_or_else(|| code.parse(), |digits| u32::from_str_radix(digits, 16));
    let code = code.map_err(|error| format!("the code: {error}"))?;
    let input = parts.next().unwrap_or_default();
    let size = parts.next().map_or(Ok(0), str::parse);
    let size = size.map_err(|error| format!("the size: {error}"))?;
    Ok(Request {
        code,
        input: bytes(input)?,
        size,
    })
}

fn bytes(digits: &str) -> Result<Vec<u8>, String> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err("the input: two hex digits make a byte".to_owned());
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).map_err(|error| format!("the input: {error}")))
        .collect()
}

fn main() -> ExitCode {
    let mut arguments = command().get_matches();
    let Some(mut arguments) = arguments
        .remove_subcommand()
        .map(|(_, arguments)| arguments)
    else {
        // Cannot be: clap has insisted on a command.
        return ExitCode::from(FAILED);
    };
    match Run::new(&mut arguments).run() {
        Ok(left) if left.is_empty() => ExitCode::SUCCESS,
        Ok(left) => {
            eprintln!("left behind:\n{left}");
            ExitCode::from(LEFT_BEHIND)
        }
        Err(stop) => {
            eprintln!("{stop}");
            ExitCode::from(if stop.bug_check().is_some() {
                BUG_CHECK
            } else {
                FAILED
            })
        }
    }
}

impl Run {
    fn new(arguments: &mut ArgMatches) -> Self {
        Self {
            driver: arguments.remove_one("driver").unwrap_or_default(),
            libraries: arguments
                .remove_many("library")
                .into_iter()
                .flatten()
                .collect(),
            device: arguments.get_flag("device"),
            open: arguments.remove_one("open"),
            requests: arguments
                .remove_many("ioctl")
                .into_iter()
                .flatten()
                .collect(),
            processors: arguments.remove_one("processors"),
            verifier: !arguments.get_flag("no-verifier"),
            debugger: arguments.get_flag("debugger"),
        }
    }

    fn boot(&self) -> Result<Kernel, BootError> {
        let default = Config::default();
        let kernel = Kernel::boot(Config {
            processors: self.processors.unwrap_or(default.processors),
            verifier: self.verifier,
            ..default
        })?;
        if self.debugger {
            kernel.attach_debugger();
        }
        Ok(kernel)
    }

    /// Does everything that is asked for; returns what is left behind.
    fn run(&self) -> Result<Leaks, Stop> {
        let kernel = self.boot()?;
        let mut libraries = Vec::new();
        for path in &self.libraries {
            let library = kernel.load_library(path)?;
            list_missing(library.name(), library.missing_imports());
            libraries.push(library);
        }
        let driver = kernel.load(&self.driver)?;
        list_missing(driver.name(), driver.missing_imports());
        println!("{} is loaded", driver.name());
        let device = if self.device {
            Some(driver.add_device()?)
        } else {
            None
        };
        if let Some(device) = &device {
            println!("{} is started", device.instance_path());
        }
        self.send_requests(kernel)?;
        device.as_ref().map_or(Ok(()), Device::remove)?;
        driver.unload()?;
        while let Some(library) = libraries.pop() {
            library.unload()?;
        }
        Ok(kernel.leaks())
    }

    fn send_requests(&self, kernel: Kernel) -> Result<(), Stop> {
        let Some(name) = &self.open else {
            return Ok(());
        };
        let file = kernel.open(name)?;
        for request in &self.requests {
            let mut output = vec![0; request.size];
            let length = file.ioctl(request.code, &request.input, &mut output)?;
            let output = &output[..length.min(request.size)];
            println!("0x{:08X}: {length} bytes {output:02X?}", request.code);
        }
        file.close()
    }
}

fn list_missing(image: &str, missing: &[String]) {
    for import in missing {
        eprintln!("{image} imports {import}, which this kernel lacks: using it is a bug check");
    }
}
