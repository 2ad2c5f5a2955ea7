//! The table of what Wine cannot carry: `nt/wine/GAPS.md`.

use anyhow::{Context, Result, bail};

use crate::workspace::{read, root};

/// What becomes of an item that Wine cannot carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It ends, and says that something is not as it should be.
    Fails,
    /// It does not end.
    Hangs,
    /// It ends the process that Wine runs the driver in.
    Ends,
    /// It mostly comes out well, and hangs at times.
    Unsteady,
    /// It calls this function, which is not there.
    Lacks(String),
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Gap {
    /// The test or scenario.
    pub item: String,
    /// What becomes of it.
    pub effect: Effect,
    /// What is the matter with Wine.
    pub why: String,
}

/// The rows of the table.
pub fn load() -> Result<Vec<Gap>> {
    let text = String::from_utf8(read(&root().join("nt/wine/GAPS.md"))?)?;
    parse(&text)
}

/// The rows that begin with a name in code.
fn parse(text: &str) -> Result<Vec<Gap>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut gaps: Vec<Gap> = Vec::new();
    for row in rows {
        let gap = parse_row(row).with_context(|| format!("the row of `{row}"))?;
        if gaps.iter().any(|other| other.item == gap.item) {
            bail!("{} has two rows", gap.item);
        }
        gaps.push(gap);
    }
    Ok(gaps)
}

fn parse_row(row: &str) -> Result<Gap> {
    let row = row.trim_end().trim_end_matches('|');
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    let [item, effect, why] = cells[..] else {
        bail!("it has {} cells and should have three", cells.len());
    };
    let effect = match effect {
        "fails" => Effect::Fails,
        "hangs" => Effect::Hangs,
        "ends" => Effect::Ends,
        "unsteady" => Effect::Unsteady,
        other => match other.strip_prefix("lacks `") {
            Some(function) => Effect::Lacks(function.trim_end_matches('`').to_owned()),
            None => bail!("`{other}` is no effect"),
        },
    };
    Ok(Gap {
        item: item.trim_end_matches('`').to_owned(),
        effect,
        why: why.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Effect, load, parse, read, root};

    #[test]
    fn rows_are_read_and_the_rest_is_prose() {
        let gaps = parse(
            "Prose.\n\n| item | effect | gap |\n|---|---|---|\n\
             | `a.b` | fails | no IRQL |\n| `c` | lacks `KeFoo` | it is absent |\n",
        )
        .expect("it reads");
        let [one, other] = &gaps[..] else {
            panic!("{gaps:?}");
        };
        assert_eq!(
            (&*one.item, &one.effect, &*one.why),
            ("a.b", &Effect::Fails, "no IRQL")
        );
        assert_eq!(other.effect, Effect::Lacks("KeFoo".into()));
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for wrong in [
            "| `a` | fails |",
            "| `a` | melts | why |",
            "| `a` | fails | one |\n| `a` | hangs | another |",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_table_reads_and_says_why() {
        let gaps = load().expect("it reads");
        assert!(!gaps.is_empty());
        assert!(gaps.iter().all(|gap| !gap.why.is_empty()));
    }

    #[test]
    fn the_readme_counts_its_rows() {
        let readme = read(&root().join("README.md")).expect("it is there");
        let readme = String::from_utf8(readme).expect("text").replace('\n', " ");
        let (_, counts) = readme.split_once("Wine carries ").expect("a sentence");
        let mut numbers = counts.split(' ').filter_map(|word| word.parse().ok());
        let (carried, all): (usize, usize) = (
            numbers.next().expect("what it carries"),
            numbers.next().expect("what there is"),
        );
        assert_eq!(all - carried, load().expect("it reads").len());
    }
}
