//! The terminal while a view has it: a screen of its own, keys without Enter.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use super::{model::Model, screen};

/// Whether a view has the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal; given back when this is dropped, and when the program panics.
pub struct Terminal(DefaultTerminal);

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn enter() -> io::Result<Self> {
        TAKEN.store(true, Ordering::SeqCst);
        ratatui::try_init().map(Self).inspect_err(|_| leave())
    }

    /// Draws. A terminal that went away shows nothing: the runs go on, and their results are kept.
    pub fn draw(&mut self, model: &Model, at: Duration) {
        let _ = self.0.draw(|frame| screen::draw(frame, model, at));
    }

    /// Whether a key was pressed that asks for the end.
    pub fn end_is_wanted() -> bool {
        let mut wanted = false;
        while event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Event::Key(key)) => wanted |= asks_for_end(key),
                Ok(_) => {}
                Err(_) => return wanted,
            }
        }
        wanted
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back, if a view has it: before the program ends in the middle of one.
pub fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        ratatui::restore();
    }
}

/// Ctrl-C comes as a key, since the terminal makes no signal of it meanwhile.
pub fn asks_for_end(key: KeyEvent) -> bool {
    let interrupts =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (interrupts || key.code == KeyCode::Char('q'))
}
