//! Coverage-guided fuzzing of the driver's dispatch, in process, on nthost's kernel.
//!
//! A case is a sequence of requests to a few handles of a driver that was just loaded, with handles
//! closed in between. Each answer has to be one that the protocol allows; afterwards nothing is left
//! behind. What the answers may be is the oracle of the campaign against the driver's image.
#![no_main]

mod blind;
mod case;
mod driver;
#[path = "../../tests/driver_image/oracle.rs"]
#[allow(dead_code, reason = "the campaign asks for the runs that it knows")]
mod oracle;
mod reached;
#[path = "../../tests/driver_image/requests.rs"]
#[allow(dead_code, reason = "the campaign asks a device for the catalogue")]
mod requests;
mod seeds;

use libfuzzer_sys::fuzz_target;
use wdk_sync::testing::at_passive_level;

fuzz_target!(
    init: {
        seeds::write_if_asked();
        blind::try_if_asked();
    },
    |bytes: &[u8]| {
        let steps = case::read(bytes);
        at_passive_level(|irql| driver::carry_out(irql, &steps));
        reached::case_is_over();
    }
);
