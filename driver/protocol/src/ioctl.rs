//! The control codes. All are `METHOD_BUFFERED` on `FILE_DEVICE_UNKNOWN` and ask for read and write
//! access, which the device's SDDL grants to administrators and SYSTEM alone.

const FILE_DEVICE_UNKNOWN: u32 = 0x22;
const METHOD_BUFFERED: u32 = 0;
const FILE_READ_WRITE_ACCESS: u32 = 3;

/// The `CTL_CODE` macro for the functions that Microsoft leaves to vendors (0x800 and up).
const fn code(function: u32) -> u32 {
    (FILE_DEVICE_UNKNOWN << 16)
        | (FILE_READ_WRITE_ACCESS << 14)
        | ((0x800 + function) << 2)
        | METHOD_BUFFERED
}

/// In: nothing. Out: [`VersionReply`](crate::VersionReply).
pub const QUERY_VERSION: u32 = code(0);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`ItemDescriptor`](crate::ItemDescriptor)s, from the index `first` on, as fit.
pub const LIST_ITEMS: u32 = code(1);

/// In: [`ListRequest`](crate::ListRequest) with the `item`. Out: [`ListReply`](crate::ListReply)
/// and as many [`ParameterDescriptor`](crate::ParameterDescriptor)s as fit.
pub const LIST_PARAMETERS: u32 = code(2);

/// In: [`StartRequest`](crate::StartRequest) followed by its
/// [`ParameterValue`](crate::ParameterValue)s. Out: [`RunReference`](crate::RunReference).
pub const START: u32 = code(3);

/// In: [`RunReference`](crate::RunReference). Out: [`Progress`](crate::Progress).
pub const PROGRESS: u32 = code(4);

/// In: [`RunReference`](crate::RunReference). Out: nothing. Returns at once; the run's phase goes to
/// [`Phase::Stopping`](crate::Phase::Stopping) and then to [`Phase::Finished`](crate::Phase).
pub const STOP: u32 = code(5);

/// In: [`RunReference`](crate::RunReference). Out: [`CollectReply`](crate::CollectReply), then its
/// [`WorkerReport`](crate::WorkerReport)s, then its log as UTF-8.
///
/// `STATUS_DEVICE_BUSY` while the run goes on. A buffer that is too small gets
/// `STATUS_BUFFER_TOO_SMALL` and keeps the result; [`Progress`](crate::Progress) tells the size.
pub const COLLECT: u32 = code(6);

/// In: [`PageRequest`](crate::PageRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`WorkerDetail`](crate::WorkerDetail)s as fit. While the run goes on, too, until it is collected.
pub const WORKERS: u32 = code(7);

/// In: [`HistogramRequest`](crate::HistogramRequest). Out:
/// [`HistogramReply`](crate::HistogramReply) and as many [`Bucket`](crate::Bucket)s as fit. While
/// the run goes on, too, until it is collected.
pub const HISTOGRAM: u32 = code(8);

/// In: [`PageRequest`](crate::PageRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`Metric`](crate::Metric)s as fit; there are none before the run is finished.
pub const METRICS: u32 = code(9);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`RunInfo`](crate::RunInfo)s as fit.
///
/// The runs of all handles that go on, the oldest first. Since protocol 1.2.
pub const LIST_RUNS: u32 = code(10);

/// In: [`PageRequest`](crate::PageRequest) with a run of [`LIST_RUNS`], of whichever handle. Out:
/// [`ListReply`](crate::ListReply) and as many [`WorkerDetail`](crate::WorkerDetail)s as fit.
///
/// `STATUS_NOT_FOUND` once the run has ended. Since protocol 1.2.
pub const LIST_RUN_WORKERS: u32 = code(11);

/// In: nothing. Out: [`LockWatch`](crate::LockWatch). Since protocol 1.1.
pub const QUERY_LOCK_WATCH: u32 = code(16);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`LockClass`](crate::LockClass)es as fit.
///
/// Classes keep their index. `STATUS_NOT_SUPPORTED`, as for the lists below, from a driver that was
/// built without the feature. Since protocol 1.1.
pub const LIST_LOCK_CLASSES: u32 = code(17);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`LockOrder`](crate::LockOrder)s as fit. Since protocol 1.1.
pub const LIST_LOCK_ORDERS: u32 = code(18);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`LockReport`](crate::LockReport)s as fit. Since protocol 1.1.
pub const LIST_LOCK_REPORTS: u32 = code(19);

/// In: [`ListRequest`](crate::ListRequest) whose `item` is the index of a report. Out:
/// [`ListReply`](crate::ListReply) and as many [`LockOrder`](crate::LockOrder)s of its chain as fit.
///
/// Since protocol 1.1.
pub const LIST_LOCK_REPORT_LINKS: u32 = code(20);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`LockStatistics`](crate::LockStatistics) as fit. Since protocol 1.1.
pub const LIST_LOCK_STATISTICS: u32 = code(21);

/// In: [`RunReference`](crate::RunReference). Out: [`HeldObject`](crate::HeldObject).
///
/// `STATUS_INVALID_DEVICE_STATE` while nothing is held: before the pattern is there, after it was
/// released, and of a run of another kind. Since protocol 1.2.
pub const QUERY_HELD: u32 = code(22);

/// In: [`ListRequest`](crate::ListRequest). Out: [`ListReply`](crate::ListReply) and as many
/// [`LockHolder`](crate::LockHolder)s as fit.
///
/// Each request looks anew, so that pages do not fit together: room for all is better. Needs
/// [`LockFeatures::LOCKDEP`](crate::LockFeatures::LOCKDEP). Since protocol 1.2.
pub const LIST_LOCK_HOLDERS: u32 = code(23);

/// Every code that there is.
pub const ALL: &[u32] = &[
    QUERY_VERSION,
    LIST_ITEMS,
    LIST_PARAMETERS,
    START,
    PROGRESS,
    STOP,
    COLLECT,
    WORKERS,
    HISTOGRAM,
    METRICS,
    LIST_RUNS,
    LIST_RUN_WORKERS,
    QUERY_LOCK_WATCH,
    LIST_LOCK_CLASSES,
    LIST_LOCK_ORDERS,
    LIST_LOCK_REPORTS,
    LIST_LOCK_REPORT_LINKS,
    LIST_LOCK_STATISTICS,
    QUERY_HELD,
    LIST_LOCK_HOLDERS,
];
