//! `bench asm`: the instructions of each pair, raw call and wdk-sync, from the image.

mod function;
mod image;
mod pair;

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::style::table;
use image::Image;
use pair::{Pair, Verdict};

/// How to compare.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the summary alone, unless a pair fails
    #[arg(long)]
    brief: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    image: String,
    passed: bool,
    pairs: Vec<Pair>,
}

/// Compares, prints, and tells whether every difference is explained.
pub fn run(driver: &Path, arguments: &Arguments) -> Result<bool> {
    let data = fs::read(driver).with_context(|| format!("cannot read {}", driver.display()))?;
    let image = Image::parse(&data)?;
    let pairs = image
        .pairs()
        .into_iter()
        .map(|name| Pair::of(&image, name))
        .collect::<Result<Vec<_>>>()?;
    ensure!(!pairs.is_empty(), "{} exports no pair", driver.display());
    let report = Report {
        image: driver
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        passed: !pairs.iter().any(Pair::fails),
        pairs,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, arguments.brief);
    }
    Ok(report.passed)
}

fn print(report: &Report, brief: bool) {
    let mut summary = table(&["pair", "raw", "wdk-sync", "instructions"], false);
    for pair in &report.pairs {
        summary.add_row([
            pair.name.clone(),
            pair.raw.len().to_string(),
            pair.safe.len().to_string(),
            pair.verdict.to_string(),
        ]);
    }
    println!(
        "Pairs of functions in {}, x64, release.\n{summary}",
        report.image
    );
    for pair in &report.pairs {
        let shown = if brief {
            pair.fails()
        } else {
            pair.verdict.differs()
        };
        if shown {
            println!("\n{}", pair.side_by_side());
        }
    }
    let same = report
        .pairs
        .iter()
        .filter(|pair| !pair.verdict.differs())
        .count();
    let explained = |pair: &&Pair| matches!(pair.verdict, Verdict::Explained { .. });
    println!(
        "\n{}: {same} of {} pairs are the same instructions, {} differ as explained.",
        if report.passed { "PASSED" } else { "FAILED" },
        report.pairs.len(),
        report.pairs.iter().filter(explained).count(),
    );
}
