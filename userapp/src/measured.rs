//! What a run measured, taken before it is collected.

use syncstress_protocol::{HistogramKind, Metric, RunReference, WorkerDetail};

use crate::client::{Client, ClientError, Histogram};

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Each worker's counts.
    pub details: Vec<WorkerDetail>,
    /// Each worker's waits; none of those that do not wait.
    pub waits: Vec<Option<Histogram>>,
    /// Each worker's holds.
    pub holds: Vec<Option<Histogram>>,
    /// How late each timer's DPC ran; none of threads.
    pub lateness: Vec<Option<Histogram>>,
    /// Figures of the whole run.
    pub metrics: Vec<Metric>,
}

impl Measured {
    /// Asks the driver about a run that has ended. An old driver has nothing to tell.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn read(client: &Client, run: RunReference) -> Result<Self, ClientError> {
        if !client.measures() {
            return Ok(Self::default());
        }
        let details = client.workers(run)?;
        let of = |kind| {
            let workers = details.iter();
            workers
                .map(|worker| client.histogram(run, worker.index, kind))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            waits: of(HistogramKind::Wait)?,
            holds: of(HistogramKind::Hold)?,
            lateness: of(HistogramKind::Lateness)?,
            metrics: client.metrics(run)?,
            details,
        })
    }
}
