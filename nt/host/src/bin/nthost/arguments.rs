//! The command line.

use std::{fs, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};
use nthost::{Policy, Rules, View};

use crate::registry::RegistryValue;

const EXIT_CODES: &str = "Exit codes:
  0    everything went well
  1    an image, a status or a request failed
  2    the command line is wrong
  3    the driver left something behind
  188  a bug check stopped the kernel";

/// What can be shown at the end.
pub const VIEWS: [(&str, View); 4] = [
    ("locks", View::Locks),
    ("all-locks", View::AllLocks),
    ("mutexes", View::Mutexes),
    ("timers", View::Timers),
];

/// What `nthost run` is to do.
pub struct Run {
    pub driver: PathBuf,
    /// Images that the driver imports from, in the order in which they are loaded.
    pub with: Vec<PathBuf>,
    /// The name to open for the requests, if it is not for nthost to find.
    pub open: Option<String>,
    pub requests: Vec<Request>,
    pub threads: u32,
    /// How often each thread sends the requests.
    pub repeat: u32,
    pub processors: Option<u32>,
    pub verifier: Rules,
    /// What the driver finds in the registry.
    pub registry: Vec<RegistryValue>,
    pub debugger: bool,
    pub faults: Vec<Fault>,
    /// Which allocation fails in this run of a campaign.
    pub fail_allocation: Option<u64>,
    /// In how many runs of a campaign at most an allocation fails.
    pub most_runs: Option<u64>,
    pub seed: u64,
    /// How threads take turns, if they run one at a time.
    pub explore: Option<Policy>,
    /// How many schedules are tried.
    pub schedules: u64,
    /// What to show before the driver is unloaded, or when a bug check has stopped the kernel.
    pub at_end: Vec<String>,
    pub json: bool,
}

/// What is to go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One allocation fails.
    Allocation(u64),
    /// Each allocation fails, in a run of its own.
    EachAllocation,
    /// Timers and threads are late.
    Time,
}

/// Runs that one run starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// One for each allocation.
    Allocations,
    /// One for each schedule.
    Schedules,
}

/// A device control request.
pub struct Request {
    pub code: u32,
    pub input: Vec<u8>,
    /// The size of the output buffer.
    pub size: usize,
}

/// The command line.
///
/// It is built by hand: what clap's derive macros make would loosen the lints that this workspace
/// forbids to loosen.
fn command() -> Command {
    let run = Command::new("run")
        .about("Load a driver, send it the requests that are asked for, and unload it")
        .args(images())
        .args(requests())
        .args(kernel())
        .args(faults())
        .after_help(rules());
    Command::new("nthost")
        .about("Runs Windows kernel drivers on Linux, on an NT kernel with a verifier")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run)
}

/// The names of rules and what they check.
fn rules() -> String {
    let groups = Rules::groups().map(|(name, text)| format!("\n  {name:<9} {text}"));
    let groups: String = groups.collect();
    format!(
        "Rules of the verifier:{groups}\n  all       All of these\n  default   All but pool, which costs time and \
         memory\n  none      None of these"
    )
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    let action = ArgAction::SetTrue;
    Arg::new(name).long(name).help(help).action(action)
}

fn images() -> [Arg; 2] {
    let with = "An image that the driver imports from, such as WDFLDR.SYS; repeatable";
    [
        Arg::new("driver")
            .value_name("DRIVER.sys")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("The driver's image"),
        option("with", "OTHER.sys", with)
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf)),
    ]
}

fn requests() -> [Arg; 6] {
    let open = r"Open this name, such as \\.\Sample, for the requests [default: the first name that leads to a device of the driver]";
    let count = || value_parser!(u32).range(1..=10_000_000);
    [
        option("open", "NAME", open),
        option(
            "ioctl",
            "CODE",
            "Send a device control request, such as 0x222000; repeatable",
        )
        .action(ArgAction::Append)
        .value_parser(parse_number),
        option(
            "in",
            "FILE|HEX",
            "The input of the request before: a file, or bytes such as 0A0B0C",
        )
        .action(ArgAction::Append)
        .requires("ioctl")
        .value_parser(parse_input),
        option(
            "out",
            "N",
            "The size of the output buffer of the request before, in bytes [default: 0]",
        )
        .action(ArgAction::Append)
        .requires("ioctl")
        .value_parser(value_parser!(u32)),
        option(
            "threads",
            "N",
            "How many threads send the requests at once, each on a file of its own",
        )
        .default_value("1")
        .value_parser(value_parser!(u32).range(1..=1024)),
        option("repeat", "N", "How often each thread sends the requests")
            .default_value("1")
            .value_parser(count()),
    ]
}

fn kernel() -> [Arg; 6] {
    [
        option(
            "processors",
            "N",
            "How many processors the kernel has, 1 to 64 [default: as the host, at least 4]",
        )
        .value_parser(value_parser!(u32).range(1..=64)),
        option(
            "verifier",
            "RULES",
            "Which rules are checked beyond those of a kernel without Driver Verifier: names as below, with commas \
             between them; one with a - before it is left out",
        )
        .default_value("default")
        .allow_hyphen_values(true)
        .value_parser(str::parse::<Rules>),
        option(
            "registry",
            r"KEY\NAME=TYPE:DATA",
            "Set a value of the registry before the driver starts, such as Parameters\\Depth=dword:3. A key that does \
              not begin with \\Registry is one below that of the driver. Types: dword, qword, sz, multi_sz (one,two), \
              binary (0A0B); repeatable",
        )
        .action(ArgAction::Append)
        .value_parser(str::parse::<RegistryValue>),
        switch(
            "debugger",
            "Pass over break instructions, as a kernel debugger would",
        ),
        option(
            "at-end",
            "VIEW",
            "Show what WinDbg would, before the driver is unloaded or after a bug check; repeatable",
        )
        .action(ArgAction::Append)
        .value_delimiter(',')
        .value_parser(PossibleValuesParser::new(VIEWS.map(|view| view.0))),
        switch("json", "Print one JSON document when all is done"),
    ]
}

fn faults() -> [Arg; 6] {
    [
        option(
            "fault",
            "FAULT",
            "What is to go wrong: alloc=N (allocation N fails), alloc=each (each does, in a run of its own), \
             time (timers and threads are late); repeatable",
        )
        .action(ArgAction::Append)
        .value_parser(parse_fault),
        option("fail-allocation", "N", "As alloc=N, in a run of alloc=each")
            .hide(true)
            .value_parser(value_parser!(u64)),
        option(
            "most-runs",
            "N",
            "Do at most so many runs of alloc=each, spread evenly over the allocations",
        )
        .value_parser(value_parser!(u64).range(1..)),
        option(
            "explore",
            "POLICY",
            "Run one thread at a time, and let chance decide at each call of the kernel which: random, or pct \
             (by priorities that change now and then) [default: random]",
        )
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("random")
        .value_parser(PossibleValuesParser::new(["random", "pct"])),
        option(
            "schedules",
            "N",
            "How many schedules to try, each in a run of its own with the next seed, until one goes wrong",
        )
        .default_value("1")
        .overrides_with("schedules")
        .value_parser(value_parser!(u64).range(1..)),
        option("seed", "N", "What the choices of chance begin with: the same seed, the same schedule")
            .default_value("0")
            .overrides_with("seed")
            .value_parser(value_parser!(u64)),
    ]
}

/// Reads the command line; a wrong one ends the program.
pub fn parse() -> Run {
    let mut command = command();
    let matches = command.get_matches_mut();
    let Some(("run", arguments)) = matches.subcommand() else {
        unreachable!("clap has insisted on a command");
    };
    let requests = pair(arguments).unwrap_or_else(|message| {
        command
            .error(clap::error::ErrorKind::MissingRequiredArgument, message)
            .exit()
    });
    Run::new(arguments, requests)
}

impl Run {
    fn new(arguments: &ArgMatches, requests: Vec<Request>) -> Self {
        let number = |name| arguments.get_one::<u32>(name).copied();
        let paths = |name| arguments.get_many::<PathBuf>(name).into_iter().flatten();
        Self {
            driver: paths("driver").next().cloned().unwrap_or_default(),
            with: paths("with").cloned().collect(),
            open: arguments.get_one("open").cloned(),
            requests,
            threads: number("threads").unwrap_or(1),
            repeat: number("repeat").unwrap_or(1),
            processors: number("processors"),
            verifier: arguments.get_one("verifier").copied().unwrap_or_default(),
            registry: arguments
                .get_many("registry")
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            debugger: arguments.get_flag("debugger"),
            faults: arguments
                .get_many("fault")
                .into_iter()
                .flatten()
                .copied()
                .collect(),
            fail_allocation: arguments.get_one("fail-allocation").copied(),
            most_runs: arguments.get_one("most-runs").copied(),
            explore: arguments
                .get_one::<String>("explore")
                .map(|policy| match policy.as_str() {
                    "pct" => Policy::Pct,
                    _ => Policy::Random,
                }),
            schedules: arguments.get_one("schedules").copied().unwrap_or(1),
            seed: arguments.get_one("seed").copied().unwrap_or_default(),
            at_end: arguments
                .get_many("at-end")
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            json: arguments.get_flag("json"),
        }
    }
}

impl Run {
    /// What further runs this one is to start.
    pub fn campaign(&self) -> Option<Campaign> {
        if self.fail_allocation.is_some() {
            None
        } else if self.faults.contains(&Fault::EachAllocation) {
            Some(Campaign::Allocations)
        } else if self.schedules > 1 {
            Some(Campaign::Schedules)
        } else {
            None
        }
    }
}

/// Makes the requests: each has the `--in` and `--out` between its `--ioctl` and the next one.
fn pair(arguments: &ArgMatches) -> Result<Vec<Request>, String> {
    let places = |name| arguments.indices_of(name).into_iter().flatten();
    let codes = arguments.get_many::<u32>("ioctl").into_iter().flatten();
    let starts: Vec<usize> = places("ioctl").collect();
    let mut requests: Vec<Request> = codes
        .map(|&code| Request {
            code,
            input: Vec::new(),
            size: 0,
        })
        .collect();
    let owner = |name, place: usize| {
        let before = starts.iter().filter(|&&start| start < place).count();
        let owner = before.checked_sub(1);
        owner.ok_or_else(|| format!("--{name} belongs to the --ioctl before it, and there is none"))
    };
    let inputs = arguments.get_many::<Vec<u8>>("in").into_iter().flatten();
    for (place, input) in places("in").zip(inputs) {
        requests[owner("in", place)?].input.clone_from(input);
    }
    let sizes = arguments.get_many::<u32>("out").into_iter().flatten();
    for (place, &size) in places("out").zip(sizes) {
        requests[owner("out", place)?].size = size as usize;
    }
    Ok(requests)
}

fn parse_number(text: &str) -> Result<u32, String> {
    let code = number(text).and_then(|number| number.try_into().ok());
    code.ok_or_else(|| "a control code is a number such as 0x222000, of 32 bits".to_owned())
}

/// A number in decimal, or after 0x in hex.
pub fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    digits
        .map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16))
        .ok()
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    match text.split_once('=') {
        None if text == "time" => Ok(Fault::Time),
        Some(("alloc", "each")) => Ok(Fault::EachAllocation),
        Some(("alloc", number)) => match number.parse() {
            Ok(number) if number > 0 => Ok(Fault::Allocation(number)),
            _ => Err("allocations are counted from 1".to_owned()),
        },
        _ => Err("a fault is alloc=N, alloc=each or time".to_owned()),
    }
}

/// The contents of a file, if there is one of that name, or the bytes that the digits say.
fn parse_input(text: &str) -> Result<Vec<u8>, String> {
    match fs::read(text) {
        Ok(contents) => Ok(contents),
        Err(error) => bytes(text).ok_or_else(|| {
            format!("as a file: {error}; as bytes: two hex digits make one, and nothing else may be there")
        }),
    }
}

/// The bytes that hex digits say.
pub fn bytes(digits: &str) -> Option<Vec<u8>> {
    let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !valid || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}
