//! Every test and scenario, against the table of gaps.

use std::{thread, time::Duration};

use anyhow::{Result, bail, ensure};

use super::{
    gaps::{self, Effect, Gap},
    program::{Item, Outcome, Program},
};

/// How long an item has to go on for that it hangs.
const HANGS_AFTER: Duration = Duration::from_millis(2500);

/// Runs all that can be run. Errors are items that do not come out as the table says.
pub fn run(program: &Program) -> Result<()> {
    let items = program.items()?;
    let gaps = gaps::load()?;
    for gap in &gaps {
        ensure!(
            items.iter().any(|item| item.name == gap.item),
            "GAPS.md has a row for {}, which there is not",
            gap.item
        );
    }
    let mut wrong = Vec::new();
    let carried = carried(program, &items, &gaps, &mut wrong)?;
    fails(program, &items, &gaps, &mut wrong)?;
    lacks(program, &gaps, &mut wrong);
    hangs(program, &items, &gaps, &mut wrong)?;
    ends(program, &items, &gaps, &mut wrong)?;
    println!(
        "Wine carries {carried} of {} tests and scenarios, and {} rows of GAPS.md say why not the others",
        items.len(),
        gaps.len()
    );
    if !wrong.is_empty() {
        bail!("not as nt/wine/GAPS.md says:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// Runs what has no row, which has to come out well. Says how many that are.
fn carried(
    program: &Program,
    items: &[Item],
    gaps: &[Gap],
    wrong: &mut Vec<String>,
) -> Result<usize> {
    let named = |item: &Item| gaps.iter().any(|gap| gap.item == item.name);
    let carried: Vec<_> = items.iter().filter(|item| !named(item)).collect();
    for (item, outcome) in outcomes(program, &carried)? {
        if !is_good(item, &outcome) {
            wrong.push(format!("{}: {}: {}", item.name, outcome.word, outcome.log));
        }
    }
    Ok(carried.len())
}

/// Runs what has to fail.
fn fails(program: &Program, items: &[Item], gaps: &[Gap], wrong: &mut Vec<String>) -> Result<()> {
    let failing: Vec<_> = of_effect(items, gaps, &Effect::Fails);
    for (item, outcome) in outcomes(program, &failing)? {
        if is_good(item, &outcome) {
            wrong.push(no_gap(item));
        }
    }
    Ok(())
}

/// Looks up what is said to be absent.
fn lacks(program: &Program, gaps: &[Gap], wrong: &mut Vec<String>) {
    for gap in gaps {
        if let Effect::Lacks(function) = &gap.effect
            && program.prefix.kernel.has(function)
        {
            wrong.push(format!("{}: there is {function}; run it", gap.item));
        }
    }
}

/// Runs what has to hang: items of one gap side by side, one gap after the other. What hangs stays until
/// the end, since the driver cannot be rid of it.
fn hangs(program: &Program, items: &[Item], gaps: &[Gap], wrong: &mut Vec<String>) -> Result<()> {
    let hanging: Vec<_> = gaps
        .iter()
        .filter(|gap| gap.effect == Effect::Hangs)
        .collect();
    let mut started = Vec::new();
    for group in hanging.chunk_by(|one, other| one.why == other.why) {
        let of_group = |item: &&Item| group.iter().any(|gap| gap.item == item.name);
        for item in items.iter().filter(of_group) {
            started.push((item, program.start(item)?));
        }
        thread::sleep(HANGS_AFTER);
    }
    for (item, process) in &mut started {
        if !process.is_running()? {
            wrong.push(format!("{}: it ends; run it", item.name));
        }
    }
    program.prefix.end_server();
    for (_, process) in started {
        process.wait()?;
    }
    Ok(())
}

/// Runs what has to end the driver's process, each in a new one.
fn ends(program: &Program, items: &[Item], gaps: &[Gap], wrong: &mut Vec<String>) -> Result<()> {
    for item in of_effect(items, gaps, &Effect::Ends) {
        // It brings Wine and, in it, the driver up again.
        program.succeed(&["info"])?;
        let outcomes = program.outcomes(&[item])?;
        if outcomes.iter().any(|outcome| is_good(item, outcome)) {
            wrong.push(no_gap(item));
        }
        program.prefix.end_server();
    }
    program.succeed(&["info"])?;
    Ok(())
}

fn of_effect<'a>(items: &'a [Item], gaps: &[Gap], effect: &Effect) -> Vec<&'a Item> {
    let has_it = |item: &&Item| {
        gaps.iter()
            .any(|gap| gap.item == item.name && gap.effect == *effect)
    };
    items.iter().filter(has_it).collect()
}

/// Runs tests, then scenarios, and pairs each with its outcome.
fn outcomes<'a>(program: &Program, items: &[&'a Item]) -> Result<Vec<(&'a Item, Outcome)>> {
    let (scenarios, tests): (Vec<_>, Vec<_>) =
        items.iter().copied().partition(|item| item.is_scenario);
    let mut all = Vec::new();
    for group in [tests, scenarios] {
        let mut outcomes = program.outcomes(&group)?.into_iter();
        for item in group {
            let Some(outcome) = outcomes.next().filter(|it| it.name == item.name) else {
                bail!(
                    "{} was not run: what came before it ended the driver",
                    item.name
                );
            };
            all.push((item, outcome));
        }
    }
    Ok(all)
}

/// Whether an item came out as it is meant to.
fn is_good(item: &Item, outcome: &Outcome) -> bool {
    let meant = if item.is_negative_control {
        "failed"
    } else {
        "passed"
    };
    outcome.word == meant
}

fn no_gap(item: &Item) -> String {
    format!("{}: it comes out well; its row has to go", item.name)
}
