//! The control codes that ask what a run has measured or holds, and which runs there are.

use alloc::vec::Vec;

use syncstress_protocol::{
    Bucket, HeldObject, HistogramKind, HistogramReply, HistogramRequest, ListRequest, Metric,
    PageRequest, RunInfo, RunReference, WorkerDetail,
};
use wdk_sync::{Irql, Passive, Status};

use crate::{
    Session,
    dispatch::{answer, list},
    limits::RUNS,
    measure::{Histogram, Scale},
    message::{Message, Reply},
    run::Run,
};

impl Session {
    pub(crate) fn list_workers(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let request = page_request(&message)?;
        self.inspect(irql, request.run, |run, _metrics| {
            list_workers_of(run, message, request.first)
        })
    }

    pub(crate) fn list_runs(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let request: ListRequest = message.input()?;
        if request.item != 0 {
            return Err(Status::INVALID_PARAMETER);
        }
        self.registry.look(irql, |runs| {
            // Once, since a run may end while they are counted.
            let mut infos: Vec<RunInfo> = Vec::new();
            infos
                .try_reserve_exact(RUNS as usize)
                .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
            let runs = runs.iter().take(RUNS as usize);
            infos.extend(runs.filter(|run| run.is_under_way()).map(|run| run.info()));
            list(
                message,
                request.first,
                length(&infos),
                infos.iter().copied(),
            )
        })
    }

    pub(crate) fn list_run_workers(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let request = page_request(&message)?;
        self.registry.look(irql, |runs| {
            let run = runs
                .iter()
                .find(|run| run.number() == request.run && run.is_under_way())
                .ok_or(Status::NOT_FOUND)?;
            list_workers_of(run, message, request.first)
        })
    }

    pub(crate) fn list_metrics(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let request = page_request(&message)?;
        self.inspect(irql, request.run, |_run, metrics| {
            let entries = metrics.iter().copied();
            list::<Metric>(message, request.first, length(metrics), entries)
        })
    }

    pub(crate) fn query_held(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let RunReference { run } = message.input()?;
        message.require_room_for::<HeldObject>()?;
        let held = self.held(irql, run)?;
        answer(message, &held)
    }

    pub(crate) fn show_histogram(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let request: HistogramRequest = message.input()?;
        let kind = HistogramKind::from_wire(request.kind)
            .filter(|_| request.reserved == 0)
            .ok_or(Status::INVALID_PARAMETER)?;
        let mut reply = message.reply(size_of::<HistogramReply>() + size_of::<Bucket>())?;
        self.inspect(irql, request.run, |run, _metrics| {
            let histogram = run
                .tallies()
                .get(request.worker as usize)
                .and_then(|tally| tally.histogram(kind))
                .ok_or(Status::NOT_FOUND)?;
            write(histogram, run.clock().scale(), request.first, &mut reply)
        })?;
        Ok(reply.written())
    }
}

/// Writes as many buckets, from position `first` on, as fit. Workers may count meanwhile, so what is
/// written is settled before its number is.
fn write(
    histogram: &Histogram,
    scale: Scale,
    first: u32,
    reply: &mut Reply<'_>,
) -> Result<(), Status> {
    let room = reply.room().saturating_sub(size_of::<HistogramReply>()) / size_of::<Bucket>();
    let mut rest = histogram.ranges(first as usize).skip(room);
    let next = rest.next().map_or(0, |(position, _)| position);
    let until = if next == 0 { usize::MAX } else { next };
    let fitting = || {
        let ranges = histogram.ranges(first as usize);
        ranges
            .take(room)
            .take_while(|(position, _)| *position < until)
    };
    let returned = fitting().count();
    reply.put(&HistogramReply {
        total_ns: scale.nanos(histogram.total()),
        maximum_ns: scale.nanos(histogram.maximum()),
        returned: u32::try_from(returned).unwrap_or(u32::MAX),
        next: u32::try_from(next).unwrap_or(0),
    })?;
    for (_, range) in fitting().take(returned) {
        reply.put(&Bucket {
            lowest_ns: scale.nanos(range.lowest),
            highest_ns: scale.nanos(range.highest),
            count: range.count,
        })?;
    }
    Ok(())
}

fn list_workers_of(run: &Run, message: Message<'_>, first: u32) -> Result<usize, Status> {
    let workers = (0_u32..).zip(run.tallies());
    let details = workers.map(|(index, tally)| tally.detail(index));
    list::<WorkerDetail>(message, first, length(run.tallies()), details)
}

fn page_request(message: &Message<'_>) -> Result<PageRequest, Status> {
    let request: PageRequest = message.input()?;
    if request.reserved != 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    Ok(request)
}

fn length<T>(entries: &[T]) -> u32 {
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}
