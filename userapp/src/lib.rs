//! The program `syncstress` as a library, so that tests can speak to the driver as the program
//! does.
//!
//! A command line becomes a [`transport::Transport`] (which driver, on which host), the transport
//! gives a [`transport::Handle`], the handle a [`client::Client`] that speaks the protocol in types.
//! Above it a command plans runs, `run` carries each out, `record` keeps the result, and `show`
//! prints it. What the driver sends is data from outside: sizes, counts and text are checked before
//! they are used.

mod catalog;
mod cli;
pub mod client;
mod commands;
mod compare;
mod environment;
mod error;
mod examples;
mod exit;
mod fairness;
pub mod held;
mod interrupt;
mod latency;
mod length;
mod live;
mod locks;
mod manage;
mod measured;
mod numbers;
mod parameters;
mod record;
mod run;
mod save;
mod selection;
mod show;
pub mod status;
pub mod transport;
mod wire;

pub use exit::Exit;

/// Runs the command line `arguments` (the program's name first) and says how it came out.
pub fn main(
    arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> std::process::ExitCode {
    commands::main(arguments).into()
}
