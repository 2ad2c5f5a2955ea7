//! The order of the driver's locks.

use alloc::vec::Vec;

use syncstress_protocol::{
    ListRequest, LockFeatures, LockHolder, LockHolderFlags, LockOrder, LockProblem, LockReport,
    LockWatch,
};
use wdk_sync::{
    Status,
    lockdep::{self, Holding, Link, LockClass, Problem, Report},
};

use super::record::{line, list_all, list_from, number, table_use};
use crate::{dispatch::list, message::Message};

/// Tells how much is known.
pub fn tell(watch: &mut LockWatch) {
    let statistics = lockdep::statistics();
    watch.features |= LockFeatures::LOCKDEP;
    watch.classes = table_use(statistics.classes);
    watch.orders = table_use(statistics.edges);
    watch.holders = table_use(statistics.holders);
    watch.reports = table_use(statistics.reports);
    watch.report_links = table_use(statistics.chain_links);
}

/// Lists which class was asked for under which.
pub fn list_orders(message: Message<'_>) -> Result<usize, Status> {
    list_all(message, || lockdep::edges().map(order))
}

/// Lists what is wrong.
pub fn list_reports(message: Message<'_>) -> Result<usize, Status> {
    list_all(message, || lockdep::reports().map(report))
}

/// Lists the chain of a report.
pub fn list_report_links(message: Message<'_>) -> Result<usize, Status> {
    let ListRequest { item, first } = message.input()?;
    let report = lockdep::reports()
        .nth(item as usize)
        .ok_or(Status::NOT_FOUND)?;
    list_from(message, first, || report.chain().map(order))
}

/// Lists what is held now.
pub fn list_holders(message: Message<'_>) -> Result<usize, Status> {
    let request: ListRequest = message.input()?;
    if request.item != 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    // Once: others acquire and release meanwhile.
    let mut holders: Vec<LockHolder> = Vec::new();
    for holding in lockdep::held() {
        holders
            .try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        holders.push(holder(&holding));
    }
    let total = number(holders.len());
    list(message, request.first, total, holders.into_iter())
}

fn holder(holding: &Holding) -> LockHolder {
    LockHolder {
        object: holding.object() as u64,
        thread: holding.thread().map_or(0, |thread| thread as u64),
        class: number(holding.class().number()),
        flags: if holding.is_shared() {
            LockHolderFlags::SHARED
        } else {
            0
        },
        asked_at: line(holding.site()),
    }
}

fn order(link: &Link) -> LockOrder {
    let number_of = |class: Option<LockClass>| class.map_or(u32::MAX, |it| number(it.number()));
    LockOrder {
        held: number_of(link.held()),
        asked: number_of(link.asked()),
        thread: link.thread().map_or(0, |thread| thread as u64),
        held_at: line(link.held_site()),
        asked_at: line(link.asked_site()),
        irql: link.irql().into(),
        reserved: 0,
    }
}

fn report(report: &Report) -> LockReport {
    let problem = match report.problem() {
        Problem::Cycle => LockProblem::Cycle,
        Problem::SameLock => LockProblem::SameLock,
        Problem::SameClass => LockProblem::SameClass,
        Problem::DpcAndThread => LockProblem::DpcAndThread,
        Problem::HeldAtEnd => LockProblem::HeldAtEnd,
    };
    LockReport {
        problem: problem.to_wire(),
        links: number(report.chain().count()),
        missing_links: number(report.missing_links()),
        reserved: 0,
    }
}
