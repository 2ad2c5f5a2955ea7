//! What the driver has to put up with: it is to be removed while a run goes on, a run is stopped or its
//! handle closed in every phase, and parameters are at the ends of their ranges.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use nthost::{
    Device, Stop,
    ntddk::{NTSTATUS, STATUS_DEVICE_BUSY},
};
use syncstress::client::{Client, Collected};
use syncstress_protocol::{
    ItemDescriptor, ItemFlags, ItemKind, ParameterDescriptor, ParameterValue, Phase, RunReference,
    Verdict,
};

use super::{open, with_driver};

/// How long anything may take that was told to end.
const SOON: Duration = Duration::from_mins(1);

/// How long after its start a run is stopped, or its handle closed: its workers are being started, wait
/// for each other, or work.
const MOMENTS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_micros(300),
    Duration::from_millis(2),
    Duration::from_millis(20),
    Duration::from_millis(120),
];

fn client() -> Client {
    Client::new(Box::new(open().expect("the device opens"))).expect("the driver answers")
}

fn scenarios(client: &Client) -> Vec<ItemDescriptor> {
    let items = client.items().expect("a list").into_iter();
    items
        .filter(|item| item.kind == ItemKind::Scenario.to_wire())
        .collect()
}

/// Starts a scenario with the values that `choose` has for its parameters.
fn start(
    client: &Client,
    item: &ItemDescriptor,
    choose: impl Fn(&ParameterDescriptor) -> Option<u64>,
) -> RunReference {
    let parameters = client.parameters(item.id).expect("a list");
    let values = parameters.iter().filter_map(|parameter| {
        choose(parameter).map(|value| ParameterValue {
            id: parameter.id,
            reserved: 0,
            value,
        })
    });
    let values: Vec<_> = values.collect();
    let run = client.start(item.id, &values);
    run.unwrap_or_else(|error| panic!("{}: {error}", item.name.as_str()))
}

/// An hour, so that the run ends by nothing but what the test does.
fn for_long(parameter: &ParameterDescriptor) -> Option<u64> {
    (parameter.name.as_str() == "seconds").then_some(3_600)
}

fn collect(client: &Client, run: RunReference) -> Collected {
    let started = Instant::now();
    loop {
        let state = client.progress(run).expect("progress");
        if state.phase == Phase::Finished {
            assert_eq!(state.counts.workers, 0);
            let bytes = state.counts.collect_bytes;
            return client.collect(run, bytes).expect("a result");
        }
        assert!(started.elapsed() < SOON, "{:?}", state.counts);
        sleep(Duration::from_millis(2));
    }
}

/// Says that a scenario did what it is for: a negative control may fail, and nothing else.
fn did_right(item: &ItemDescriptor, collected: &Collected) {
    let fails = item.flags & ItemFlags::EXPECTED_TO_FAIL != 0;
    let right = match collected.verdict {
        Verdict::Stopped | Verdict::Passed => true,
        Verdict::Failed => fails,
        Verdict::Error => false,
    };
    let name = item.name.as_str();
    assert!(right, "{name}: {:?} {}", collected.verdict, collected.log);
}

fn status(result: Result<(), Stop>) -> NTSTATUS {
    match result {
        Err(Stop::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

macro_rules! with_driver {
    ($($(#[doc = $doc:literal])* fn $name:ident($device:ident) $body:block)*) => {
        $($(#[doc = $doc])*
        #[test]
        #[cfg_attr(not(driver_images), ignore = "needs the driver's images: cargo xtask test")]
        fn $name() {
            with_driver(|$device: &Device| $body);
        })*
    };
}

with_driver! {
    fn a_device_with_a_run_is_not_removed(device) {
        let client = client();
        let run = start(&client, &scenarios(&client)[0], for_long);
        for _ in 0..3 {
            assert_eq!(status(device.remove()), STATUS_DEVICE_BUSY);
            assert_eq!(client.progress(run).expect("progress").phase, Phase::Running);
        }
        client.stop(run).expect("it stops");
        assert_eq!(collect(&client, run).verdict, Verdict::Stopped);
        client.close().expect("it closes");
        device.remove().expect("nothing is open any more");
    }

    fn a_device_that_is_gone_takes_its_runs_with_it(device) {
        let clients = [client(), client()];
        for client in &clients {
            for item in scenarios(client).iter().take(1) {
                start(client, item, for_long);
            }
        }
        device.surprise_remove().expect("it goes");
        for client in clients {
            let asked = Instant::now();
            client.close().expect("it closes");
            assert!(asked.elapsed() < SOON);
        }
    }

    fn a_run_can_be_stopped_in_every_phase(_device) {
        let client = client();
        for item in scenarios(&client) {
            for moment in MOMENTS {
                let run = start(&client, &item, for_long);
                sleep(moment);
                for _ in 0..2 {
                    client.stop(run).expect("it stops, and so it does again");
                }
                did_right(&item, &collect(&client, run));
            }
        }
        client.close().expect("it closes");
    }

    fn a_handle_can_be_closed_in_every_phase(_device) {
        let items = scenarios(&client());
        for item in items {
            for moment in MOMENTS {
                let client = client();
                let run = start(&client, &item, for_long);
                sleep(moment);
                if moment.as_millis() % 20 == 2 {
                    client.stop(run).expect("it stops");
                }
                client.close().expect("it closes");
            }
        }
    }

    fn all_parameters_may_be_at_the_ends_of_their_ranges(_device) {
        let client = client();
        for item in scenarios(&client) {
            let end = |parameter: &ParameterDescriptor, is_largest: bool| {
                // Together with the most threads, the most readers would be more than a run may have.
                let is_largest = is_largest && parameter.name.as_str() != "readers";
                Some(if is_largest { parameter.maximum } else { parameter.minimum })
            };
            for is_largest in [false, true] {
                let run = start(&client, &item, |parameter| end(parameter, is_largest));
                sleep(Duration::from_millis(20));
                client.stop(run).expect("it stops");
                did_right(&item, &collect(&client, run));
            }
        }
        client.close().expect("it closes");
    }
}
