//! The driver: what it is, on what it runs, and what it can run.

use super::{
    report::Report,
    screen::{BOLD, DIM, Screen, YELLOW},
};
use crate::catalog::{Item, Parameter};

impl Screen {
    /// Which driver runs where.
    pub fn heading(self, report: &Report) {
        let (Some(host), Some(driver)) = (&report.host, &report.driver) else {
            return;
        };
        self.line(format_args!(
            "{BOLD}syncstress driver {}{BOLD:#} on {BOLD}{host}{BOLD:#}, {} processors",
            driver.version, driver.processors,
        ));
        for missing in &host.missing_imports {
            self.line(format_args!(
                "  {YELLOW}not in this host:{YELLOW:#} {missing}"
            ));
        }
    }

    /// What the driver says of itself.
    pub fn info(self, report: &Report) {
        let Some(driver) = &report.driver else { return };
        let image = report.host.as_ref().and_then(|host| host.driver.as_deref());
        let limits = &driver.limits;
        let rows = [
            ("tool", report.syncstress.clone()),
            (
                "driver image",
                image
                    .unwrap_or("none was loaded by this program")
                    .to_owned(),
            ),
            ("driver", driver.version.clone()),
            ("protocol", driver.protocol.clone()),
            ("processors", driver.processors.to_string()),
            ("tests and scenarios", driver.items.to_string()),
            (
                "threads in a run",
                format!("at most {}", limits.threads_per_run),
            ),
            (
                "threads in all",
                format!("at most {}", limits.threads_total),
            ),
            ("runs at a time", format!("at most {}", limits.runs)),
            (
                "length of a run",
                format!("at most {} s", limits.seconds_per_run),
            ),
            (
                "log of a run",
                format!("at most {} bytes", limits.log_bytes),
            ),
        ];
        for (name, value) in rows {
            self.line(format_args!("  {DIM}{name:20}{DIM:#} {value}"));
        }
    }

    /// What the driver can run.
    pub fn list(self, items: &[Item]) {
        let mut kinds: Vec<&str> = items.iter().map(|item| &*item.kind_name).collect();
        kinds.dedup();
        for (index, kind) in kinds.iter().enumerate() {
            if kinds[..index].contains(kind) {
                continue;
            }
            let of_kind: Vec<&Item> = items
                .iter()
                .filter(|item| item.kind_name == *kind)
                .collect();
            self.line(format_args!("\n{BOLD}{kind}s{BOLD:#} ({})", of_kind.len()));
            let width = of_kind
                .iter()
                .map(|item| item.name.len())
                .max()
                .unwrap_or(0);
            for item in of_kind {
                self.item(item, width);
            }
        }
    }

    fn item(self, item: &Item, width: usize) {
        let Item { name, summary, .. } = item;
        let control = if item.negative_control {
            " (negative control: has to fail)"
        } else {
            ""
        };
        self.line(format_args!(
            "  {name:width$}  {summary}{YELLOW}{control}{YELLOW:#}"
        ));
        for parameter in &item.parameters {
            let Parameter {
                name,
                unit,
                minimum,
                maximum,
                default,
                summary,
                ..
            } = parameter;
            let range = format!("{minimum}..{maximum}{unit}");
            let default = format!("default {default}{unit}");
            self.line(format_args!(
                "  {:width$}  {DIM}  {name:<14} {range:<12} {default:<14} {summary}{DIM:#}",
                ""
            ));
        }
    }
}
