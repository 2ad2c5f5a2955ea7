//! `cargo xtask campaign`: random requests to the driver's image in nthost, as many as one likes.

use anyhow::Result;

use crate::{
    arch::Arch,
    build,
    process::{self, outer_cargo},
    setup, test,
};

/// How many requests, and which.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many requests are sent
    #[arg(long, default_value_t = 10_000_000)]
    requests: u64,
    /// What the requests follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Builds the images and sends the requests: no bug check, no leak, no wrong success.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(Arch::X64)])?;
    let images = build::images(Arch::X64, true)?;
    let mut command = outer_cargo();
    test::name_images(&mut command, &images);
    command.args([
        "test",
        "--locked",
        "--release",
        "--package",
        "syncstress-tests",
        "--test",
        "driver_image",
        "--",
        "--nocapture",
        "nothing_that_is_sent_does_harm",
    ]);
    command
        .env(
            "SYNCSTRESS_CAMPAIGN_REQUESTS",
            arguments.requests.to_string(),
        )
        .env("SYNCSTRESS_CAMPAIGN_SEED", arguments.seed.to_string());
    process::run("the campaign", &mut command)
}
