//! The view as a screen.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize as _},
    symbols,
    text::{Line, Span},
    widgets::{Block, Cell, LineGauge, Paragraph, Row, Sparkline, Table},
};

use super::model::{Event, Model, RunView, WorkerView};
use crate::show::units::{count, percent, plural, rate};

/// Lines that the sparkline has, with its title.
const RATE_LINES: u16 = 4;
/// Lines that the events have at most, with their title.
const EVENT_LINES: u16 = 8;
/// Columns of a worker's bar at most.
const BAR: u16 = 24;

/// Draws the view.
pub fn draw(frame: &mut Frame<'_>, model: &Model, at: Duration) {
    let block = Block::bordered()
        .title(format!(" {} ", model.title).bold())
        .title_top(Line::from(format!(" {} ", plan(model, at))).right_aligned())
        .title_bottom(keys(model).dim());
    let inside = block.inner(frame.area());
    frame.render_widget(block, frame.area());
    let events = EVENT_LINES.min(inside.height / 3);
    let [time, figures, rates, workers, events] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(RATE_LINES),
        Constraint::Min(3),
        Constraint::Length(events),
    ])
    .areas(inside);
    if let Some(run) = &model.run {
        draw_time(frame, time, run);
        frame.render_widget(Paragraph::new(summary(run)), figures);
        draw_rates(frame, rates, run);
        draw_workers(frame, workers, run);
    }
    draw_events(frame, events, model);
}

/// What keys do.
const fn keys(model: &Model) -> &'static str {
    if model.plan.is_unknown {
        " q or Ctrl-C: watch no longer "
    } else {
        " q or Ctrl-C: stop, and keep the results "
    }
}

/// Which run this is, and how long all of them take.
fn plan(model: &Model, at: Duration) -> String {
    let runs = model.number + model.plan.runs.len();
    let number = if model.plan.is_unknown || model.plan.until.is_some() {
        format!("run {}", model.number)
    } else {
        format!("run {} of {runs}", model.number)
    };
    let left = model
        .left(at)
        .map_or_else(String::new, |left| format!(", {} left in all", clock(left)));
    number + &left
}

fn draw_time(frame: &mut Frame<'_>, area: Rect, run: &RunView) {
    let [name, gauge] =
        Layout::horizontal([Constraint::Length(22), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::from(run.name.as_str()).bold(), name);
    let part = if run.planned.is_zero() {
        0.0
    } else {
        run.elapsed.div_duration_f64(run.planned).min(1.0)
    };
    let label = format!(
        "{} of {}, {} left",
        clock(run.elapsed),
        clock(run.planned),
        clock(run.left())
    );
    let gauge_widget = LineGauge::default()
        .ratio(part)
        .label(label)
        .filled_symbol(symbols::line::THICK_HORIZONTAL)
        .unfilled_symbol(symbols::line::HORIZONTAL)
        .filled_style(Style::new().fg(Color::Cyan))
        .unfilled_style(Style::new().dim());
    frame.render_widget(gauge_widget, gauge);
}

fn summary(run: &RunView) -> Line<'static> {
    let failures = plural(run.failures, "failure");
    let failures = if run.failures == 0 {
        Span::from(failures)
    } else {
        failures.red().bold()
    };
    Line::from(vec![
        format!("{}/s", rate(run.per_second)).bold(),
        format!(
            "   {} contended   {} acquired   {}   ",
            percent(run.contention),
            count(run.acquisitions),
            plural(run.alive, "worker")
        )
        .into(),
        failures,
    ])
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, run: &RunView) {
    let most = run.history.iter().copied().max().unwrap_or(0);
    let title = format!(
        "acquisitions per second, of all workers, up to {}",
        count(most)
    );
    let [name, bars] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::from(title).dim(), name);
    let fitting = usize::from(area.width);
    let from = run.history.len().saturating_sub(fitting);
    let shown: Vec<u64> = run.history.iter().skip(from).copied().collect();
    let sparkline = Sparkline::default()
        .data(shown)
        .style(Style::new().fg(Color::Cyan));
    frame.render_widget(sparkline, bars);
}

fn draw_workers(frame: &mut Frame<'_>, area: Rect, run: &RunView) {
    let room = usize::from(area.height.saturating_sub(1));
    let all = run.workers.len();
    let shown = if all > room {
        room.saturating_sub(1)
    } else {
        all
    };
    let most = run.workers.iter().map(|it| it.per_second);
    let most = most.fold(0.0, f64::max);
    let mut rows: Vec<Row<'_>> = run.workers[..shown]
        .iter()
        .map(|worker| row(worker, most))
        .collect();
    if shown < all {
        let rest = run.workers[shown..].iter().map(|it| it.per_second);
        let (low, high) = rest.fold((f64::INFINITY, 0.0_f64), |(low, high), it| {
            (low.min(it), high.max(it))
        });
        let text = format!("and {} more", all - shown);
        let rates = format!("{} to {}", rate(low), rate(high));
        rows.push(Row::new([text, String::new(), rates]).dim());
    }
    let widths = [
        Constraint::Length(14),
        Constraint::Max(BAR),
        Constraint::Length(16),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(9),
    ];
    let headings = [
        "worker",
        "",
        "per second",
        "contended",
        "acquired",
        "failures",
    ];
    let table = Table::new(rows, widths).header(Row::new(headings).dim());
    frame.render_widget(table, area);
}

fn row(worker: &WorkerView, most: f64) -> Row<'static> {
    let failures = worker.counts.failures;
    let style = if failures == 0 {
        Style::new()
    } else {
        Style::new().red().bold()
    };
    Row::new([
        Cell::from(format!("{} {}", worker.role, worker.counts.index)),
        Cell::from(bar(worker.per_second, most).cyan()),
        Cell::from(rate(worker.per_second)),
        Cell::from(percent(worker.contention)),
        Cell::from(count(worker.counts.acquisitions)),
        Cell::from(count(failures)).style(style),
    ])
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part from 0 to 1 of a few columns"
)]
fn bar(value: f64, most: f64) -> String {
    let part = if most > 0.0 { value / most } else { 0.0 };
    let eighths = (part.clamp(0.0, 1.0) * f64::from(BAR) * 8.0) as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    "█".repeat(eighths / 8) + rest[eighths % 8]
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let [title, lines] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::from("last events").dim(), title);
    let from = model.events.len().saturating_sub(usize::from(lines.height));
    let shown: Vec<Line<'_>> = model.events.iter().skip(from).map(event).collect();
    frame.render_widget(Paragraph::new(shown), lines);
}

fn event(event: &Event) -> Line<'_> {
    let text = Span::from(event.text.as_str());
    Line::from(vec![
        format!("{:>7}  ", clock(event.at)).dim(),
        if event.bad { text.red() } else { text },
    ])
}

/// Minutes and seconds, or hours too.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}
