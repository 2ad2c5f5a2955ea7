//! What the driver knows of its own locks.

use comfy_table::{Attribute, Cell, CellAlignment, Table};

use super::{
    report::Report,
    screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW},
    table::STYLE,
    units::{count, nanoseconds, percent, plural},
};
use crate::locks::{
    Class, ClassStat, Finding, FullTable, HINT, HeldLock, LockStat, Lockdep, Order,
};

impl Screen {
    /// Classes, orders and what is wrong with them.
    pub fn lockdep(self, lockdep: &Lockdep) {
        let (classes, orders) = (&lockdep.classes, &lockdep.orders);
        self.line(format_args!(
            "\n{BOLD}lock classes{BOLD:#} ({}), each all locks that one line makes",
            classes.len()
        ));
        for (number, class) in classes.iter().enumerate() {
            self.line(format_args!(
                "  {number:>3}  {class} {DIM}{}{DIM:#}",
                class.made_at
            ));
        }
        self.line(format_args!(
            "\n{BOLD}orders{BOLD:#} ({}): held, then asked for",
            orders.len()
        ));
        for Order {
            held,
            asked,
            asked_at,
            ..
        } in orders
        {
            self.line(format_args!(
                "  {held:>3} < {asked:<3}  {DIM}{asked_at}{DIM:#}"
            ));
        }
        for (number, problem) in lockdep.reports.iter().enumerate() {
            self.problem(number + 1, problem, lockdep);
        }
        self.full_tables(&lockdep.full_tables);
        match lockdep.reports.len() {
            0 => self.line(format_args!(
                "\n{GREEN}no report{GREEN:#} on what has run in this driver since it was loaded"
            )),
            1 => self.line(format_args!("\n{RED}1 report{RED:#}")),
            reports => self.line(format_args!("\n{RED}{reports} reports{RED:#}")),
        }
    }

    fn problem(self, number: usize, problem: &Finding, lockdep: &Lockdep) {
        self.line(format_args!(
            "\n{RED}report {number}: {}{RED:#}",
            problem.problem
        ));
        let name = |class: u32| {
            let class: Option<&Class> = lockdep.class(class);
            class.map_or_else(|| format!("class {class:?}"), ToString::to_string)
        };
        for link in &problem.chain {
            let by = link
                .thread
                .map_or_else(|| "a DPC".to_owned(), |it| format!("thread {it:#x}"));
            self.line(format_args!(
                "  {} taken at {}\n    then {} asked for at {} by {by}, IRQL {}",
                name(link.held),
                link.held_at,
                name(link.asked),
                link.asked_at,
                link.irql
            ));
        }
        if problem.missing_links != 0 {
            self.line(format_args!(
                "  and {} more, for which the driver had no room",
                problem.missing_links
            ));
        }
    }

    /// The runs of all handles, what is held, and what was counted.
    pub fn locks(self, report: &Report) {
        self.line(format_args!(
            "\n{BOLD}runs that use them now{BOLD:#} ({})",
            report.watched.len()
        ));
        for run in &report.watched {
            self.line(format_args!(
                "  run {:<4} {:18} {:24} {}, {}, {} contended, {}",
                run.run,
                run.name,
                run.primitive,
                plural(run.workers, "worker"),
                plural(run.acquisitions, "acquisition"),
                percent(run.contention.unwrap_or_default()),
                plural(run.failures, "failure"),
            ));
        }
        match &report.held_locks {
            Some(held) => self.held_locks(held),
            None => self.line(format_args!("\n{DIM}{HINT}{DIM:#}")),
        }
        if let Some(stat) = &report.lock_stat {
            self.lock_stat(stat);
        }
    }

    fn held_locks(self, held: &[HeldLock]) {
        self.line(format_args!(
            "\n{BOLD}held at this moment{BOLD:#} ({}): lock, owner, where it was asked for",
            held.len()
        ));
        for lock in held {
            let how = if lock.shared { "shared by" } else { "owned by" };
            let owner = lock
                .thread
                .map_or_else(|| "a DPC".to_owned(), |it| format!("thread {it:#x}"));
            self.line(format_args!(
                "  {:#x}  {} {how} {owner} {DIM}{}{DIM:#}",
                lock.object, lock.class, lock.asked_at
            ));
        }
    }

    /// The classes, by contention.
    pub fn lock_stat(self, stat: &LockStat) {
        self.line("");
        for line in statistics(&stat.classes).lines() {
            self.line(line.trim_end());
        }
        self.full_tables(&stat.full_tables);
    }

    fn full_tables(self, full: &[FullTable]) {
        for table in full {
            self.line(format_args!(
                "{YELLOW}incomplete:{YELLOW:#} no room among {} {} for {} more",
                table.capacity, table.table, table.lost
            ));
        }
    }
}

fn statistics(classes: &[ClassStat]) -> String {
    const HEADINGS: [&str; 10] = [
        "lock",
        "made at",
        "contended",
        "acquired",
        "not\nacquired",
        "wait\naverage",
        "wait\nlongest",
        "hold\nshortest",
        "hold\naverage",
        "hold\nlongest",
    ];
    let mut table = Table::new();
    table.load_style(STYLE);
    table.force_no_tty();
    table.set_header(HEADINGS.map(|it| Cell::new(it).add_attribute(Attribute::Bold)));
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index >= 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for stat in classes {
        table.add_row([
            stat.class.to_string(),
            stat.class.made_at.to_string(),
            count(stat.contentions),
            count(stat.acquisitions),
            count(stat.not_acquired),
            nanoseconds(stat.wait.average_ns),
            nanoseconds(stat.wait.longest_ns),
            nanoseconds(stat.hold.shortest_ns),
            nanoseconds(stat.hold.average_ns),
            nanoseconds(stat.hold.longest_ns),
        ]);
    }
    table.to_string()
}
