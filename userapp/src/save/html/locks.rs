//! What the driver knows of its own locks, on the page.

use maud::{Markup, html};

use crate::{
    locks::{Class, ClassStat, FullTable, LockStat, Lockdep},
    show::units::{count, nanoseconds},
};

/// The table of statistics: the most contended first.
pub fn statistics(stat: &LockStat) -> Markup {
    html! {
        h2 { "The driver's locks" }
        p { "What lock_stat counted in the driver since it was loaded, by the line that makes the \
            lock. Waits are those of contended acquisitions." }
        div.wide { table {
            thead { tr {
                @for name in ["lock", "contended", "acquired", "not acquired", "wait average",
                    "longest", "hold shortest", "average", "longest"] { th { (name) } }
            } }
            tbody { @for it in &stat.classes { (row(it)) } }
        } }
        (full(&stat.full_tables))
    }
}

fn row(stat: &ClassStat) -> Markup {
    let time = |count: u64, value: u64| {
        if count == 0 {
            "–".to_owned()
        } else {
            nanoseconds(value)
        }
    };
    let (wait, hold) = (&stat.wait, &stat.hold);
    html! { tr {
        td.lock { (name(&stat.class)) br; small { (stat.class.made_at) } }
        td { (count(stat.contentions)) }
        td { (count(stat.acquisitions)) }
        td { (count(stat.not_acquired)) }
        td { (time(wait.count, wait.average_ns)) }
        td { (time(wait.count, wait.longest_ns)) }
        td { (time(hold.count, hold.shortest_ns)) }
        td { (time(hold.count, hold.average_ns)) }
        td { (time(hold.count, hold.longest_ns)) }
    } }
}

fn name(class: &Class) -> Markup {
    html! {
        (class.kind) " " code { (class.name) }
        @if class.nest != 0 { " nested " (class.nest) " deep" }
    }
}

/// What is wrong with the order of the driver's locks.
pub fn reports(lockdep: &Lockdep) -> Markup {
    let class = |number: u32| lockdep.class(number).map_or_else(|| html! { "?" }, name);
    html! {
        h2 { "The order of the driver's locks" }
        p {
            (lockdep.classes.len()) " classes, " (lockdep.orders.len()) " orders, "
            @if lockdep.reports.is_empty() { span.good { "no report" } }
            @else { span.bad { (lockdep.reports.len()) " reports" } }
            "."
        }
        @for report in &lockdep.reports {
            h3.bad { (report.problem) }
            ol { @for link in &report.chain { li {
                (class(link.held)) " taken at " code { (link.held_at) } ", then "
                (class(link.asked)) " asked for at " code { (link.asked_at) }
            } } }
        }
        (full(&lockdep.full_tables))
    }
}

fn full(tables: &[FullTable]) -> Markup {
    html! {
        @for it in tables {
            p.middling { "Incomplete: no room among " (it.capacity) " " (it.table) " for " (it.lost)
                " more." }
        }
    }
}
