//! Requests of any code, size and content, from several threads on shared handles: whatever is in
//! them, nothing panics, nothing stops the kernel, and every run ends with its handle.
#![cfg(not(windows))]

mod common;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use common::{Client, engine, start_request};
use fastrand::Rng;
use syncstress_protocol::{HistogramRequest, PageRequest, RunReference, ioctl};
use wdk_sync::{Status, testing::at_passive_level};
use zerocopy::{FromBytes, IntoBytes};

/// A code, mostly one of the protocol.
fn code(random: &mut Rng) -> u32 {
    if random.u8(..8) == 0 {
        random.u32(..)
    } else {
        ioctl::ALL[random.usize(..ioctl::ALL.len())]
    }
}

/// Bytes without meaning; small numbers, which mean something more often, in every second case.
fn bytes(random: &mut Rng) -> Vec<u8> {
    let largest = if random.bool() { 7 } else { u8::MAX };
    let count = random.usize(..=64);
    (0..count).map(|_| random.u8(..=largest)).collect()
}

/// A request that may be a good one.
fn request(random: &mut Rng, last_run: &AtomicU64) -> (u32, Vec<u8>, usize) {
    let code = code(random);
    let plausible = random.bool();
    let input = match code {
        ioctl::START if plausible => {
            let values = [(1, random.u64(..12)), (3, random.u64(..3))];
            start_request(random.u32(..8), &values[..random.usize(..=2)])
        }
        ioctl::PROGRESS | ioctl::STOP | ioctl::COLLECT if plausible => {
            let run = last_run.load(Ordering::Relaxed);
            RunReference { run }.as_bytes().to_vec()
        }
        ioctl::WORKERS | ioctl::METRICS | ioctl::LIST_RUN_WORKERS if plausible => {
            let run = last_run.load(Ordering::Relaxed);
            let (first, reserved) = (random.u32(..4), random.u32(..2));
            let request = PageRequest {
                run,
                first,
                reserved,
            };
            request.as_bytes().to_vec()
        }
        ioctl::HISTOGRAM if plausible => {
            let request = HistogramRequest {
                run: last_run.load(Ordering::Relaxed),
                worker: random.u32(..6),
                kind: random.u32(..5),
                first: random.u32(..),
                reserved: 0,
            };
            request.as_bytes().to_vec()
        }
        _ => bytes(random),
    };
    (code, input, random.usize(..2048))
}

#[test]
fn nothing_that_is_sent_does_harm() {
    let engine = engine();
    let started = AtomicU64::new(0);
    for round in 1..=3 {
        let client = Client::new(&engine);
        let last_run = AtomicU64::new(0);
        thread::scope(|scope| {
            for sender in 0..3 {
                let (client, last_run, started) = (&client, &last_run, &started);
                scope.spawn(move || {
                    let mut random = Rng::with_seed(round * 3 + sender);
                    for _ in 0..2_000 {
                        let (code, input, output) = request(&mut random, last_run);
                        let Ok(answer) = client.send(code, &input, output) else {
                            continue;
                        };
                        if code == ioctl::START {
                            let run = RunReference::read_from_bytes(&answer).expect("a run");
                            last_run.store(run.run, Ordering::Relaxed);
                            started.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        at_passive_level(|irql| client.0.close(irql));
        let refused = client.start("spinlock", &[]).map(drop);
        assert_eq!(refused, Err(Status::INVALID_DEVICE_STATE));
    }
    assert!(started.into_inner() > 0, "not one request was a good one");
}
