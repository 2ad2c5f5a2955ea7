//! The control codes: what is checked, done and answered for each.
//!
//! A request is read only after its sizes were checked, and does something only after all of it was.

use alloc::vec::Vec;

use syncstress_protocol::{
    ItemDescriptor, ListReply, ListRequest, MAX_PARAMETERS, PROTOCOL_MAJOR, PROTOCOL_MINOR,
    ParameterDescriptor, ParameterValue, Progress, RunReference, StartRequest, VersionReply, ioctl,
};
use wdk_sync::{Irql, Passive, Status, active_processors};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    Session, catalog,
    limits::LIMITS,
    locks,
    message::{Message, Reply},
    settings::{Parameter, Settings},
};

impl Session {
    /// Answers a control code: `buffer` holds `input_len` bytes of input and takes up to
    /// `output_len` bytes of output, as `METHOD_BUFFERED` has it. Gives the number of bytes of
    /// output. Never waits for a run.
    ///
    /// IRQL: `PASSIVE_LEVEL`; from any number of threads at a time.
    ///
    /// # Errors
    ///
    /// | status | when |
    /// |---|---|
    /// | [`Status::INVALID_DEVICE_REQUEST`] | the code is unknown |
    /// | [`Status::INFO_LENGTH_MISMATCH`] | the input has not the size that it should have |
    /// | [`Status::BUFFER_TOO_SMALL`] | the output does not fit; nothing was done |
    /// | [`Status::NOT_FOUND`] | there is no such item or report, or no such run, on this handle or, where any is asked for, on all |
    /// | [`Status::NOT_SUPPORTED`] | the driver was built without what is asked for |
    /// | [`Status::INVALID_PARAMETER`] | a value is out of range, unknown or given twice |
    /// | [`Status::DEVICE_BUSY`] | the handle has a run already, or the run goes on |
    /// | [`Status::QUOTA_EXCEEDED`] | a published limit would be passed |
    /// | [`Status::INVALID_DEVICE_STATE`] | the session was closed, or the run holds nothing |
    /// | [`Status::INSUFFICIENT_RESOURCES`] | the pool is exhausted |
    pub fn dispatch(
        &self,
        irql: &mut Irql<'_, Passive>,
        code: u32,
        buffer: &mut [u8],
        input_len: usize,
        output_len: usize,
    ) -> Result<usize, Status> {
        let message = Message::new(buffer, input_len, output_len)?;
        match code {
            ioctl::QUERY_VERSION => self.query_version(message),
            ioctl::LIST_ITEMS => list_items(message),
            ioctl::LIST_PARAMETERS => list_parameters(message),
            ioctl::START => self.start_item(irql, message),
            ioctl::PROGRESS => self.report_progress(irql, message),
            ioctl::STOP => self.stop_run(irql, &message),
            ioctl::COLLECT => self.collect_result(irql, message),
            ioctl::WORKERS => self.list_workers(irql, message),
            ioctl::HISTOGRAM => self.show_histogram(irql, message),
            ioctl::METRICS => self.list_metrics(irql, message),
            ioctl::LIST_RUNS => self.list_runs(irql, message),
            ioctl::LIST_RUN_WORKERS => self.list_run_workers(irql, message),
            ioctl::QUERY_HELD => self.query_held(irql, message),
            ioctl::QUERY_LOCK_WATCH => locks::watch(message),
            ioctl::LIST_LOCK_CLASSES => locks::list_classes(message),
            ioctl::LIST_LOCK_ORDERS => locks::list_orders(message),
            ioctl::LIST_LOCK_REPORTS => locks::list_reports(message),
            ioctl::LIST_LOCK_REPORT_LINKS => locks::list_report_links(message),
            ioctl::LIST_LOCK_STATISTICS => locks::list_statistics(message),
            ioctl::LIST_LOCK_HOLDERS => locks::list_holders(message),
            _ => Err(Status::INVALID_DEVICE_REQUEST),
        }
    }

    fn query_version(&self, message: Message<'_>) -> Result<usize, Status> {
        message.no_input()?;
        answer(
            message,
            &VersionReply {
                protocol_major: PROTOCOL_MAJOR,
                protocol_minor: PROTOCOL_MINOR,
                driver_version: self.driver_version(),
                reserved: 0,
                processors: active_processors(),
                items: catalog::count(),
                limits: LIMITS,
            },
        )
    }

    fn start_item(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let (request, values) = message.input_with_rest::<StartRequest>()?;
        let values = parameter_values(request, values)?;
        message.require_room_for::<RunReference>()?;
        let item = catalog::find(request.item).ok_or(Status::NOT_FOUND)?;
        let settings = Settings::new(item.parameters(), &values)?;
        let run = self.start(irql, item, &settings)?;
        answer(message, &RunReference { run })
    }

    fn report_progress(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let RunReference { run } = message.input()?;
        message.require_room_for::<Progress>()?;
        let progress = self.progress(irql, run)?;
        answer(message, &progress)
    }

    fn stop_run(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: &Message<'_>,
    ) -> Result<usize, Status> {
        let RunReference { run } = message.input()?;
        self.stop(irql, run)?;
        Ok(0)
    }

    fn collect_result(
        &self,
        irql: &mut Irql<'_, Passive>,
        message: Message<'_>,
    ) -> Result<usize, Status> {
        let RunReference { run } = message.input()?;
        let mut reply = message.reply(0)?;
        self.collect(irql, run, &mut reply)?;
        Ok(reply.written())
    }
}

/// The values that follow a [`StartRequest`], which says how many they are.
fn parameter_values(request: StartRequest, bytes: &[u8]) -> Result<Vec<ParameterValue>, Status> {
    let count = usize::try_from(request.parameters).unwrap_or(usize::MAX);
    if count > MAX_PARAMETERS {
        return Err(Status::INVALID_PARAMETER);
    }
    if bytes.len() != count.saturating_mul(size_of::<ParameterValue>()) {
        return Err(Status::INFO_LENGTH_MISMATCH);
    }
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for value in bytes.chunks_exact(size_of::<ParameterValue>()) {
        values.push(
            ParameterValue::read_from_bytes(value).map_err(|_| Status::INFO_LENGTH_MISMATCH)?,
        );
    }
    Ok(values)
}

fn list_items(message: Message<'_>) -> Result<usize, Status> {
    let request: ListRequest = message.input()?;
    if request.item != 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    let descriptors = catalog::items().map(catalog::Item::descriptor);
    list::<ItemDescriptor>(message, request.first, catalog::count(), descriptors)
}

fn list_parameters(message: Message<'_>) -> Result<usize, Status> {
    let request: ListRequest = message.input()?;
    let item = catalog::find(request.item).ok_or(Status::NOT_FOUND)?;
    let total = u32::try_from(item.parameters().len()).unwrap_or(u32::MAX);
    let descriptors = item.parameters().iter().map(Parameter::descriptor);
    list::<ParameterDescriptor>(message, request.first, total, descriptors)
}

/// Answers with as many entries, from the index `first` on, as fit.
pub fn list<T: IntoBytes + Immutable>(
    message: Message<'_>,
    first: u32,
    total: u32,
    entries: impl Iterator<Item = T>,
) -> Result<usize, Status> {
    let left = total.checked_sub(first).ok_or(Status::INVALID_PARAMETER)?;
    let mut reply = message.reply(size_of::<ListReply>())?;
    let fitting = reply.room().saturating_sub(size_of::<ListReply>()) / size_of::<T>();
    let returned = left.min(u32::try_from(fitting).unwrap_or(u32::MAX));
    reply.put(&ListReply { total, returned })?;
    for entry in entries.skip(first as usize).take(returned as usize) {
        reply.put(&entry)?;
    }
    Ok(reply.written())
}

/// Answers with one value.
pub fn answer<T: IntoBytes + Immutable>(message: Message<'_>, value: &T) -> Result<usize, Status> {
    let mut reply: Reply<'_> = message.reply(size_of::<T>())?;
    reply.put(value)?;
    Ok(reply.written())
}
