//! The commands: from a parsed command line to a verdict.

mod bench;
mod budget;
mod hold;
mod locks;
mod runs;
mod soak;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
mod watch;
mod without_driver;

use std::{ffi::OsString, mem, time::Duration};

use clap::Parser as _;

use crate::{
    catalog,
    cli::{Cli, Command},
    client::Client,
    error::Error,
    exit::Exit,
    interrupt::Interrupt,
    locks::{LockStat, Lockdep},
    manage,
    save::Target,
    show::{self, DriverInfo, Report, Screen},
    transport::{Transport, serve},
};

/// Runs a command line and says how it came out.
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed terminal leaves nobody to tell.
            let _ = error.print();
            let asked_for_help = !error.use_stderr();
            return if asked_for_help {
                Exit::Passed
            } else {
                Exit::Usage
            };
        }
    };
    if let Command::Manage(command) = &cli.command {
        return manage::main(command, cli.display.json);
    }
    let screen = Screen::new(&cli.display);
    if let Some(error) = cli.display.save.iter().find_map(|it| it.check().err()) {
        show::error(&error);
        return error.exit();
    }
    if let Some(ended) = without_driver::carry_out(&cli, screen) {
        return ended.unwrap_or_else(|error| {
            show::error(&error);
            error.exit()
        });
    }
    let interrupt = Interrupt::watch();
    let mut conduct = Conduct::new(&cli.command, screen, &interrupt);
    let ended = cli.host.load().and_then(|transport| conduct.on(transport));
    conduct.finish(ended.err().as_ref(), &cli.display.save)
}

/// One command being carried out.
struct Conduct<'a> {
    command: &'a Command,
    screen: Screen,
    interrupt: &'a Interrupt,
    /// What came out so far; it is kept if the command ends early.
    report: Report,
}

impl<'a> Conduct<'a> {
    fn new(command: &'a Command, screen: Screen, interrupt: &'a Interrupt) -> Self {
        Self {
            command,
            screen,
            interrupt,
            report: Report {
                command: command.name().to_owned(),
                ..Report::default()
            },
        }
    }

    /// Carries the command out on a loaded driver, and unloads it.
    fn on(&mut self, transport: Box<dyn Transport>) -> Result<(), Error> {
        self.report.host = Some(transport.host().clone());
        let ended = self.with_device(&*transport);
        if ended.as_ref().is_err_and(Error::leaves_nothing_to_unload) {
            // The kernel is dead, or unloading would wait for a run that does not end.
            mem::forget(transport);
            return ended;
        }
        let unloaded = transport.unload();
        ended?;
        self.report.leaks = unloaded?;
        Ok(())
    }

    fn with_device(&mut self, transport: &dyn Transport) -> Result<(), Error> {
        let client = Client::new(transport.open()?)?;
        self.report.driver = Some(DriverInfo::from(client.version()));
        let ended = self.with_client(&client, transport);
        if ended.as_ref().is_err_and(Error::leaves_nothing_to_unload) {
            mem::forget(client);
            return ended;
        }
        let closed = client.close();
        ended?;
        Ok(closed?)
    }

    fn with_client(&mut self, client: &Client, transport: &dyn Transport) -> Result<(), Error> {
        self.screen.heading(&self.report);
        let host = self.report.host.as_ref().map(ToString::to_string);
        let title = format!(
            "syncstress {} on {}",
            self.report.command,
            host.unwrap_or_default()
        );
        let runs = || runs::Runs::new(client, title.clone(), self.screen, self.interrupt);
        match self.command {
            // Those were carried out before any driver was loaded.
            Command::Manage(_)
            | Command::Report { .. }
            | Command::Compare(_)
            | Command::Schema
            | Command::Completions { .. }
            | Command::Man => {}
            Command::Info => self.screen.info(&self.report),
            Command::List => {
                let items = catalog::read(client)?;
                self.screen.list(&items);
                self.report.items = Some(items);
            }
            Command::Test { names } => runs()?.test(names, &mut self.report)?,
            Command::Stress(stress) => {
                runs()?.stress(stress, &mut self.report)?;
                self.report.lock_stat = LockStat::read_if_there(client)?;
            }
            Command::Hold(hold) => hold::carry_out(
                hold,
                (transport, client),
                self.screen,
                self.interrupt,
                &mut self.report,
            )?,
            Command::Lockdep(watched) => {
                // Asked before anything runs: a driver without it is told of at once.
                Lockdep::read(client)?;
                if let Some(stress) = watched.stress() {
                    runs()?.stress(&stress, &mut self.report)?;
                }
                let lockdep = Lockdep::read(client)?;
                self.screen.lockdep(&lockdep);
                self.report.lockdep = Some(lockdep);
            }
            Command::LockStat(watched) => {
                LockStat::read(client)?;
                if let Some(stress) = watched.stress() {
                    runs()?.stress(&stress, &mut self.report)?;
                }
                let lock_stat = LockStat::read(client)?;
                self.screen.lock_stat(&lock_stat);
                self.report.lock_stat = Some(lock_stat);
            }
            Command::Locks(watched) => {
                if let Some(stress) = watched.stress() {
                    runs()?.stress(&stress, &mut self.report)?;
                }
                runs()?.locks(client, &mut self.report)?;
            }
            Command::Sweep(sweep) => {
                runs()?.sweep(sweep, &mut self.report)?;
                self.report.lock_stat = LockStat::read_if_there(client)?;
            }
            Command::Soak(soak) => {
                runs()?.soak(soak, &mut self.report)?;
                self.report.lock_stat = LockStat::read_if_there(client)?;
            }
            Command::Watch { patience } => {
                runs()?.watch(client, Duration::from_secs(*patience), &mut self.report)?;
            }
            Command::Serve { socket } => serve(transport, socket, self.interrupt, || {
                self.screen
                    .line(format_args!("at {}, until Ctrl-C", socket.display()));
            })?,
            Command::Bench { what } => runs()?.bench(what, &mut self.report)?,
        }
        Ok(())
    }

    /// Judges, and shows the verdict or the JSON document.
    fn finish(mut self, error: Option<&Error>, save: &[Target]) -> Exit {
        let report = &mut self.report;
        report.judge(error);
        match (&report.bug_check, error) {
            (Some(bug_check), _) => self.screen.bug_check(bug_check),
            (None, Some(error)) => show::error(error),
            (None, None) => {}
        }
        if self.screen.is_silent() {
            Screen::json(report);
        } else if report.has_results()
            || (error.is_none() && matches!(self.command, Command::Serve { .. }))
        {
            self.screen.verdict(report);
        }
        for target in save {
            if let Err(error) = target.write(report) {
                show::error(&error);
                return error.exit();
            }
        }
        report.verdict
    }
}
