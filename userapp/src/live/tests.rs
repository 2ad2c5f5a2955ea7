//! The view of runs that are made up, on a terminal that is made up.

use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyEvent};
use syncstress_protocol::Role;
use zerocopy::FromZeros as _;

use super::{model::Model, *};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A run of four workers after so many seconds, of which the last one gets nothing.
fn look(model: &mut Model, seconds: u64, failures: u64) {
    let worker = |index: u32| WorkerDetail {
        index,
        role: Role::Writer.to_wire(),
        acquisitions: if index == 3 { 0 } else { 1000 * seconds },
        contended: 250 * seconds,
        ..WorkerDetail::new_zeroed()
    };
    let workers: Vec<WorkerDetail> = (0..4).map(worker).collect();
    let counts = Progress {
        workers: 4,
        elapsed_100ns: seconds * 10_000_000,
        planned_100ns: 200_000_000,
        acquisitions: 3000 * seconds,
        failures,
        ..Progress::new_zeroed()
    };
    model.sees(at(seconds), &counts, &workers);
}

fn model() -> Model {
    let mut model = Model::new("stress on nthost, not Windows".to_owned());
    model.plan.runs = vec![at(20); 3];
    model.starts(at(0), "mutex");
    for seconds in 1..=5 {
        look(&mut model, seconds, 0);
    }
    model
}

fn drawn(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let frame = terminal
        .draw(|frame| screen::draw(frame, model, at(5)))
        .unwrap();
    let lines = frame.buffer.content().chunks(usize::from(width));
    lines
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect())
        .collect()
}

#[test]
fn a_screen_has_rates_contention_events_and_the_time_left() {
    let lines = drawn(&model(), 100, 24);
    let line = |text: &str| {
        let found = lines.iter().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("{text}: {lines:#?}"))
    };
    assert!(line("stress on nthost, not Windows").contains("run 1 of 3, 0:55 left in all"));
    assert!(line("mutex ").contains("0:05 of 0:20, 0:15 left"));
    assert!(line("3000/s").contains("33.3% contended   15.0k acquired   4 workers   0 failures"));
    assert!(line("writer 0").contains("█ 1000"));
    assert!(line("writer 0").contains("25.0%"));
    assert!(line("writer 3 ").contains(" 0 "));
    line("0:01  writer 3 has got nothing for 1.00 s");
    line("q or Ctrl-C: stop, and keep the results");
    let starved = lines.iter().filter(|line| line.contains("nothing for"));
    assert_eq!(starved.count(), 1, "told once: {lines:#?}");
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut model = model();
    let lines = drawn(&model, 60, 14);
    assert!(
        lines.iter().any(|line| line.contains("and 3 more")),
        "{lines:#?}"
    );
    for (width, height) in [(1, 1), (20, 5), (300, 100)] {
        drawn(&model, width, height);
    }
    look(&mut model, 6, 2);
    let lines = drawn(&model, 100, 24);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("2 more checks failed")),
        "{lines:#?}"
    );
}

#[test]
fn a_line_comes_every_five_seconds() {
    let mut model = Model::new(String::new());
    let mut lines = Lines::default();
    model.starts(at(0), "mutex");
    let mut told = Vec::new();
    for seconds in 1..=11 {
        look(&mut model, seconds, 0);
        told.extend(lines.due(&model));
    }
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[1].contains("3000/s, 33.3% contended, 30.0k acquisitions"));
}

#[test]
fn q_and_ctrl_c_ask_for_the_end() {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};

    let asks =
        |key: char, modifiers| terminal::asks_for_end(KeyEvent::new(KeyCode::Char(key), modifiers));
    assert!(asks('q', KeyModifiers::NONE) && asks('c', KeyModifiers::CONTROL));
    assert!(!asks('c', KeyModifiers::NONE) && !asks('x', KeyModifiers::CONTROL));
}
