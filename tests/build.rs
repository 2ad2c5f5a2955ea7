//! Tells the tests whether the driver's images are there to be tested: without them, the tests that
//! need them are shown as ignored and not as passed.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(driver_images)");
    let variables = ["SYNCSTRESS_SYS", "SYNCSTRESS_WDFLDR", "NOTICEBOARD_SYS"];
    for variable in variables {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if variables
        .iter()
        .all(|variable| std::env::var_os(variable).is_some())
    {
        println!("cargo::rustc-cfg=driver_images");
    }
}
