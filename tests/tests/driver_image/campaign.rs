//! The campaign: requests of all codes, sizes and contents, from several threads on several handles
//! that come and go meanwhile. No bug check, no leak, no wrong success.
//!
//! `SYNCSTRESS_CAMPAIGN_REQUESTS` says how many, `SYNCSTRESS_CAMPAIGN_SEED` which: what each thread does
//! follows from the seed and from what it was answered; how the threads interleave does not.

use std::{
    env,
    fmt::Display,
    str::FromStr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use fastrand::Rng;
use nthost::{File, Stop};

use super::{
    open,
    oracle::{self, Runs},
    requests::{self, Catalog},
    with_driver,
};

const THREADS: u64 = 6;
const HANDLES: usize = 4;
/// One request in so many is followed by a handle being closed and opened anew.
const CLOSED_EVERY: u32 = 2_000;

/// A handle, and what is known of its runs.
struct Open {
    file: File,
    runs: Runs,
}

impl Open {
    fn new() -> Arc<Self> {
        let file = open().expect("the device opens");
        let runs = Runs::default();
        Arc::new(Self { file, runs })
    }
}

fn setting<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    env::var(name).map_or(default, |value| {
        let value = value.parse();
        value.unwrap_or_else(|error| panic!("{name}: {error}"))
    })
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    granted: AtomicU64,
    started: AtomicU64,
    closed: AtomicU64,
}

#[test]
#[cfg_attr(
    not(driver_images),
    ignore = "needs the driver's images: cargo xtask test"
)]
fn nothing_that_is_sent_does_harm() {
    let requests: u64 = setting("SYNCSTRESS_CAMPAIGN_REQUESTS", 100_000);
    let seed: u64 = setting("SYNCSTRESS_CAMPAIGN_SEED", 1);
    println!("{requests} requests, seed {seed}");
    let counts = Counts::default();
    let started = Instant::now();
    with_driver(|_device| {
        let handles: Vec<_> = (0..HANDLES).map(|_| RwLock::new(Open::new())).collect();
        let first = handles[0].read().expect("no panic").clone();
        let catalog = Catalog::ask(&first.file);
        drop(first);
        thread::scope(|scope| {
            for index in 0..THREADS {
                let share = requests / THREADS + u64::from(index < requests % THREADS);
                let (handles, catalog, counts) = (&handles, &catalog, &counts);
                scope.spawn(move || {
                    let random = Rng::with_seed(seed.wrapping_mul(THREADS).wrapping_add(index));
                    send(random, share, handles, catalog, counts);
                });
            }
        });
        for handle in handles {
            close(handle.into_inner().expect("no panic"));
        }
    });
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} requests in {:.1} s: {} granted, {} runs started, {} handles closed",
        count(&counts.sent),
        started.elapsed().as_secs_f64(),
        count(&counts.granted),
        count(&counts.started),
        count(&counts.closed),
    );
    assert_eq!(count(&counts.sent), requests);
    for count in [&counts.granted, &counts.started, &counts.closed] {
        assert_ne!(
            count.load(Ordering::Relaxed),
            0,
            "it sees nothing of the driver"
        );
    }
}

/// What one thread does.
fn send(
    mut random: Rng,
    requests: u64,
    handles: &[RwLock<Arc<Open>>],
    catalog: &Catalog,
    counts: &Counts,
) {
    let mut output = Vec::new();
    for number in 0..requests {
        let handle = &handles[random.usize(..handles.len())];
        let open = handle.read().expect("no panic").clone();
        let request = requests::by_chance(&mut random, catalog, &open.runs.known());
        output.clear();
        output.resize(request.room, oracle::FILL);
        let answer = match open.file.ioctl(request.code, &request.input, &mut output) {
            Ok(written) => Ok(written),
            Err(Stop::Status(status)) => Err(status),
            Err(stop) => panic!("request {number}, {request:?}: {stop}"),
        };
        let checked = oracle::check(&request, answer, &output, catalog, &open.runs);
        if let Err(what) = checked {
            panic!("request {number}, {request:?}, {answer:X?}: {what}");
        }
        counts.sent.fetch_add(1, Ordering::Relaxed);
        if answer.is_ok() {
            counts.granted.fetch_add(1, Ordering::Relaxed);
            let is_start = request.code == syncstress_protocol::ioctl::START;
            counts.started.fetch_add(is_start.into(), Ordering::Relaxed);
        }
        settle(open);
        if random.u32(..CLOSED_EVERY) == 0 {
            let mut place = handle.write().expect("no panic");
            let old = std::mem::replace(&mut *place, Open::new());
            drop(place);
            old.file.close().expect("it closes");
            counts.closed.fetch_add(1, Ordering::Relaxed);
            settle(old);
        }
    }
}

fn close(open: Arc<Open>) {
    open.file.close().expect("it closes");
    settle(open);
}

/// The last one to have the handle looks whether its answers were right.
fn settle(open: Arc<Open>) {
    if let Some(open) = Arc::into_inner(open) {
        open.runs.settle();
    }
}
