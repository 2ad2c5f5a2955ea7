//! Where libFuzzer begins: requests that the campaign sends, most of them good ones.

use std::{env, fs, iter, path::PathBuf, process};

use fastrand::Rng;
use syncstress_protocol::ioctl;
use wdk_sync::testing::at_passive_level;

use crate::{case, driver, oracle, requests};

/// The folder that seeds are written into; the program does nothing else then.
const FOLDER: &str = "SYNCSTRESS_FUZZ_SEEDS";
/// How many there are.
const SEEDS: u64 = 96;
/// Requests in each.
const REQUESTS: usize = 8;

/// Writes the seeds, if that is what the program was started for.
///
/// # Panics
/// If they cannot be written.
pub fn write_if_asked() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let catalog = at_passive_level(driver::catalog);
    for number in 0..SEEDS {
        let mut random = Rng::with_seed(number);
        // A run that goes on, and what is asked of it: mostly by its number, the first of a driver.
        let mut next = || requests::by_chance(&mut random, catalog, &[1]);
        let start = iter::repeat_with(&mut next)
            .find(|it| it.code == ioctl::START && oracle::may_start(&it.input, catalog));
        let others = iter::repeat_with(&mut next).take(REQUESTS);
        let bytes: Vec<u8> = start
            .into_iter()
            .chain(others)
            .flat_map(|request| case::write(0, &request))
            .collect();
        let path = folder.join(format!("seed-{number:03}"));
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    process::exit(0);
}
