//! The protocol in types, on any transport.
//!
//! Each method is one control code. What comes back is checked before it is given on: its size, the
//! counts in it against the bytes that came, the numbers that must be members of an enumeration.

use syncstress_protocol::{
    Bucket, CollectReply, HistogramKind, HistogramReply, HistogramRequest, ItemDescriptor,
    ListReply, ListRequest, Metric, PROTOCOL_MAJOR, PageRequest, ParameterDescriptor,
    ParameterValue, Phase, Progress, RunInfo, RunReference, StartRequest, Verdict, VersionReply,
    WorkerDetail, WorkerReport, ioctl,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::{
    status::NtStatus,
    transport::{Handle, TransportError},
};

mod held;
mod locks;
#[cfg(test)]
mod tests;

/// Room for one page of a list.
const PAGE_BYTES: usize = 16 * 1024;
/// More entries than any catalogue has: a total beyond it is nonsense.
const MOST_ENTRIES: u32 = 65_536;
/// More bytes than any result has.
const MOST_COLLECT_BYTES: u32 = 64 << 20;
/// From this minor version of the protocol on, a driver tells what its runs measure.
const MEASURES_FROM_MINOR: u16 = 1;
/// From this one on, it tells of the runs of all handles.
const SEES_ALL_RUNS_FROM_MINOR: u16 = 2;

/// Why the driver did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request did not get an answer, or an error status.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer breaks the protocol.
    #[error("the driver's answer to {request} breaks the protocol: {why}")]
    Protocol {
        /// The control code's name.
        request: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// The driver speaks another protocol.
    #[error("the driver speaks protocol {major}.{minor}, this program {PROTOCOL_MAJOR}.x")]
    Version {
        /// The driver's major protocol version.
        major: u16,
        /// The driver's minor protocol version.
        minor: u16,
    },
}

impl ClientError {
    fn protocol(request: &'static str, why: impl Into<String>) -> Self {
        Self::Protocol {
            request,
            why: why.into(),
        }
    }

    /// The status with which the driver refused, if that is what happened.
    #[must_use]
    pub const fn refusal(&self) -> Option<NtStatus> {
        match self {
            Self::Transport(TransportError::Refused(status)) => Some(*status),
            _ => None,
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct RunState {
    /// Where it stands.
    pub phase: Phase,
    /// The driver's counts.
    pub counts: Progress,
}

/// The result of a run, as the driver gave it.
#[derive(Clone, Debug)]
pub struct Collected {
    /// How it came out.
    pub verdict: Verdict,
    /// The counts of the whole run.
    pub summary: CollectReply,
    /// What each worker did.
    pub workers: Vec<WorkerReport>,
    /// What the run wrote.
    pub log: String,
}

/// A histogram of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The sum of all values, in nanoseconds.
    pub total_ns: u64,
    /// The largest value, in nanoseconds.
    pub maximum_ns: u64,
    /// The buckets that are not empty, in the order of their values.
    pub buckets: Vec<Bucket>,
}

/// One handle to the driver, and what the driver said of itself.
pub struct Client {
    handle: Box<dyn Handle>,
    version: VersionReply,
}

impl Client {
    /// Asks the driver for its version, and refuses one that speaks another protocol.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn new(handle: Box<dyn Handle>) -> Result<Self, ClientError> {
        let mut client = Self {
            handle,
            version: VersionReply::new_zeroed(),
        };
        client.version = client.ask("QUERY_VERSION", ioctl::QUERY_VERSION, &[])?;
        let VersionReply {
            protocol_major: major,
            protocol_minor: minor,
            ..
        } = client.version;
        if major == PROTOCOL_MAJOR {
            Ok(client)
        } else {
            Err(ClientError::Version { major, minor })
        }
    }

    /// What the driver says of itself.
    #[must_use]
    pub const fn version(&self) -> &VersionReply {
        &self.version
    }

    /// The handle, for requests that are not the protocol's.
    #[must_use]
    pub fn handle(&self) -> &dyn Handle {
        &*self.handle
    }

    /// Everything that the driver can run.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn items(&self) -> Result<Vec<ItemDescriptor>, ClientError> {
        self.list("LIST_ITEMS", ioctl::LIST_ITEMS, of_item(0))
    }

    /// The parameters of the item with this id.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn parameters(&self, item: u32) -> Result<Vec<ParameterDescriptor>, ClientError> {
        self.list("LIST_PARAMETERS", ioctl::LIST_PARAMETERS, of_item(item))
    }

    /// Whether the driver tells what its runs measure: [`workers`](Self::workers),
    /// [`histogram`](Self::histogram), [`metrics`](Self::metrics). One from before the protocol's
    /// version 1.1 does not.
    #[must_use]
    pub const fn measures(&self) -> bool {
        self.version.protocol_minor >= MEASURES_FROM_MINOR
    }

    /// What each worker of a run that was not collected has done so far.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn workers(&self, run: RunReference) -> Result<Vec<WorkerDetail>, ClientError> {
        self.list("WORKERS", ioctl::WORKERS, of_run(run))
    }

    /// Figures of a run that has ended and was not collected.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn metrics(&self, run: RunReference) -> Result<Vec<Metric>, ClientError> {
        self.list("METRICS", ioctl::METRICS, of_run(run))
    }

    /// A histogram of a worker of a run that was not collected; none if the worker has no such one.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn histogram(
        &self,
        run: RunReference,
        worker: u32,
        kind: HistogramKind,
    ) -> Result<Option<Histogram>, ClientError> {
        let mut histogram = Histogram::default();
        let mut first = 0;
        loop {
            let request = HistogramRequest {
                run: run.run,
                worker,
                kind: kind.to_wire(),
                first,
                reserved: 0,
            };
            let reply = match self.histogram_page(&request, &mut histogram) {
                Err(error) if error.refusal() == Some(NtStatus::NOT_FOUND) => return Ok(None),
                reply => reply?,
            };
            if reply.next == 0 {
                histogram.total_ns = reply.total_ns;
                histogram.maximum_ns = reply.maximum_ns;
                return Ok(Some(histogram));
            }
            if reply.next <= first {
                let why = format!("page {} after page {first}", reply.next);
                return Err(ClientError::protocol("HISTOGRAM", why));
            }
            first = reply.next;
        }
    }

    /// Adds one page to `histogram`.
    fn histogram_page(
        &self,
        request: &HistogramRequest,
        histogram: &mut Histogram,
    ) -> Result<HistogramReply, ClientError> {
        const NAME: &str = "HISTOGRAM";
        let mut page = vec![0; PAGE_BYTES];
        let bytes = self.send(NAME, ioctl::HISTOGRAM, request.as_bytes(), &mut page)?;
        let (reply, rest) = HistogramReply::read_from_prefix(bytes)
            .map_err(|_| wrong_size(NAME, bytes.len(), size_of::<HistogramReply>()))?;
        let buckets: Vec<Bucket> = read_entries(NAME, rest, reply.returned)?;
        histogram.buckets.extend(buckets);
        Ok(reply)
    }

    /// Starts a run of the item with this id.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn start(&self, item: u32, values: &[ParameterValue]) -> Result<RunReference, ClientError> {
        const NAME: &str = "START";
        let parameters = u32::try_from(values.len())
            .map_err(|_| ClientError::protocol(NAME, "too many parameters"))?;
        let mut input = StartRequest { item, parameters }.as_bytes().to_vec();
        input.extend_from_slice(values.as_bytes());
        let run: RunReference = self.ask(NAME, ioctl::START, &input)?;
        if run.run == 0 {
            return Err(ClientError::protocol(NAME, "run 0"));
        }
        Ok(run)
    }

    /// How far a run has come.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn progress(&self, run: RunReference) -> Result<RunState, ClientError> {
        const NAME: &str = "PROGRESS";
        let counts: Progress = self.ask(NAME, ioctl::PROGRESS, run.as_bytes())?;
        let phase = Phase::from_wire(counts.phase)
            .ok_or_else(|| ClientError::protocol(NAME, format!("phase {}", counts.phase)))?;
        Ok(RunState { phase, counts })
    }

    /// Whether the driver tells of the runs of all handles. One from before the protocol's version 1.2
    /// does not.
    #[must_use]
    pub const fn sees_all_runs(&self) -> bool {
        self.version.protocol_minor >= SEES_ALL_RUNS_FROM_MINOR
    }

    /// The runs of all handles that go on, the oldest first.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn runs(&self) -> Result<Vec<RunInfo>, ClientError> {
        self.list("LIST_RUNS", ioctl::LIST_RUNS, of_item(0))
    }

    /// What each worker of a run of whichever handle has done so far.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn workers_of_any(&self, run: RunReference) -> Result<Vec<WorkerDetail>, ClientError> {
        self.list("LIST_RUN_WORKERS", ioctl::LIST_RUN_WORKERS, of_run(run))
    }

    /// Asks a run to end; returns at once.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn stop(&self, run: RunReference) -> Result<(), ClientError> {
        self.handle.ioctl(ioctl::STOP, run.as_bytes(), &mut [])?;
        Ok(())
    }

    /// Takes the result of a run whose [`Progress::collect_bytes`] were `bytes`.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn collect(&self, run: RunReference, bytes: u32) -> Result<Collected, ClientError> {
        const NAME: &str = "COLLECT";
        if bytes > MOST_COLLECT_BYTES {
            return Err(ClientError::protocol(
                NAME,
                format!("a result of {bytes} bytes"),
            ));
        }
        let mut buffer = vec![0; bytes as usize];
        let reply = self.send(NAME, ioctl::COLLECT, run.as_bytes(), &mut buffer)?;
        let collected = parse_collected(reply)?;
        if collected.summary.run == run.run {
            Ok(collected)
        } else {
            Err(ClientError::protocol(
                NAME,
                format!("of run {}", collected.summary.run),
            ))
        }
    }

    /// Closes the handle; a run that goes on is stopped.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn close(self) -> Result<(), ClientError> {
        Ok(self.handle.close()?)
    }

    /// Sends one request and gives the part of `output` that the driver wrote.
    fn send<'b>(
        &self,
        name: &'static str,
        code: u32,
        input: &[u8],
        output: &'b mut [u8],
    ) -> Result<&'b [u8], ClientError> {
        let room = output.len();
        let written = self.handle.ioctl(code, input, output)?;
        output.get(..written).ok_or_else(|| {
            ClientError::protocol(name, format!("{written} bytes written into {room}"))
        })
    }

    /// Sends one request whose answer is exactly a `T`.
    fn ask<T: FromBytes>(
        &self,
        name: &'static str,
        code: u32,
        input: &[u8],
    ) -> Result<T, ClientError> {
        let mut buffer = vec![0; size_of::<T>()];
        let reply = self.send(name, code, input, &mut buffer)?;
        T::read_from_bytes(reply).map_err(|_| wrong_size(name, reply.len(), size_of::<T>()))
    }

    /// Reads a whole list, page by page.
    fn list<T: FromBytes>(
        &self,
        name: &'static str,
        code: u32,
        request: impl Fn(u32) -> Vec<u8>,
    ) -> Result<Vec<T>, ClientError> {
        let mut entries: Vec<T> = Vec::new();
        let mut page = vec![0; PAGE_BYTES.max(size_of::<ListReply>() + size_of::<T>())];
        loop {
            let first = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            let reply = self.send(name, code, &request(first), &mut page)?;
            let (total, more) = parse_page::<T>(name, reply)?;
            let stuck = more.is_empty();
            entries.extend(more);
            let have = entries.len() as u64;
            if have == u64::from(total) {
                return Ok(entries);
            }
            if have > u64::from(total) || stuck {
                let why = format!("{have} entries of {total}, and no more");
                return Err(ClientError::protocol(name, why));
            }
        }
    }
}

/// Requests for pages of a list of the catalogue.
fn of_item(item: u32) -> impl Fn(u32) -> Vec<u8> {
    move |first| ListRequest { item, first }.as_bytes().to_vec()
}

/// Requests for pages of a list about a run.
fn of_run(run: RunReference) -> impl Fn(u32) -> Vec<u8> {
    move |first| {
        let RunReference { run } = run;
        let request = PageRequest {
            run,
            first,
            reserved: 0,
        };
        request.as_bytes().to_vec()
    }
}

fn wrong_size(name: &'static str, bytes: usize, expected: usize) -> ClientError {
    ClientError::protocol(name, format!("{bytes} bytes, expected {expected}"))
}

/// One page of a list: how many entries there are in all, and those that are here.
fn parse_page<T: FromBytes>(
    name: &'static str,
    reply: &[u8],
) -> Result<(u32, Vec<T>), ClientError> {
    let (header, rest) = ListReply::read_from_prefix(reply)
        .map_err(|_| wrong_size(name, reply.len(), size_of::<ListReply>()))?;
    if header.total > MOST_ENTRIES {
        return Err(ClientError::protocol(
            name,
            format!("{} entries", header.total),
        ));
    }
    Ok((header.total, read_entries(name, rest, header.returned)?))
}

fn parse_collected(reply: &[u8]) -> Result<Collected, ClientError> {
    const NAME: &str = "COLLECT";
    let (summary, rest) = CollectReply::read_from_prefix(reply)
        .map_err(|_| wrong_size(NAME, reply.len(), size_of::<CollectReply>()))?;
    let log_start = rest
        .len()
        .checked_sub(summary.log_bytes as usize)
        .ok_or_else(|| {
            ClientError::protocol(NAME, format!("a log of {} bytes", summary.log_bytes))
        })?;
    let (workers, log) = rest.split_at(log_start);
    let workers = read_entries(NAME, workers, summary.workers)?;
    let verdict = Verdict::from_wire(summary.verdict)
        .ok_or_else(|| ClientError::protocol(NAME, format!("verdict {}", summary.verdict)))?;
    Ok(Collected {
        verdict,
        summary,
        workers,
        log: String::from_utf8_lossy(log).into_owned(),
    })
}

/// Reads `bytes` as exactly `count` entries. They need not be aligned.
fn read_entries<T: FromBytes>(
    name: &'static str,
    bytes: &[u8],
    count: u32,
) -> Result<Vec<T>, ClientError> {
    let size = size_of::<T>();
    let expected = (count as usize).checked_mul(size);
    if expected != Some(bytes.len()) {
        return Err(wrong_size(
            name,
            bytes.len(),
            expected.unwrap_or(usize::MAX),
        ));
    }
    let entries: Result<Vec<T>, _> = bytes.chunks_exact(size).map(T::read_from_bytes).collect();
    entries.map_err(|_| wrong_size(name, bytes.len(), size))
}
