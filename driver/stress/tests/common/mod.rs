//! A client of an engine in the same process: what the tool does, without a device between.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    ptr,
    thread::sleep,
    time::{Duration, Instant},
};

use syncstress_protocol::{
    Bucket, CollectReply, HistogramKind, HistogramReply, HistogramRequest, ItemDescriptor,
    ItemFlags, ItemKind, ListReply, ListRequest, Metric, PageRequest, ParameterDescriptor,
    ParameterValue, Phase, Progress, RunInfo, RunReference, StartRequest, Verdict, VersionReply,
    WorkerDetail, WorkerReport, ioctl,
};
use syncstress_stress::{Device, Engine, Session};
use wdk_sync::{Status, testing::at_passive_level};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub fn engine() -> Engine {
    Engine::new([1, 2, 3]).expect("memory")
}

/// A handle.
pub struct Client(pub Session);

/// What came out of a run.
pub struct Result {
    pub summary: CollectReply,
    pub workers: Vec<WorkerReport>,
    pub log: String,
}

impl Result {
    pub const fn verdict(&self) -> Verdict {
        Verdict::from_wire(self.summary.verdict).expect("a verdict")
    }

    /// Asserts the verdict, and shows the log if it is another one.
    #[track_caller]
    pub fn expect(self, verdict: Verdict) -> Self {
        assert_eq!(
            self.verdict(),
            verdict,
            "{:?}\n{:?}\n{}",
            self.summary,
            self.workers,
            self.log
        );
        self
    }
}

impl Client {
    pub fn new(engine: &Engine) -> Self {
        // SAFETY: nthost takes null for no device.
        let device = unsafe { Device::new(ptr::null_mut()) };
        Self(engine.open(device).expect("memory"))
    }

    /// Sends a request with room for so many bytes of output, and gives the output.
    pub fn send(
        &self,
        code: u32,
        input: &[u8],
        output: usize,
    ) -> std::result::Result<Vec<u8>, Status> {
        at_passive_level(|irql| {
            let mut buffer = vec![0xA5; input.len().max(output)];
            buffer[..input.len()].copy_from_slice(input);
            let bytes = self
                .0
                .dispatch(irql, code, &mut buffer, input.len(), output)?;
            assert!(bytes <= output, "more output than there was room for");
            buffer.truncate(bytes);
            Ok(buffer)
        })
    }

    pub fn ask<T: FromBytes>(
        &self,
        code: u32,
        input: &(impl IntoBytes + Immutable),
    ) -> std::result::Result<T, Status> {
        let answer = self.send(code, input.as_bytes(), size_of::<T>())?;
        Ok(T::read_from_bytes(&answer).expect("the size of the answer"))
    }

    pub fn version(&self) -> VersionReply {
        self.ask(ioctl::QUERY_VERSION, &()).expect("a version")
    }

    pub fn items(&self) -> Vec<ItemDescriptor> {
        self.list(ioctl::LIST_ITEMS, 0, 5)
    }

    pub fn parameters(&self, item: u32) -> Vec<ParameterDescriptor> {
        self.list(ioctl::LIST_PARAMETERS, item, 2)
    }

    /// The runs of all sessions.
    pub fn runs(&self) -> Vec<RunInfo> {
        self.list(ioctl::LIST_RUNS, 0, 1)
    }

    /// A whole list, so many entries at a time.
    fn list<T: FromBytes + Immutable + KnownLayout>(
        &self,
        code: u32,
        item: u32,
        page: usize,
    ) -> Vec<T> {
        let pages = self.pages(code, page, |first| {
            ListRequest { item, first }.as_bytes().to_vec()
        });
        pages.expect("a list")
    }

    /// A whole list about a run, three entries at a time.
    fn pages_of_run<T: FromBytes + Immutable + KnownLayout>(
        &self,
        code: u32,
        run: RunReference,
    ) -> std::result::Result<Vec<T>, Status> {
        self.pages(code, 3, |first| {
            let request = PageRequest {
                run: run.run,
                first,
                reserved: 0,
            };
            request.as_bytes().to_vec()
        })
    }

    fn pages<T: FromBytes + Immutable + KnownLayout>(
        &self,
        code: u32,
        page: usize,
        request: impl Fn(u32) -> Vec<u8>,
    ) -> std::result::Result<Vec<T>, Status> {
        let mut entries = Vec::new();
        loop {
            let first = u32::try_from(entries.len()).expect("few entries");
            let room = size_of::<ListReply>() + page * size_of::<T>();
            let answer = self.send(code, &request(first), room)?;
            let (reply, rest) = ListReply::read_from_prefix(&answer).expect("a reply");
            for entry in rest.chunks_exact(size_of::<T>()) {
                entries.push(T::read_from_bytes(entry).expect("an entry"));
            }
            if entries.len() == reply.total as usize {
                return Ok(entries);
            }
            assert!(reply.returned > 0, "a list that does not end");
        }
    }

    pub fn details(&self, run: RunReference) -> std::result::Result<Vec<WorkerDetail>, Status> {
        self.pages_of_run(ioctl::WORKERS, run)
    }

    /// The workers of a run of whichever session.
    pub fn details_of_any(
        &self,
        run: RunReference,
    ) -> std::result::Result<Vec<WorkerDetail>, Status> {
        self.pages_of_run(ioctl::LIST_RUN_WORKERS, run)
    }

    pub fn metrics(&self, run: RunReference) -> std::result::Result<Vec<Metric>, Status> {
        self.pages_of_run(ioctl::METRICS, run)
    }

    /// A histogram, `page` buckets at a time, with what its last page says of all of it.
    pub fn histogram(
        &self,
        run: RunReference,
        worker: u32,
        kind: HistogramKind,
        page: usize,
    ) -> std::result::Result<(HistogramReply, Vec<Bucket>), Status> {
        let mut buckets = Vec::new();
        let mut first = 0;
        loop {
            let request = HistogramRequest {
                run: run.run,
                worker,
                kind: kind.to_wire(),
                first,
                reserved: 0,
            };
            let room = size_of::<HistogramReply>() + page * size_of::<Bucket>();
            let answer = self.send(ioctl::HISTOGRAM, request.as_bytes(), room)?;
            let (reply, rest) = HistogramReply::read_from_prefix(&answer).expect("a reply");
            let entries = rest.chunks_exact(size_of::<Bucket>());
            assert_eq!(entries.len(), reply.returned as usize);
            buckets.extend(entries.map(|it| Bucket::read_from_bytes(it).expect("a bucket")));
            if reply.next == 0 {
                return Ok((reply, buckets));
            }
            assert!(reply.next > first, "pages go on");
            first = reply.next;
        }
    }

    pub fn scenarios(&self) -> Vec<ItemDescriptor> {
        let items = self.items().into_iter();
        items
            .filter(|item| item.kind == ItemKind::Scenario.to_wire())
            .collect()
    }

    /// The scenarios that are to pass.
    pub fn working_scenarios(&self) -> Vec<ItemDescriptor> {
        let items = self.scenarios().into_iter();
        items
            .filter(|item| item.flags & ItemFlags::EXPECTED_TO_FAIL == 0)
            .collect()
    }

    pub fn item(&self, name: &str) -> ItemDescriptor {
        let mut items = self.items().into_iter();
        items
            .find(|item| item.name.as_str() == name)
            .unwrap_or_else(|| panic!("no item {name}"))
    }

    /// Starts an item by name, with parameters by name, of which those that it does not take are
    /// left out.
    pub fn start(
        &self,
        name: &str,
        settings: &[(&str, u64)],
    ) -> std::result::Result<RunReference, Status> {
        let item = self.item(name).id;
        let parameters = self.parameters(item);
        let values = settings.iter().filter_map(|(name, value)| {
            let parameter = parameters.iter().find(|it| it.name.as_str() == *name)?;
            Some((parameter.id, *value))
        });
        self.start_raw(item, &values.collect::<Vec<_>>())
    }

    pub fn start_raw(
        &self,
        item: u32,
        values: &[(u32, u64)],
    ) -> std::result::Result<RunReference, Status> {
        let answer = self.send(
            ioctl::START,
            &start_request(item, values),
            size_of::<RunReference>(),
        )?;
        Ok(RunReference::read_from_bytes(&answer).expect("a run"))
    }

    pub fn progress(&self, run: RunReference) -> std::result::Result<Progress, Status> {
        self.ask(ioctl::PROGRESS, &run)
    }

    pub fn stop(&self, run: RunReference) -> std::result::Result<(), Status> {
        self.send(ioctl::STOP, run.as_bytes(), 0).map(drop)
    }

    /// Waits for the end of a run.
    pub fn finished(&self, run: RunReference) -> Progress {
        let start = Instant::now();
        loop {
            let progress = self.progress(run).expect("the run is known");
            if progress.phase == Phase::Finished.to_wire() {
                return progress;
            }
            assert!(
                start.elapsed() < Duration::from_mins(2),
                "the run does not end: {progress:?}"
            );
            sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of a run and collects it.
    pub fn collect(&self, run: RunReference) -> Result {
        let progress = self.finished(run);
        assert_eq!(progress.workers, 0, "all workers have ended");
        let bytes = self
            .send(
                ioctl::COLLECT,
                run.as_bytes(),
                progress.collect_bytes as usize,
            )
            .expect("a result");
        assert_eq!(bytes.len(), progress.collect_bytes as usize);
        parse(&bytes)
    }

    /// Runs an item from start to end.
    pub fn run(&self, name: &str, settings: &[(&str, u64)]) -> Result {
        let run = self
            .start(name, settings)
            .unwrap_or_else(|status| panic!("{name}: {status}"));
        self.collect(run)
    }
}

pub fn start_request(item: u32, values: &[(u32, u64)]) -> Vec<u8> {
    let request = StartRequest {
        item,
        parameters: u32::try_from(values.len()).expect("few parameters"),
    };
    let mut bytes = request.as_bytes().to_vec();
    for (id, value) in values {
        let value = ParameterValue {
            id: *id,
            reserved: 0,
            value: *value,
        };
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes
}

fn parse(bytes: &[u8]) -> Result {
    let (summary, rest) = CollectReply::read_from_prefix(bytes).expect("a summary");
    let workers = summary.workers as usize * size_of::<WorkerReport>();
    let (workers, log) = rest.split_at(workers);
    assert_eq!(log.len(), summary.log_bytes as usize);
    let workers = workers.chunks_exact(size_of::<WorkerReport>());
    Result {
        summary,
        workers: workers
            .map(|worker| WorkerReport::read_from_bytes(worker).expect("a worker"))
            .collect(),
        log: String::from_utf8(log.to_vec()).expect("UTF-8"),
    }
}
