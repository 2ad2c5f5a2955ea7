//! Commands that need no driver.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{
    cli::{Cli, Command, Compare},
    compare::{Line, compare},
    error::Error,
    exit::Exit,
    save,
    show::{BOLD, DIM, GREEN, RED, Report, Screen},
};

/// Carries the command out, if it is one of these.
pub fn carry_out(cli: &Cli, screen: Screen) -> Option<Result<Exit, Error>> {
    Some(match &cli.command {
        Command::Report { result } => {
            save::read(result).and_then(|report| again(&report, cli, screen))
        }
        Command::Compare(arguments) => comparison(arguments, screen),
        Command::Schema => Ok(schema()),
        Command::Completions { shell } => Ok(completions(*shell)),
        Command::Man => Ok(man()),
        _ => return None,
    })
}

/// Shows a saved result, and writes it in other formats.
fn again(report: &Report, cli: &Cli, screen: Screen) -> Result<Exit, Error> {
    screen.heading(report);
    let (scenarios, tests): (Vec<_>, Vec<_>) =
        report.runs.iter().cloned().partition(|run| run.is_scenario);
    if !tests.is_empty() {
        screen.tests_in_short(&tests);
    }
    screen.scenarios(&scenarios);
    if screen.is_silent() {
        Screen::json(report);
    } else {
        screen.verdict(report);
    }
    for target in &cli.display.save {
        target.write(report)?;
    }
    Ok(report.verdict)
}

fn comparison(arguments: &Compare, screen: Screen) -> Result<Exit, Error> {
    let (before, after) = (
        save::read(&arguments.before)?,
        save::read(&arguments.after)?,
    );
    let lines = compare(&before, &after, f64::from(arguments.bound) / 100.0);
    if lines.is_empty() {
        let hint = "they need runs of one scenario with the same parameters".to_owned();
        return Err(Error::usage("the two results have nothing in common", hint));
    }
    let host = |report: &Report| {
        let host = report.host.as_ref().map(ToString::to_string);
        host.unwrap_or_else(|| "no host".to_owned())
    };
    for (which, path, report) in [
        ("before", &arguments.before, &before),
        ("after", &arguments.after, &after),
    ] {
        screen.line(format_args!(
            "{BOLD}{which:6}{BOLD:#} {} {DIM}on {}, {}{DIM:#}",
            path.display(),
            host(report),
            report.environment.began,
        ));
    }
    if host(&before) != host(&after) {
        screen.line(format_args!("{RED}the two ran on different hosts{RED:#}"));
    }
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for line in &lines {
        screen.line(one_line(line, width));
    }
    let worse = lines.iter().filter(|line| line.is_worse).count();
    if worse == 0 {
        screen.line(format_args!(
            "{GREEN}no regression{GREEN:#} past {}%",
            arguments.bound
        ));
        return Ok(Exit::Passed);
    }
    screen.line(format_args!(
        "{RED}{worse} regressions{RED:#} past {}%",
        arguments.bound
    ));
    Ok(Exit::Failed)
}

fn one_line(line: &Line, width: usize) -> String {
    let (low, high) = line.spread;
    let worse = if line.is_worse { "  WORSE" } else { "" };
    format!(
        "  {:width$}  {:15} {:>9} -> {:>9}  x{:.2} ({low:.2}..{high:.2}){worse}",
        line.name, line.figure, line.before, line.after, line.ratio,
    )
}

fn schema() -> Exit {
    print(&schema_text());
    Exit::Passed
}

/// The schema of the JSON document.
pub fn schema_text() -> String {
    let schema = schemars::schema_for!(Report);
    match serde_json::to_string_pretty(&schema) {
        Ok(text) => text + "\n",
        // A schema is objects, lists and text, all of which JSON has.
        Err(error) => error.to_string(),
    }
}

fn completions(shell: Shell) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "syncstress", &mut text);
    print(&String::from_utf8_lossy(&text));
    Exit::Passed
}

fn man() -> Exit {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(Cli::command()).render(&mut text);
    print(&String::from_utf8_lossy(&text));
    Exit::Passed
}

fn print(text: &str) {
    use std::io::Write as _;

    // If standard output is closed there is nobody to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_program() {
        let published = include_str!("../../result.schema.json");
        assert!(
            schema_text() == published,
            "`syncstress schema > userapp/result.schema.json` publishes it"
        );
    }

    #[test]
    fn every_command_is_in_the_manual_and_in_the_completions() {
        let mut man = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut man)
            .unwrap();
        let mut bash = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "syncstress", &mut bash);
        // roff writes a hyphen as `\-`.
        let man = String::from_utf8(man).unwrap().replace(r"\-", "-");
        let bash = String::from_utf8(bash).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(man.contains(name), "{name}");
            assert!(bash.contains(name), "{name}");
        }
    }
}
