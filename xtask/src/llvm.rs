//! clang, lld and the other tools of LLVM.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The versions that are looked for, the best known first. The kit is tried with 19.
const VERSIONS: [u32; 8] = [19, 20, 21, 22, 23, 18, 17, 16];

/// An installation that has all that the build needs.
#[derive(Debug)]
pub struct Llvm {
    bin: PathBuf,
    /// The folder of libclang.
    pub lib: PathBuf,
}

impl Llvm {
    /// Looks for an installation: Debian's first, then the tools on the `PATH`.
    pub fn find() -> Option<Self> {
        let versioned = VERSIONS
            .iter()
            .map(|version| format!("/usr/lib/llvm-{version}").into());
        let on_path = env::var_os("PATH").into_iter().flat_map(|path| {
            env::split_paths(&path)
                .filter_map(|bin| bin.parent().map(Path::to_path_buf))
                .collect::<Vec<_>>()
        });
        versioned
            .chain(on_path)
            .find_map(|prefix: PathBuf| Self::at(&prefix))
    }

    fn at(prefix: &Path) -> Option<Self> {
        let found = Self {
            bin: prefix.join("bin"),
            lib: prefix.join("lib"),
        };
        let tools = ["clang", "lld-link", "llvm-lib", "llvm-dlltool"];
        let complete =
            tools.iter().all(|tool| found.tool(tool).is_file()) && has_libclang(&found.lib);
        complete.then_some(found)
    }

    /// The path of a tool by its plain name.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

fn has_libclang(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libclang.so") || name.starts_with("libclang-") && name.contains(".so")
        })
    })
}
