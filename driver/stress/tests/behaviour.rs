//! Every behaviour test, run as the tool runs them.
#![cfg(not(windows))]

mod common;

use std::collections::HashSet;

use common::{Client, engine};
use syncstress_protocol::{ItemKind, Primitive, Verdict};

/// Runs all tests of a primitive.
fn run_all(primitive: Primitive) {
    let engine = engine();
    let client = Client::new(&engine);
    let items = client.items().into_iter().filter(|item| {
        item.kind == ItemKind::BehaviourTest.to_wire() && item.primitive == primitive.to_wire()
    });
    let mut failed = Vec::new();
    for item in items {
        let result = client.run(item.name.as_str(), &[]);
        assert!(
            result.log.contains("ok ") || result.log.contains("not checked"),
            "{} checked nothing",
            item.name
        );
        if result.verdict() != Verdict::Passed || result.summary.failures != 0 {
            failed.push(format!("{}:\n{}", item.name, result.log));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn spin_lock() {
    run_all(Primitive::SpinLock);
}

#[test]
fn mutex() {
    run_all(Primitive::Mutex);
}

#[test]
fn resource() {
    run_all(Primitive::Resource);
}

#[test]
fn fast_mutex() {
    run_all(Primitive::FastMutex);
}

#[test]
fn timer() {
    run_all(Primitive::Timer);
}

#[test]
fn event() {
    run_all(Primitive::Event);
}

#[test]
fn thread() {
    run_all(Primitive::Thread);
}

#[test]
fn region() {
    run_all(Primitive::Region);
}

#[test]
fn the_catalogue_is_consistent() {
    let engine = engine();
    let client = Client::new(&engine);
    let items = client.items();
    assert_eq!(items.len(), client.version().items as usize);
    let ids: HashSet<_> = items.iter().map(|item| item.id).collect();
    assert_eq!(ids.len(), items.len(), "an id is there twice");
    let names: HashSet<_> = items.iter().map(|item| item.name.to_string()).collect();
    assert_eq!(names.len(), items.len(), "a name is there twice");
    for item in &items {
        assert_ne!(item.id, 0);
        assert!(Primitive::from_wire(item.primitive).is_some());
        assert!(
            item.summary.as_str().ends_with('.'),
            "the summary of {} was cut off",
            item.name
        );
        let parameters = client.parameters(item.id);
        assert_eq!(parameters.len(), item.parameters as usize);
        for parameter in parameters {
            assert!(parameter.minimum <= parameter.default);
            assert!(parameter.default <= parameter.maximum);
            assert!(parameter.summary.as_str().ends_with('.'));
        }
    }
    for primitive in Primitive::ALL {
        assert!(
            items
                .iter()
                .any(|item| item.primitive == primitive.to_wire()),
            "nothing is about {primitive:?}"
        );
    }
}

#[test]
fn a_test_can_be_run_again() {
    let engine = engine();
    let client = Client::new(&engine);
    for _ in 0..3 {
        client
            .run("event.initial_state", &[])
            .expect(Verdict::Passed);
    }
}
