//! The guide names the test that holds each hole closed. It names tests that exist.
#![cfg(not(windows))]

use std::{fs, path::Path};

const CHAPTER: &str = include_str!("../guide/how_a_lock_can_go_wrong.md");

/// What stands between backquotes.
fn quoted() -> impl Iterator<Item = &'static str> {
    CHAPTER.split('`').skip(1).step_by(2)
}

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

#[test]
fn every_compile_fail_case_that_the_guide_names_exists() {
    let cases: Vec<_> = quoted().filter(|name| name.starts_with("ui/")).collect();
    assert!(cases.len() > 5, "the guide names its cases: {cases:?}");
    for case in cases {
        assert!(tests().join(case).is_file(), "no such case: {case}");
    }
}

#[test]
fn every_test_that_the_guide_names_exists() {
    let sources: String = fs::read_dir(tests())
        .expect("the folder of this test")
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).expect("a source file"))
        .collect();
    let names: Vec<_> = quoted()
        .filter(|name| name.matches('_').count() > 3 && !name.contains(['/', ' ', ':']))
        .collect();
    assert!(names.len() > 5, "the guide names its tests: {names:?}");
    for name in names {
        assert!(
            sources.contains(&format!("fn {name}()")),
            "no such test: {name}"
        );
    }
}
