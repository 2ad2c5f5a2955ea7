//! What an answer may be, by the protocol alone: written beside the driver, not from it.

use std::{collections::BTreeSet, sync::Mutex};

use nthost::ntddk::NTSTATUS;
use syncstress_protocol::{
    Bucket, CollectReply, HeldObject, HistogramReply, HistogramRequest, ItemDescriptor, ListReply,
    ListRequest, LockWatch, Metric, PageRequest, ParameterDescriptor, ParameterValue, Progress,
    RunReference, StartRequest, VersionReply, WorkerDetail, ioctl,
};
use zerocopy::FromBytes as _;

use super::requests::{Catalog, Request};

/// Every status of the protocol's refusals, and those of a handle that is being closed.
const REFUSALS: [u32; 11] = [
    0x8000_0011, // DEVICE_BUSY
    0xC000_0004, // INFO_LENGTH_MISMATCH
    0xC000_000D, // INVALID_PARAMETER
    INVALID_DEVICE_REQUEST,
    0xC000_0023, // BUFFER_TOO_SMALL
    0xC000_0044, // QUOTA_EXCEEDED
    0xC000_00BB, // NOT_SUPPORTED
    CANCELLED,
    FILE_CLOSED,
    0xC000_0184, // INVALID_DEVICE_STATE
    0xC000_0225, // NOT_FOUND
];
const INVALID_DEVICE_REQUEST: u32 = 0xC000_0010;
const CANCELLED: u32 = 0xC000_0120;
const FILE_CLOSED: u32 = 0xC000_0128;

/// What is known of the runs of one handle.
#[derive(Default)]
pub struct Runs {
    /// Those that it was told it has.
    started: Mutex<BTreeSet<u64>>,
    /// Those that something was said of.
    answered: Mutex<BTreeSet<u64>>,
}

impl Runs {
    /// Those that it has or had, the last one first.
    pub fn known(&self) -> Vec<u64> {
        let started = self.started.lock().expect("no panic");
        started.iter().rev().take(2).copied().collect()
    }

    /// Remembers that something was said of the run that a request begins with.
    fn answers(&self, input: &[u8]) -> bool {
        let Ok((named, _)) = RunReference::read_from_prefix(input) else {
            return false;
        };
        self.answered.lock().expect("no panic").insert(named.run);
        true
    }

    /// When no request is under way any more: something was said of no run but its own.
    pub fn settle(self) {
        let started = self.started.into_inner().expect("no panic");
        let answered = self.answered.into_inner().expect("no panic");
        let others: Vec<_> = answered.difference(&started).collect();
        assert!(others.is_empty(), "runs that it never had: {others:?}");
    }
}

/// Says what is wrong with an answer.
pub fn check(
    request: &Request,
    answer: Result<usize, NTSTATUS>,
    output: &[u8],
    catalog: &Catalog,
    runs: &Runs,
) -> Result<(), String> {
    match answer {
        Err(status) => {
            let status = status.cast_unsigned();
            if !REFUSALS.contains(&status) {
                return Err(format!("refused with 0x{status:08X}"));
            }
            if output.iter().any(|byte| *byte != FILL) {
                return Err("refused, and bytes written".to_owned());
            }
            let known = ioctl::ALL.contains(&request.code);
            if !known && ![INVALID_DEVICE_REQUEST, CANCELLED, FILE_CLOSED].contains(&status) {
                return Err(format!("an unknown code is refused with 0x{status:08X}"));
            }
            Ok(())
        }
        Ok(written) => {
            if output[written..].iter().any(|byte| *byte != FILL) {
                return Err("more bytes written than said".to_owned());
            }
            let fine = is_right(request, &output[..written], catalog, runs);
            fine.then_some(())
                .ok_or_else(|| "a wrong success".to_owned())
        }
    }
}

/// What output is filled with before.
pub const FILL: u8 = 0xA5;

/// Whether a success with this output is right.
fn is_right(request: &Request, output: &[u8], catalog: &Catalog, runs: &Runs) -> bool {
    let Request { code, input, room } = request;
    let list = |total: Option<usize>, entry| is_list(output, *room, total, first_of(input), entry);
    let of_run = |length| input.len() == length && runs.answers(input);
    match *code {
        ioctl::QUERY_VERSION => input.is_empty() && output.len() == size_of::<VersionReply>(),
        ioctl::QUERY_LOCK_WATCH => input.is_empty() && output.len() == size_of::<LockWatch>(),
        ioctl::LIST_ITEMS => {
            ListRequest::read_from_bytes(input).is_ok_and(|it| it.item == 0)
                && list(Some(catalog.0.len()), size_of::<ItemDescriptor>())
        }
        ioctl::LIST_PARAMETERS => ListRequest::read_from_bytes(input).is_ok_and(|it| {
            let parameters = catalog.parameters(it.item);
            parameters.is_some_and(|its| list(Some(its.len()), size_of::<ParameterDescriptor>()))
        }),
        ioctl::START => {
            let run = RunReference::read_from_bytes(output);
            may_start(input, catalog)
                && run.is_ok_and(|it| runs.started.lock().expect("no panic").insert(it.run))
        }
        ioctl::PROGRESS => {
            of_run(size_of::<RunReference>()) && output.len() == size_of::<Progress>()
        }
        ioctl::QUERY_HELD => {
            of_run(size_of::<RunReference>()) && output.len() == size_of::<HeldObject>()
        }
        ioctl::STOP => of_run(size_of::<RunReference>()) && output.is_empty(),
        ioctl::COLLECT => {
            let reply = CollectReply::read_from_prefix(output);
            of_run(size_of::<RunReference>())
                && reply.is_ok_and(|(it, _)| it.run.to_le_bytes() == input[..8])
        }
        ioctl::WORKERS => of_run(size_of::<PageRequest>()) && list(None, size_of::<WorkerDetail>()),
        ioctl::METRICS => of_run(size_of::<PageRequest>()) && list(None, size_of::<Metric>()),
        ioctl::HISTOGRAM => of_run(size_of::<HistogramRequest>()) && is_histogram(output),
        // Of all runs, which come and go: how long the list is, is all that can be told.
        ioctl::LIST_RUNS | ioctl::LIST_RUN_WORKERS => {
            ListReply::read_from_prefix(output).is_ok_and(|(it, _)| it.returned <= it.total)
        }
        // The lists of a driver that watches its locks, which this one does not.
        _ => false,
    }
}

/// The index that a request for a list begins at: behind the item, or behind the run.
fn first_of(input: &[u8]) -> usize {
    let at = input.len().min(size_of::<PageRequest>()) / 2;
    let first = input.get(at..at + 4).and_then(|it| it.try_into().ok());
    first.map_or(usize::MAX, |it| u32::from_le_bytes(it) as usize)
}

/// Whether as many entries as fit are there, of `total` if that is known.
fn is_list(output: &[u8], room: usize, total: Option<usize>, first: usize, entry: usize) -> bool {
    let Ok((reply, rest)) = ListReply::read_from_prefix(output) else {
        return false;
    };
    let (told, returned) = (reply.total as usize, reply.returned as usize);
    let fitting = (room - size_of::<ListReply>()) / entry;
    total.is_none_or(|total| total == told)
        && first <= told
        && returned == fitting.min(told - first)
        && rest.len() == returned * entry
}

fn is_histogram(output: &[u8]) -> bool {
    let Ok((reply, rest)) = HistogramReply::read_from_prefix(output) else {
        return false;
    };
    let buckets = rest.chunks_exact(size_of::<Bucket>());
    rest.len() == reply.returned as usize * size_of::<Bucket>()
        && buckets
            .map(Bucket::read_from_bytes)
            .all(|bucket| bucket.is_ok_and(|it| it.count > 0 && it.lowest_ns <= it.highest_ns))
}

/// Whether these bytes name an item with values within its ranges.
pub fn may_start(input: &[u8], catalog: &Catalog) -> bool {
    let Ok((request, rest)) = StartRequest::read_from_prefix(input) else {
        return false;
    };
    let Some(parameters) = catalog.parameters(request.item) else {
        return false;
    };
    let count = request.parameters as usize;
    if rest.len() != count * size_of::<ParameterValue>() {
        return false;
    }
    let mut seen = BTreeSet::new();
    rest.chunks_exact(size_of::<ParameterValue>()).all(|value| {
        let Ok(value) = ParameterValue::read_from_bytes(value) else {
            return false;
        };
        let parameter = parameters.iter().find(|it| it.id == value.id);
        value.reserved == 0
            && seen.insert(value.id)
            && parameter.is_some_and(|it| (it.minimum..=it.maximum).contains(&value.value))
    })
}
