//! Links the image for the Windows targets as wdk-build links a WDM driver.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // What `cargo xtask` sets for the open kit. Without it, on a Windows machine, there is no image.
    println!("cargo::rustc-check-cfg=cfg(openkit)");
    println!("cargo::rerun-if-env-changed=OPENKIT_HOST_SOURCES");
    let windows = std::env::var_os("CARGO_CFG_WINDOWS").is_some();
    if !windows || std::env::var_os("OPENKIT_HOST_SOURCES").is_none() {
        return;
    }
    println!("cargo::rustc-cfg=openkit");
    for argument in [
        "/DRIVER",
        "/NODEFAULTLIB",
        "/SUBSYSTEM:NATIVE",
        "/KERNEL",
        "/ENTRY:DriverEntry",
        "/NXCOMPAT",
        "/DYNAMICBASE",
        "/OPT:REF,ICF",
        "/INTEGRITYCHECK",
        "/MANIFEST:NO",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    // For what the compiler calls on its own: memcpy and its kin.
    println!("cargo::rustc-link-lib=static:-bundle=ntoskrnl");
}
