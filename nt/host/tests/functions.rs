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

/// The text without what its comments say.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next());
    lines.flatten().collect::<Vec<_>>().join("\n")
}

/// Whether `code` calls a function: by its name with arguments, or as an import of an image. What is exported and no
/// function is read.
fn calls(code: &str, name: &str) -> bool {
    let is_called = |(start, _)| {
        let (before, after) = (&code[..start], &code[start + name.len()..]);
        let in_image = ["call(\"", "call_plain(\""].map(|call| before.ends_with(call));
        let begins = !before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        begins && (after.starts_with('(') || after.starts_with(".get()"))
            || in_image.contains(&true) && after.starts_with('"')
    };
    code.match_indices(name).any(is_called)
}

#[test]
fn each_function_of_the_table_has_its_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let rows = rows();
    assert!(rows.len() > 250, "the table is not read: {}", rows.len());
    let mut silent = Vec::new();
    for (function, tests) in rows {
        assert!(
            nthost::export::find(function).is_some(),
            "{function} is not exported"
        );
        for test in tests {
            let text = fs::read_to_string(folder.join(format!("{test}.rs")))
                .unwrap_or_else(|error| panic!("{test} of {function}: {error}"));
            if !calls(&code(&text), function) {
                silent.push(format!("{test} does not call {function}"));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
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
