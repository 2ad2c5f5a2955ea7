//! cargo, set up to compile the driver crates with the open kit.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    arch::Arch,
    kit,
    llvm::Llvm,
    rust::Rust,
    setup,
    workspace::{Workspace, openkit, root},
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
        let (Some(llvm), Some(rust)) = (Llvm::find(), Rust::find(arch.target())) else {
            bail!(
                "{}",
                setup::what_is_missing(&[setup::Purpose::Images(arch)])
            );
        };
        kit::prepare(arch, &llvm, &rust)?;
        Ok(Self { arch, llvm, rust })
    }

    /// Where the results of `build` are.
    pub fn artefacts(&self, workspace: Workspace, release: bool) -> PathBuf {
        self.rust.artefacts(workspace, release)
    }

    /// A cargo command (`build`, `clippy`, `doc`) for the architecture's msvc target.
    pub fn command(
        &self,
        workspace: Workspace,
        subcommand: &str,
        release: bool,
    ) -> Result<Command> {
        let mut command = self
            .rust
            .cargo(workspace, subcommand, "core,alloc", release)?;
        let wrapper = env::current_exe().context("cannot find this program's own file")?;
        command
            .env("RUSTC_WRAPPER", wrapper)
            .env(wrapper::SOURCES, openkit().join("host"))
            .env(wrapper::LIBRARIES, kit::host_libraries(&self.rust)?)
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
            )
            .env(
                format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()),
                self.llvm.tool("lld-link"),
            );

        let libraries = format!("-Lnative={}", kit::kernel_libraries(self.arch).display());
        // /RELEASE makes the linker fill in the image's checksum, /Brepro a hash where it would put
        // the time.
        let mut flags = vec![
            "-Ctarget-feature=+crt-static".to_owned(),
            "-Clink-arg=/RELEASE".to_owned(),
            "-Clink-arg=/Brepro".to_owned(),
            libraries,
        ];
        flags.extend(self.path_prefixes());
        if workspace == Workspace::Lockbench {
            // As published, wdk-mutex has no build script that would set this, and is empty without.
            flags.push("--cfg=driver_model__driver_type=\"WDM\"".to_owned());
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        Ok(command)
    }

    /// Compiler flags that keep the folders of this machine out of the images, so that the same
    /// sources make the same images everywhere.
    fn path_prefixes(&self) -> Vec<String> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
            let user = env::var_os("HOME")?;
            Some(PathBuf::from(user).join(".cargo"))
        });
        let folders = [
            (home, "cargo"),
            (self.rust.library_source(), "rust"),
            (Some(root()), "."),
        ];
        folders
            .into_iter()
            .filter_map(|(folder, name)| {
                Some(format!("--remap-path-prefix={}={name}", folder?.display()))
            })
            .collect()
    }
}
