//! Which items the names on the command line mean.

use std::collections::HashSet;

use syncstress_protocol::ItemKind;
use wildmatch::WildMatch;

use crate::{catalog::Item, error::Error, wire};

/// How alike (1 is equal) a name has to be to be suggested.
const ALIKE: f64 = 0.6;
/// How many names are suggested.
const MOST_SUGGESTIONS: usize = 4;

/// The items of `kind` that `patterns` name, each once, in the order of the patterns; without
/// patterns, all that are not negative controls.
///
/// A pattern is a name, the beginning of one, or has `*` and `?`. It means a negative control only
/// if it means nothing else, so none runs by accident.
///
/// # Errors
/// A usage error for a pattern that means nothing, with names that are near.
pub fn select<'c>(
    catalog: &'c [Item],
    kind: ItemKind,
    patterns: &[String],
) -> Result<Vec<&'c Item>, Error> {
    let all: Vec<&Item> = catalog
        .iter()
        .filter(|item| item.kind == Some(kind))
        .collect();
    if all.is_empty() {
        return Err(Error::usage(
            format!("the driver has no {}", wire::kind(kind.to_wire())),
            None,
        ));
    }
    if patterns.is_empty() {
        return Ok(all
            .into_iter()
            .filter(|item| !item.negative_control)
            .collect());
    }
    let mut seen = HashSet::new();
    let mut selected = Vec::new();
    for pattern in patterns {
        let matched = matching(&all, pattern);
        if matched.is_empty() {
            return Err(unknown(catalog, kind, pattern));
        }
        selected.extend(matched.into_iter().filter(|item| seen.insert(item.id)));
    }
    Ok(selected)
}

fn matching<'c>(items: &[&'c Item], pattern: &str) -> Vec<&'c Item> {
    if pattern.is_empty() {
        // Every name begins with it, and nobody who types a name means all.
        return Vec::new();
    }
    if let Some(item) = items.iter().find(|item| item.name == pattern) {
        return vec![item];
    }
    let is_glob = pattern.contains(['*', '?']);
    let glob = WildMatch::new(pattern);
    let fits = |item: &&&Item| {
        if is_glob {
            glob.matches(&item.name)
        } else {
            item.name.starts_with(pattern)
        }
    };
    let matched: Vec<&Item> = items.iter().filter(fits).copied().collect();
    let regular: Vec<&Item> = matched
        .iter()
        .filter(|it| !it.negative_control)
        .copied()
        .collect();
    if regular.is_empty() { matched } else { regular }
}

fn unknown(catalog: &[Item], kind: ItemKind, pattern: &str) -> Error {
    let what = wire::kind(kind.to_wire());
    let others: Vec<&Item> = catalog.iter().filter(|it| it.kind != Some(kind)).collect();
    if let [other, ..] = matching(&others, pattern)[..] {
        return Error::usage(
            format!("no {what} is named `{pattern}`"),
            format!(
                "`{}` is a {}: try `syncstress {}`",
                other.name,
                other.kind_name,
                match other.kind {
                    Some(ItemKind::Scenario) => "stress",
                    Some(ItemKind::HoldPattern) => "hold",
                    Some(ItemKind::BehaviourTest) | None => "test",
                }
            ),
        );
    }
    let names = catalog
        .iter()
        .filter(|it| it.kind == Some(kind))
        .map(|it| it.name.as_str());
    let near = suggestions(pattern, names);
    let hint = if near.is_empty() {
        "`syncstress list` shows all names".to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Error::usage(format!("no {what} is named `{pattern}`"), hint)
}

/// The names nearest to `typed`, best first: by the whole name, by a part between dots, or because
/// they contain it.
pub fn suggestions<'n>(typed: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let likeness = |name: &str| {
        let parts = name.split('.').chain([name]);
        let alike = parts
            .map(|part| strsim::jaro_winkler(typed, part))
            .fold(0.0, f64::max);
        if name.contains(typed) {
            alike.max(0.9)
        } else {
            alike
        }
    };
    let mut near: Vec<(f64, &str)> = names
        .map(|name| (likeness(name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter()
        .take(MOST_SUGGESTIONS)
        .map(|(_, name)| format!("`{name}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples::item;

    fn catalog() -> Vec<Item> {
        use ItemKind::{BehaviourTest, Scenario};
        vec![
            item(1, BehaviourTest, "resource.shared_joins_shared", false),
            item(2, BehaviourTest, "mutex.recursion", false),
            item(3, Scenario, "resource.readers_writers", false),
            item(4, Scenario, "resource.conversion", false),
            item(5, Scenario, "spinlock.busted", true),
            item(6, Scenario, "spinlock.contenders", false),
        ]
    }

    fn names(kind: ItemKind, patterns: &[&str]) -> Result<Vec<String>, Error> {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let catalog = catalog();
        Ok(select(&catalog, kind, &patterns)?
            .iter()
            .map(|item| item.name.clone())
            .collect())
    }

    fn message(patterns: &[&str]) -> (String, String) {
        let error = names(ItemKind::Scenario, patterns).expect_err("means nothing");
        (
            error.to_string(),
            error.hint().unwrap_or_default().to_owned(),
        )
    }

    #[test]
    fn without_patterns_all_but_negative_controls() {
        let all = names(ItemKind::Scenario, &[]).unwrap();
        assert_eq!(
            all,
            [
                "resource.readers_writers",
                "resource.conversion",
                "spinlock.contenders"
            ]
        );
    }

    #[test]
    fn prefixes_and_globs_in_the_order_asked_for_and_each_once() {
        let found = names(ItemKind::Scenario, &["spin", "resource.*", "*.conversion"]).unwrap();
        assert_eq!(
            found,
            [
                "spinlock.contenders",
                "resource.readers_writers",
                "resource.conversion"
            ]
        );
    }

    #[test]
    fn a_negative_control_runs_only_when_nothing_else_is_meant() {
        assert_eq!(names(ItemKind::Scenario, &["*"]).unwrap().len(), 3);
        assert_eq!(
            names(ItemKind::Scenario, &["spinlock.busted"]).unwrap(),
            ["spinlock.busted"]
        );
        assert_eq!(
            names(ItemKind::Scenario, &["*busted"]).unwrap(),
            ["spinlock.busted"]
        );
    }

    #[test]
    fn an_empty_name_means_nothing() {
        assert!(names(ItemKind::Scenario, &[""]).is_err());
    }

    #[test]
    fn an_unknown_name_gets_near_ones() {
        let (what, hint) = message(&["resource.reader_writer"]);
        assert!(what.contains("`resource.reader_writer`"), "{what}");
        assert!(hint.contains("`resource.readers_writers`"), "{hint}");
        let (_, hint) = message(&["convertion"]);
        assert!(hint.contains("`resource.conversion`"), "{hint}");
        let (_, hint) = message(&["zzzzzz"]);
        assert!(hint.contains("syncstress list"), "{hint}");
    }

    #[test]
    fn a_name_of_the_other_kind_gets_the_other_command() {
        let (_, hint) = message(&["mutex.recursion"]);
        assert!(hint.contains("`syncstress test`"), "{hint}");
    }
}
