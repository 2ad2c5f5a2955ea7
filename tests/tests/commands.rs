//! The commands, as a user types them.
#![cfg(not(windows))]

use syncstress_tests::{Items, SHORT, SHORT_MILLISECONDS, on_every_host};

/// What a behaviour test of each has to be there for.
const PRIMITIVES: [&str; 5] = ["spin lock", "mutex", "resource", "fast mutex", "timer"];
/// How many behaviour tests the driver has at least.
const LEAST_TESTS: usize = 40;
/// The exit code for success.
const PASSED: i32 = 0;

on_every_host! {
    fn info_names_the_host_and_the_limits(host) {
        let finished = host.run(&["info"]).exits_with(PASSED);
        assert!(finished.stdout.contains("not Windows"), "{finished:#?}");
        let document = host.json(&["info"]);
        assert_eq!(document["host"]["is_windows"], false);
        assert!(document["driver"]["limits"]["threads_per_run"].as_u64() >= Some(64));
        assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
    }

    fn the_number_of_processors_can_be_chosen(host) {
        let document = host.json(&["info", "--processors", "7"]);
        assert_eq!(document["driver"]["processors"], 7);
    }

    fn list_shows_tests_and_scenarios_of_every_primitive(host) {
        let items = Items::of(host);
        assert!(items.tests().len() >= LEAST_TESTS, "{:?}", items.tests());
        for names in [items.tests(), items.scenarios()] {
            let primitives = items.primitives(&names);
            for primitive in PRIMITIVES {
                assert!(primitives.contains(&primitive), "{primitive}: {names:?}");
            }
        }
        let finished = host.run(&["list"]).exits_with(PASSED);
        for name in [items.tests(), items.scenarios(), items.negative_controls()].concat() {
            assert!(finished.stdout.contains(name), "{name}: {finished:#?}");
        }
    }

    fn every_behaviour_test_passes(host) {
        let document = host.json(&["test"]);
        let items = Items::of(host);
        let runs = document["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), items.tests().len());
        for run in runs {
            assert_eq!(run["outcome"], "passed", "{run:#}");
        }
        assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
        assert_eq!(document["verdict"], "passed");
    }

    fn tests_are_chosen_by_name(host) {
        let items = Items::of(host);
        let first = items.tests()[0];
        let finished = host.run(&["test", first]).exits_with(PASSED);
        assert!(finished.stdout.contains(&format!("  {first}\n")), "{finished:#?}");
        assert!(finished.stdout.contains("1 of 1 behaviour tests passed"), "{finished:#?}");
    }

    fn every_scenario_runs_and_counts(host) {
        let items = Items::of(host);
        let document = host.json(&["stress", "*", "--seconds", SHORT]);
        let runs = document["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), items.scenarios().len());
        for run in runs {
            assert_eq!(run["outcome"], "passed", "{run:#}");
            assert_eq!(run["parameters"]["milliseconds"], SHORT_MILLISECONDS, "{run:#}");
            for count in ["passes", "acquisitions", "worker_count"] {
                assert!(run[count].as_u64() > Some(0), "{count}: {run:#}");
            }
            assert!(run["elapsed_seconds"].as_f64() >= Some(0.25), "{run:#}");
            let jain = run["fairness"]["jain"].as_f64();
            assert!(jain.is_none_or(|jain| (0.0..=1.000_001).contains(&jain)), "{run:#}");
        }
        assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
    }

    fn stress_shows_a_table_and_a_verdict(host) {
        let items = Items::of(host);
        let scenario = items.scenarios()[0];
        let finished = host.run(&["stress", scenario, "--seconds", SHORT]).exits_with(PASSED);
        for text in [scenario, "acquired", "fairness", "contended", "PASSED", "not Windows"] {
            assert!(finished.stdout.contains(text), "{text}: {finished:#?}");
        }
        assert!(!finished.stdout.contains('\x1b'), "colours although piped: {finished:#?}");
        assert_eq!(finished.stderr, "", "nothing but results when piped");
    }

    fn sixty_four_threads(host) {
        let items = Items::of(host);
        let names = items.scenarios_that_take("threads", 64);
        assert!(names.len() >= PRIMITIVES.len(), "{names:?}");
        let document =
            host.json(&[&["stress", "--threads", "64", "--seconds", SHORT], &names[..]].concat());
        for run in document["runs"].as_array().expect("runs") {
            assert_eq!(run["outcome"], "passed", "{run:#}");
            assert!(run["worker_count"].as_u64() >= Some(64), "{run:#}");
        }
        assert_eq!(document["verdict"], "passed", "{document:#}");
    }

    fn a_negative_control_fails_for_its_reason(host) {
        let items = Items::of(host);
        let controls = items.negative_controls();
        assert!(controls.iter().any(|name| name.contains("busted")), "{controls:?}");
        for control in controls {
            // Long enough to meet: what is wrong with some of them shows by chance.
            let document = host.json(&["stress", control, "--seconds", "1"]);
            let run = &document["runs"][0];
            assert_eq!(run["outcome"], "failed", "{document:#}");
            assert!(run["failures"].as_u64() > Some(0), "{run:#}");
            assert!(run["log"].as_str().is_some_and(|log| !log.is_empty()), "{run:#}");
            assert_eq!(document["verdict"], "failed");
            assert_eq!(document["exit_code"], 1);
            assert_eq!(document["leaks"], serde_json::json!([]), "{document:#}");
        }
    }

    fn a_negative_control_is_called_one(host) {
        let items = Items::of(host);
        let control = items.negative_controls()[0];
        let finished = host.run(&["stress", control, "--seconds", "1"]).exits_with(1);
        for text in ["negative control", "FAILED", control] {
            assert!(finished.stdout.contains(text), "{text}: {finished:#?}");
        }
    }

    fn json_is_one_document_with_workers_and_logs(host) {
        let items = Items::of(host);
        let document = host.json(&["stress", items.scenarios()[0], "--seconds", SHORT]);
        let run = &document["runs"][0];
        let workers = run["workers"].as_array().expect("workers");
        assert_eq!(Some(workers.len() as u64), run["worker_count"].as_u64());
        let acquisitions: u64 = workers.iter().filter_map(|it| it["acquisitions"].as_u64()).sum();
        assert_eq!(Some(acquisitions), run["acquisitions"].as_u64());
        assert!(run["log"].is_string());
    }
}
