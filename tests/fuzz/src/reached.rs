//! What all cases together have reached: edges of the driver's code, and answers.

use std::{
    collections::BTreeSet,
    env, fmt, fs, slice,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use syncstress_protocol::{StartRequest, ioctl};
use zerocopy::FromBytes as _;

use crate::requests::Request;

/// After how many cases to say what they have reached, and in which file.
const ASKED: &str = "SYNCSTRESS_FUZZ_REACHED";

/// What was asked for, and what was reached so far.
static REACHED: LazyLock<Option<Mutex<Reached>>> = LazyLock::new(|| {
    let asked = env::var(ASKED).ok()?;
    let (cases, path) = asked.split_once(' ')?;
    Some(Mutex::new(Reached {
        cases: cases.parse().ok()?,
        path: path.to_owned(),
        over: 0,
        edges: vec![false; counters().len()],
        answers: BTreeSet::new(),
        started: BTreeSet::new(),
    }))
});

struct Reached {
    /// After how many it is told.
    cases: u64,
    path: String,
    /// How many are over.
    over: u64,
    /// Which edges were taken.
    edges: Vec<bool>,
    /// Which code was answered with which status.
    answers: BTreeSet<(u32, i32)>,
    /// Which items were started.
    started: BTreeSet<u32>,
}

/// Notes the answer to a request.
pub fn answered(request: &Request, answer: Result<usize, i32>) {
    let Some(reached) = &*REACHED else {
        return;
    };
    let mut reached = reached.lock().expect("no panic");
    reached
        .answers
        .insert((request.code, answer.err().unwrap_or_default()));
    if let (ioctl::START, Ok(_), Ok((start, _))) = (
        request.code,
        answer,
        StartRequest::read_from_prefix(&request.input),
    ) {
        reached.started.insert(start.item);
    }
}

/// Notes that a case is over, and tells what all have reached if it was the last one. Gives whether it was.
///
/// # Panics
/// If that cannot be written.
pub fn case_is_over() -> bool {
    let Some(reached) = &*REACHED else {
        return false;
    };
    let mut reached = reached.lock().expect("no panic");
    for (edge, counter) in reached.edges.iter_mut().zip(counters()) {
        *edge |= counter.load(Relaxed) != 0;
    }
    reached.over += 1;
    if reached.over == reached.cases {
        let text = reached.to_string();
        let path = &reached.path;
        fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    reached.over >= reached.cases
}

/// A line for each thing that was reached.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edges = self.edges.iter().enumerate();
        for (number, _) in edges.filter(|(_, taken)| **taken) {
            writeln!(f, "edge {number}")?;
        }
        // One that no code of the protocol has says nothing.
        let known = |(code, _): &&(u32, i32)| ioctl::ALL.contains(code);
        for (code, status) in self.answers.iter().filter(known) {
            let what = if *status == 0 { "success" } else { "refusal" };
            writeln!(f, "{what} {code:08X} {status:08X}")?;
        }
        for item in &self.started {
            writeln!(f, "started {item}")?;
        }
        Ok(())
    }
}

unsafe extern "C" {
    /// Where the counters of all edges begin, by the linker.
    #[link_name = "__start___sancov_cntrs"]
    static FIRST: AtomicU8;
    /// Where they end.
    #[link_name = "__stop___sancov_cntrs"]
    static END: AtomicU8;
}

/// The counters of all edges, which libFuzzer sets to 0 before a case. What counts does so without
/// atomics, and may lose some; it is not lost that there was one.
fn counters() -> &'static [AtomicU8] {
    let (first, end) = (&raw const FIRST, &raw const END);
    // SAFETY: The linker puts both at the ends of one section, which has a byte for each edge, is there as
    // long as the program, and is written by what is compiled into it alone.
    unsafe { slice::from_raw_parts(first, end.addr() - first.addr()) }
}
