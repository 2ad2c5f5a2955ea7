//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends the program at once.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{exit::Exit, live::leave_terminal};

/// Whether the user wants the program to end.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Shared>);

#[derive(Default)]
struct Shared {
    requested: Mutex<bool>,
    changed: Condvar,
}

impl Interrupt {
    /// Watches for Ctrl-C, SIGTERM and SIGHUP from now on.
    pub fn watch() -> Self {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        let handler = move || {
            if seen.request() {
                leave_terminal();
                std::process::exit(Exit::Interrupted.code().into());
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            anstream::eprintln!("warning: Ctrl-C will end the program at once: {error}");
        }
        interrupt
    }

    /// Asks for an orderly end; says whether that was asked for before.
    pub fn request(&self) -> bool {
        let before = std::mem::replace(&mut *self.lock(), true);
        self.0.changed.notify_all();
        before
    }

    /// Whether an orderly end was asked for.
    pub fn is_requested(&self) -> bool {
        *self.lock()
    }

    /// Sleeps for `time`, or until an orderly end is asked for; if that was before, for `time`.
    pub fn sleep(&self, time: Duration) {
        if self.is_requested() {
            std::thread::sleep(time);
        } else {
            drop(
                self.0
                    .changed
                    .wait_timeout_while(self.lock(), time, |requested| !*requested),
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
