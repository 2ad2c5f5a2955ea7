//! The table of functions and the tests that state what they do, against the kernel's exports and the
//! tests themselves.
#![cfg(not(windows))]

use std::{collections::BTreeMap, fs, path::Path};

const TABLE: &str = include_str!("../FUNCTIONS.md");

/// What compilers call by themselves, with which the images of other tests are full.
const COMPILERS: [&str; 2] = ["__C_specific_handler", "__chkstk"];

/// The rows: a function and the files of its tests.
fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    TABLE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .filter_map(|row| row.split_once("` | "))
        .map(|(function, tests)| (function, tests.split(", ").collect()))
        .collect()
}

/// Whether `text` has `name` as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let part_of_word = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || character == '_')
    };
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        !part_of_word(before) && !part_of_word(after)
    })
}

#[test]
fn each_function_of_the_table_has_its_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let rows = rows();
    assert!(rows.len() > 250, "the table is not read: {}", rows.len());
    for (function, tests) in rows {
        assert!(
            nthost::export::find(function).is_some(),
            "{function} is not exported"
        );
        for test in tests {
            let text = fs::read_to_string(folder.join(format!("{test}.rs")))
                .unwrap_or_else(|error| panic!("{test} of {function}: {error}"));
            assert!(names(&text, function), "{test} does not call {function}");
        }
    }
}

#[test]
fn each_function_is_in_the_table() {
    let rows = rows();
    let exports = nthost::export::all().iter().copied().flatten();
    let missing: Vec<_> = exports
        .map(|export| export.name)
        .filter(|name| !rows.contains_key(name) && !COMPILERS.contains(name))
        .collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
}
