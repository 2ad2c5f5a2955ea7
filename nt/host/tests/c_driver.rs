//! A WDM driver in C, as mingw-w64 builds it with what its headers have inline: `tests/c/sample.c`.
//!
//! `cargo xtask test` builds it and names it in `NTHOST_C_DRIVER`.

use std::{env, path::PathBuf, process::Command};

use nthost::{File, Kernel, Leaks, Stop};
use serde_json::Value;

/// The image.
fn image() -> PathBuf {
    env::var_os("NTHOST_C_DRIVER")
        .map(PathBuf::from)
        .expect("NTHOST_C_DRIVER names the driver")
}

/// The code of a request of the driver.
const fn code(number: u32) -> u32 {
    0x22_2000 + 4 * number
}

/// What the driver answers.
fn ask(file: &File, number: u32) -> Vec<u64> {
    let mut output = [0; 64];
    let length = file
        .ioctl(code(number), &[], &mut output)
        .expect("the driver answers");
    let (words, _) = output[..length].as_chunks::<8>();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Runs the program with the driver, and gives its JSON document.
fn run(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_nthost"))
        .args(["run", "--json"])
        .arg(image())
        .args(arguments)
        .output()
        .expect("the program runs");
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn what_headers_have_inline_works() -> Result<(), Stop> {
    let kernel = Kernel::get();
    let driver = kernel.load(image())?;
    assert_eq!(driver.missing_imports(), [""; 0]);
    assert_eq!(
        driver.open_names(),
        [r"\??\csample", r"\Device\CSample"],
        "the link comes first"
    );
    let file = kernel.open(r"\\.\CSample")?;

    assert_eq!(ask(&file, 0), [0, 1, 2, 0], "the IRQL in CR8");
    assert_eq!(ask(&file, 1), [1, 1, 1], "thread and processor behind GS");
    assert_eq!(ask(&file, 3), [1], "every lock");
    assert_eq!(ask(&file, 4), [2], "the IRQL of the timer's DPC");

    let clocks = ask(&file, 2);
    let [ticks, read, called, major, multiplier] = clocks[..] else {
        panic!("five numbers: {clocks:?}");
    };
    assert!(ticks <= read / 156_250 && read <= called, "{clocks:?}");
    assert!(called - read < 10_000_000, "{clocks:?}");
    assert_eq!((major, multiplier), (10, 0x0FA0_0000));

    file.close()?;
    driver.unload()?;
    assert_eq!(kernel.leaks(), Leaks::default());
    Ok(())
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn many_threads_send_requests() {
    let request = format!("{}", code(3));
    let document = run(&["--ioctl", &request, "--threads", "8", "--repeat", "100"]);
    assert_eq!(document["exit_code"], 0, "{document:#}");
    assert_eq!(document["requests"][0]["times"], 800, "{document:#}");
    let printed = document["debug_output"].as_str().expect("a text");
    assert!(
        printed.starts_with(r"csample: loaded as \Registry\Machine"),
        "{printed}"
    );
    assert!(printed.ends_with("csample: unloaded\n"), "{printed}");
}

#[test]
#[ignore = "needs the C driver: cargo xtask test"]
fn a_field_of_the_shared_data_that_is_not_there_is_named() {
    let request = format!("0x{:X}", code(7));
    let document = run(&["--ioctl", &request, "--out", "8"]);
    assert_eq!(document["exit_code"], 188, "{document:#}");
    let rule = document["bug_check"]["rule"].as_str().expect("a rule");
    assert!(
        rule.starts_with("KUSER_SHARED_DATA+0x2D8 cannot be read."),
        "{rule}"
    );
}
