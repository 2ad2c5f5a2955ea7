//! The table of stress results.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle,
};

use super::units::{count, nanoseconds, percent, rate, seconds};
use crate::{
    fairness::Fairness,
    latency::Latency,
    record::{Outcome, RoleRecord, RunRecord, Totals},
};

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');
/// How tables look.
pub const STYLE: TableStyle = TableStyle::new()
    .top_border(RULE)
    .header_separator(RULE)
    .bottom_border(RULE);

const HEADINGS: [&str; 13] = [
    "scenario",
    "result",
    "workers",
    "time",
    "passes",
    "acquired",
    "per s",
    "contended",
    "fairness\nmin/max",
    "fairness\nJain",
    "wait\np99",
    "wait\nlongest",
    "failures",
];
/// The first column that holds numbers.
const FIRST_NUMBER: usize = 2;
/// Spaces left and right of a cell's text.
const PADDING: (u16, u16) = (0, 1);

/// The results of `runs`, a line each, and with `roles` a line for each role of a run that has
/// several. Without `colours` it is plain text of any width.
pub fn scenarios<'r>(
    runs: impl IntoIterator<Item = &'r RunRecord>,
    roles: bool,
    colours: bool,
) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !colours {
        table.force_no_tty();
    }
    table.set_header(HEADINGS.map(|it| Cell::new(it).add_attribute(Attribute::Bold)));
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding(PADDING);
        if index >= FIRST_NUMBER {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for run in runs {
        table.add_row(run_row(run));
        if roles && run.roles.len() > 1 {
            for role in &run.roles {
                table.add_row(role_row(role));
            }
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn run_row(run: &RunRecord) -> Vec<Cell> {
    let colour = match run.outcome {
        Outcome::Passed => Color::Green,
        Outcome::Stopped => Color::Yellow,
        Outcome::Failed | Outcome::Overran | Outcome::Error => Color::Red,
    };
    let mut cells = vec![
        Cell::new(&run.name),
        Cell::new(run.outcome.word()).fg(colour),
        Cell::new(workers(run)),
        Cell::new(seconds(run.elapsed_seconds)),
    ];
    cells.extend(counts(
        &run.totals,
        run.wait.as_ref(),
        rate(run.acquisitions_per_second),
        run.fairness,
    ));
    let failures = Cell::new(count(run.failures));
    cells.push(if run.failures == 0 {
        failures
    } else {
        failures.fg(Color::Red)
    });
    cells
}

fn role_row(role: &RoleRecord) -> Vec<Cell> {
    let mut cells = vec![
        Cell::new(format!("  {}", role.role)),
        Cell::new(""),
        Cell::new(role.totals.worker_count),
        Cell::new(""),
    ];
    cells.extend(counts(
        &role.totals,
        role.wait.as_ref(),
        String::new(),
        role.fairness,
    ));
    cells.push(Cell::new(count(role.failures)));
    cells
}

fn counts(
    totals: &Totals,
    wait: Option<&Latency>,
    rate: String,
    fairness: Option<Fairness>,
) -> [Cell; 8] {
    let measure = |measure: fn(Fairness) -> f64| {
        Cell::new(fairness.map_or_else(|| "-".to_owned(), |it| format!("{:.3}", measure(it))))
    };
    [
        Cell::new(count(totals.passes)),
        Cell::new(count(totals.acquisitions)),
        Cell::new(rate),
        Cell::new(percent(totals.contention)),
        measure(|it| it.min_over_max),
        measure(|it| it.jain),
        Cell::new(wait.map_or_else(|| "-".to_owned(), |wait| nanoseconds(wait.p99_ns))),
        Cell::new(nanoseconds(totals.longest_wait_ns)),
    ]
}

/// How many workers there were, by role where there is more than one: `4+12`.
fn workers(run: &RunRecord) -> String {
    let numbers: Vec<String> = run
        .roles
        .iter()
        .map(|role| role.totals.worker_count.to_string())
        .collect();
    if numbers.is_empty() {
        "0".to_owned()
    } else {
        numbers.join("+")
    }
}
