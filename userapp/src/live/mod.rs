//! What is seen of runs while they go on: a screen of its own on a terminal, lines elsewhere,
//! nothing with `--json`.

mod lines;
mod model;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use syncstress_protocol::{Progress, WorkerDetail};

use self::{lines::Lines, model::Model, terminal::Terminal};
use crate::{exit::Exit, interrupt::Interrupt, record::RunRecord, show::Screen};

pub use self::terminal::leave as leave_terminal;

/// Counts are asked for, and shown, so often.
const EVERY: Duration = Duration::from_millis(100);

/// The view of one command's runs.
pub struct Live<'a> {
    screen: Screen,
    interrupt: &'a Interrupt,
    began: Instant,
    state: RefCell<State>,
}

struct State {
    model: Model,
    view: View,
    /// Whether the terminal can be had.
    may_draw: bool,
    looked: Option<Instant>,
    /// Lines that were said while the screen was there, for when it is gone.
    said: Vec<String>,
}

enum View {
    None,
    Terminal(Terminal),
    Lines(Lines),
}

/// Runs to come.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How long each is to take, in the order in which they come.
    pub runs: Vec<Duration>,
    /// When the last one begins at the latest, where they go on and on until then.
    pub until: Option<Duration>,
    /// Whether others start them, so that there may be any number.
    pub is_unknown: bool,
}

impl Plan {
    /// The runs of others.
    pub fn unknown() -> Self {
        Self {
            is_unknown: true,
            ..Self::default()
        }
    }
}

impl<'a> Live<'a> {
    /// A view that is not there until runs [begin](Self::begin).
    pub fn new(title: String, screen: Screen, interrupt: &'a Interrupt) -> Self {
        let may_draw = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        Self {
            screen,
            interrupt,
            began: Instant::now(),
            state: RefCell::new(State {
                model: Model::new(title),
                view: View::None,
                may_draw,
                looked: None,
                said: Vec::new(),
            }),
        }
    }

    /// Shows itself, for the runs of `plan`. A terminal that cannot be had gets lines.
    pub fn begin(&self, plan: Plan) {
        if self.screen.is_silent() {
            return;
        }
        let mut state = self.state.borrow_mut();
        state.model.plan = plan;
        if matches!(state.view, View::Terminal(_)) {
            return;
        }
        let terminal = state.may_draw.then(Terminal::enter).and_then(Result::ok);
        state.view = terminal.map_or_else(|| View::Lines(Lines::default()), View::Terminal);
    }

    /// A run was started.
    pub fn starts(&self, name: &str) {
        let at = self.began.elapsed();
        let mut state = self.state.borrow_mut();
        state.model.starts(at, name);
        state.looked = None;
    }

    /// Looks at a run that goes on, if it is time to. `workers` asks for the workers' counts.
    pub fn look(&self, counts: &Progress, workers: impl FnOnce() -> Vec<WorkerDetail>) {
        let mut state = self.state.borrow_mut();
        let early = state.looked.is_some_and(|then| then.elapsed() < EVERY);
        if early || matches!(state.view, View::None) {
            return;
        }
        state.looked = Some(Instant::now());
        let at = self.began.elapsed();
        state.model.sees(at, counts, &workers());
        self.show(&mut state, at);
    }

    /// Nothing goes on.
    pub fn idle(&self) {
        let at = self.began.elapsed();
        self.show(&mut self.state.borrow_mut(), at);
    }

    /// A run has ended.
    pub fn ended(&self, run: &RunRecord) {
        let at = self.began.elapsed();
        let mut state = self.state.borrow_mut();
        state.model.ended(at, run);
        if matches!(state.view, View::Lines(_)) {
            self.screen.line(lines::ended(run));
        }
    }

    /// Says a line; on a terminal now among the events, and for good when the screen is gone.
    pub fn say(&self, line: String) {
        let at = self.began.elapsed();
        let mut state = self.state.borrow_mut();
        if matches!(state.view, View::Terminal(_)) {
            let plain = anstream::adapter::strip_str(&line).to_string();
            state.model.says(at, plain.trim().to_owned());
            state.said.push(line);
        } else {
            self.screen.line(line);
        }
    }

    /// Leaves the terminal to what comes after the runs.
    pub fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.view = View::None;
        for line in state.said.drain(..) {
            self.screen.line(line);
        }
    }

    fn show(&self, state: &mut State, at: Duration) {
        let State { model, view, .. } = state;
        match view {
            View::None => {}
            View::Lines(lines) => {
                if let Some(line) = lines.due(model) {
                    self.screen.line(line);
                }
            }
            View::Terminal(terminal) => {
                terminal.draw(model, at);
                if Terminal::end_is_wanted() {
                    model.says(at, "told to stop".to_owned());
                    if self.interrupt.request() {
                        leave_terminal();
                        std::process::exit(Exit::Interrupted.code().into());
                    }
                }
            }
        }
    }
}
