//! What the guided fuzzer is held against: as many cases, made without a look at what others reached.

use std::{env, process};

use fastrand::Rng;
use syncstress_protocol::ioctl;
use wdk_sync::testing::at_passive_level;

use crate::{
    case::{self, HANDLES, LONGEST},
    driver, reached,
    requests::Request,
};

/// What cases are made of: `bytes` or `requests`. The program does nothing else then.
const ASKED: &str = "SYNCSTRESS_FUZZ_BLIND";
/// The seed of what is random.
const SEED: u64 = 1;

/// Tries cases until it is told what was reached, if that is what the program was started for.
///
/// # Panics
/// If it is not known what they are to be made of, and if something is found.
pub fn try_if_asked() {
    let Ok(asked) = env::var(ASKED) else {
        return;
    };
    let next = match asked.as_str() {
        "bytes" => any_bytes,
        "requests" => any_requests,
        other => panic!("cases are made of {other}?"),
    };
    let mut random = Rng::with_seed(SEED);
    let mut is_last = false;
    while !is_last {
        let steps = case::read(&next(&mut random));
        at_passive_level(|irql| driver::carry_out(irql, &steps));
        is_last = reached::case_is_over();
    }
    process::exit(0);
}

/// What libFuzzer begins with when it knows nothing.
fn any_bytes(random: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(..=LONGEST)];
    random.fill(&mut bytes);
    bytes
}

/// Requests with codes of the protocol, and numbers of which most are small, as those of the protocol are.
fn any_requests(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..=8) {
        let words = random.usize(..=8);
        let largest = if random.bool() { 0xFF } else { u32::MAX };
        let request = Request {
            code: ioctl::ALL[random.usize(..ioctl::ALL.len())],
            input: (0..words)
                .flat_map(|_| random.u32(..=largest).to_le_bytes())
                .collect(),
            room: random.usize(..4096),
        };
        bytes.extend(case::write(random.usize(..HANDLES), &request));
    }
    bytes
}
