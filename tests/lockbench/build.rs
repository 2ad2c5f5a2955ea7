//! Hands the linker flags and library paths of the WDK, or of the open kit, to the driver.

fn main() -> Result<(), wdk_build::ConfigError> {
    wdk_build::configure_wdk_binary_build()
}
