//! Results in files: what is written, read again, and compared.
#![cfg(not(windows))]

use std::{fs, path::Path};

use syncstress_tests::{Host, Items, SHORT, on_every_host};

/// The exit codes for success, and for a failed check.
const PASSED: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;

fn path(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

fn json(path: &str) -> serde_json::Value {
    let text = fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

on_every_host! {
    fn a_sweep_is_saved_in_every_format(host) {
        let directory = tempfile::tempdir().expect("a directory");
        let names = ["a.json", "a.html", "a.xml", "a.csv"].map(|name| path(&directory, name));
        let sweep = ["sweep", "spinlock", "push-lock", "--threads", "2,4", "--hold", "0,5", "--seconds", SHORT];
        let mut arguments = sweep.to_vec();
        for name in &names {
            arguments.extend(["--save", name]);
        }
        let finished = host.run(&arguments).exits_with(PASSED);
        assert!(finished.stdout.contains("not Windows"), "{finished:#?}");
        let document = json(&names[0]);
        keeps_to_the_schema(&document);
        let runs = document["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), 8, "two scenarios, two numbers of threads, two hold times");
        assert_eq!(document["command"], "sweep");
        for run in runs {
            let wait = &run["wait"];
            // A wait that is timed stands for the others of its sample, which the end may cut off.
            let number = |value: &serde_json::Value| value.as_u64().expect("a number");
            let off = number(&wait["count"]).abs_diff(number(&run["acquisitions"]));
            let sample = number(&run["parameters"]["sample"]);
            assert!(off <= sample * number(&run["worker_count"]), "{run:#}");
            assert!(wait["p50_ns"].as_u64() <= wait["p99_ns"].as_u64());
            assert!(wait["p99_99_ns"].as_u64() <= wait["maximum_ns"].as_u64());
        }
        let page = fs::read_to_string(&names[1]).expect("a file");
        for text in ["not Windows", "Throughput against threads", "Fairness", "<svg"] {
            assert!(page.contains(text), "{text}");
        }
        let junit = fs::read_to_string(&names[2]).expect("a file");
        assert!(junit.contains("tests=\"8\"") && junit.contains("failures=\"0\""), "{junit}");
        let table = fs::read_to_string(&names[3]).expect("a file");
        assert_eq!(table.lines().count(), 9);

        // What was saved can be shown again without a driver, and is no worse than itself.
        let again = host.run(&["report", &names[0], "--save", &path(&directory, "b.html")]);
        assert!(again.exits_with(PASSED).stdout.contains("push-lock"));
        assert!(Path::new(&path(&directory, "b.html")).is_file());
        let same = host.run(&["compare", &names[0], &names[0]]).exits_with(PASSED);
        assert!(same.stdout.contains("no regression") && same.stdout.contains("x1.00"), "{same:#?}");
        slower_is_a_regression(host, &directory, document);
    }

    fn what_measuring_costs_is_told_in_one_run(host) {
        let document = host.json(&["bench", "overhead", "spinlock", "--seconds", "1", "--bound", "100000"]);
        let overhead = &document["overheads"][0];
        assert_eq!(overhead["scenario"], "spinlock");
        assert!(overhead["bare_ns"].as_f64() > Some(0.0), "{document:#}");
        assert_eq!(document["exit_code"], PASSED);
        // Nothing costs less than nothing by so much.
        let tight = ["bench", "overhead", "spinlock", "--seconds", "1", "--bound=-100000"];
        assert_eq!(host.json(&tight)["exit_code"], FAILED);
    }

    fn a_soak_tells_what_each_round_used(host) {
        let scenarios = Items::of(host).scenarios().len();
        let document = host.json(&["soak", "--hours", "0", "--seconds", SHORT]);
        assert_eq!(document["rounds"].as_array().map(Vec::len), Some(1), "at least one");
        assert!(document["rounds"][0]["usage"]["memory_kib"].as_u64() > Some(0));
        assert_eq!(document["runs"].as_array().map(Vec::len), Some(scenarios));
        assert_eq!(document["exit_code"], PASSED);
    }
}

/// Holds a result against the schema that is published.
fn keeps_to_the_schema(document: &serde_json::Value) {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../userapp/result.schema.json");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let schema = compiler.compile(schema, &mut schemas).expect("a schema");
    if let Err(error) = schemas.validate(document, schema) {
        panic!("{error:#}");
    }
    let no_result = serde_json::json!({ "runs": 1 });
    assert!(schemas.validate(&no_result, schema).is_err());
}

/// The same result with half of the throughput.
fn slower_is_a_regression(
    host: Host,
    directory: &tempfile::TempDir,
    mut document: serde_json::Value,
) {
    let (before, after) = (path(directory, "a.json"), path(directory, "slow.json"));
    for run in document["runs"].as_array_mut().expect("runs") {
        let rate = run["acquisitions_per_second"].as_f64().expect("a rate");
        run["acquisitions_per_second"] = (rate / 2.0).into();
    }
    fs::write(&after, document.to_string()).expect("it is written");
    let worse = host.run(&["compare", &before, &after]).exits_with(FAILED);
    assert!(
        worse.stdout.contains("WORSE") && worse.stdout.contains("x0.50"),
        "{worse:#?}"
    );
    let allowed = host.run(&["compare", &before, &after, "--bound", "60"]);
    assert!(allowed.exits_with(PASSED).stdout.contains("no regression"));
}

#[test]
fn what_cannot_be_written_or_read_is_said() {
    let unknown = Host::InProcess
        .run(&["info", "--save", "result.txt"])
        .exits_with(USAGE);
    assert!(unknown.stderr.contains(".json, .html"), "{unknown:#?}");
    let missing = Host::InProcess
        .run(&["report", "no/such.json"])
        .exits_with(USAGE);
    assert!(missing.stderr.contains("no/such.json"), "{missing:#?}");
}
