//! Tells the tests whether the driver's images, and a browser, are there: without them, the tests that
//! need them are shown as ignored and not as passed.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(browser, driver_images, lockdep_image)");
    println!("cargo::rerun-if-env-changed=SYNCSTRESS_BROWSER");
    if std::env::var_os("SYNCSTRESS_BROWSER").is_some() {
        println!("cargo::rustc-cfg=browser");
    }
    println!("cargo::rerun-if-env-changed=SYNCSTRESS_LOCKDEP_SYS");
    if std::env::var_os("SYNCSTRESS_LOCKDEP_SYS").is_some() {
        println!("cargo::rustc-cfg=lockdep_image");
    }
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
