//! cargo, set up to compile the driver crates with the open kit.

use std::{env, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    arch::Arch,
    kit,
    llvm::Llvm,
    rust::Rust,
    workspace::{generated, openkit, root},
    wrapper,
};

/// What compiles for one architecture.
pub struct KitCargo {
    arch: Arch,
    llvm: Llvm,
    rust: Rust,
}

impl KitCargo {
    /// Finds the tools and brings the kit up to date.
    pub fn prepare(arch: Arch) -> Result<Self> {
        let Some(llvm) = Llvm::find() else {
            bail!("clang, lld and libclang are not installed: run `cargo xtask setup`");
        };
        let Some(rust) = Rust::find(arch) else {
            bail!(
                "no Rust toolchain here can compile for {}: run `cargo xtask setup`",
                arch.target()
            );
        };
        kit::prepare(arch, &llvm, &rust)?;
        Ok(Self { arch, llvm, rust })
    }

    /// A cargo command (`build`, `clippy`, `doc`) for the architecture's msvc target.
    pub fn command(&self, subcommand: &str, release: bool) -> Result<Command> {
        let mut command = self.rust.cargo();
        command
            .current_dir(root())
            .args([subcommand, "--locked", "--target", self.arch.target()]);
        if release {
            command.arg("--release");
        }
        if self.rust.build_std {
            command.env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_UNSTABLE_BUILD_STD", "core,alloc");
            // Unoptimised, it calls fma and fmaf, which are nowhere.
            command.args([
                "--config",
                "profile.dev.package.compiler_builtins.opt-level=2",
            ]);
        }
        self.set_environment(&mut command)?;
        Ok(command)
    }

    fn set_environment(&self, command: &mut Command) -> Result<()> {
        let wrapper = env::current_exe().context("cannot find this program's own file")?;
        command
            .env("CARGO_TARGET_DIR", generated().join("cargo"))
            .env("CARGO_PROFILE_DEV_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("RUSTC_WRAPPER", wrapper)
            .env(wrapper::SOURCES, openkit().join("host"))
            .env(wrapper::LIBRARIES, kit::host_libraries())
            .env("WDKContentRoot", kit::content_root())
            .env("Version_Number", kit::VERSION)
            .env("LIBCLANG_PATH", &self.llvm.lib);

        let target = self.arch.target().replace('-', "_");
        command
            .env(format!("CC_{target}"), self.llvm.tool("clang"))
            .env(format!("AR_{target}"), self.llvm.tool("llvm-lib"))
            .env(
                format!("CFLAGS_{target}"),
                kit::c_flags(self.arch).join(" "),
            );

        let target = target.to_uppercase();
        command
            .env(
                format!("CARGO_TARGET_{target}_LINKER"),
                self.llvm.tool("lld-link"),
            )
            // /RELEASE makes the linker fill in the image's checksum.
            .env(
                format!("CARGO_TARGET_{target}_RUSTFLAGS"),
                "-Ctarget-feature=+crt-static -Clink-arg=/RELEASE",
            );
        Ok(())
    }
}
