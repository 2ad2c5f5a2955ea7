//! The images of `nt/wine`, which supply what Wine 8 lacks.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSymbol as _, read::pe::PeFile64};

use crate::{
    definition::Definition,
    exe,
    process::run_quietly,
    workspace::{create_folder, read, root, write_if_changed},
};

/// The name of Wine's own `ntoskrnl.exe` behind the one that forwards to it.
pub const ORIGINAL: &str = "wineoskr.dll";
/// What Rust's standard library takes random numbers from, which newer Wines have.
pub const RANDOM: &str = "bcryptprimitives.dll";
/// What tells Wine's loader that an image is one of its own, which it would take from its own folder
/// whatever lies in the prefix.
const BUILTIN: &[u8] = b"Wine builtin DLL";
/// As long as that.
const RENAMED: &[u8] = b"Wine renamed DLL";

const FLAGS: [&str; 8] = [
    "-std=gnu17",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-nostdlib",
    "-shared",
];

/// What a kernel offers to drivers.
#[derive(Default)]
pub struct Exports {
    names: BTreeSet<String>,
    /// Those that Wine exports and that end the process when they are called.
    stubs: BTreeSet<String>,
}

impl Exports {
    /// Reads those of Wine's kernel. Its symbols tell the stubs.
    fn of(image: &[u8]) -> Result<Self> {
        let image = PeFile64::parse(image).context("Wine's kernel is no image")?;
        let table = image
            .export_table()?
            .context("Wine's kernel has no exports")?;
        let mut names = BTreeSet::new();
        for (pointer, _) in table.name_iter() {
            let name = table.name_from_pointer(pointer)?;
            names.insert(String::from_utf8_lossy(name).into_owned());
        }
        let symbols = image.symbols().filter_map(|symbol| symbol.name().ok());
        let stubs = symbols.filter_map(|name| name.strip_prefix("__wine_stub_"));
        Ok(Self {
            names,
            stubs: stubs.map(str::to_owned).collect(),
        })
    }

    /// Whether a driver can call the function.
    pub fn has(&self, function: &str) -> bool {
        self.names.contains(function) && !self.stubs.contains(function)
    }
}

/// The images, for the prefix's system folder.
pub struct Shims {
    /// `ntoskrnl.exe`, in front of Wine's.
    pub kernel: PathBuf,
    /// Wine's own.
    pub original: Vec<u8>,
    /// [`RANDOM`].
    pub random: PathBuf,
    /// What both kernels together offer.
    pub exports: Exports,
}

impl Shims {
    /// Makes them in `folder`, for the Wine whose kernel this is.
    pub fn make(mut original: Vec<u8>, folder: &Path) -> Result<Self> {
        create_folder(folder)?;
        let mut exports = Exports::of(&original)?;
        let kernel = kernel(&mut exports, folder)?;
        let marker = original
            .windows(BUILTIN.len())
            .position(|window| window == BUILTIN)
            .context("ntoskrnl.exe of the prefix is not Wine's")?;
        original[marker..marker + RENAMED.len()].copy_from_slice(RENAMED);
        let random = folder.join(RANDOM);
        let mut command = compiler(&random);
        command.arg(source("bcryptprimitives.c"));
        command.arg(source("bcryptprimitives.def"));
        command.arg("-ladvapi32");
        run_quietly("compiling what Wine lacks", &mut command)?;
        Ok(Self {
            kernel,
            original,
            random,
            exports,
        })
    }
}

/// Makes the kernel in front, and adds what it has to what Wine's has.
fn kernel(exports: &mut Exports, folder: &Path) -> Result<PathBuf> {
    let own = Definition::parse(&String::from_utf8(read(&source("ntoskrnl.def"))?)?)
        .context("ntoskrnl.def has no LIBRARY line")?;
    if let Some(name) = own.exports.iter().find(|name| exports.has(name)) {
        bail!("this Wine has {name}: it has to go from nt/wine/ntoskrnl.c");
    }
    let forwarded: Vec<_> = exports.names.difference(&own.exports).cloned().collect();

    let stem = ORIGINAL.trim_end_matches(".dll");
    let mut front = format!("LIBRARY \"{}\"\nEXPORTS\n", own.image);
    let mut behind = format!("LIBRARY \"{ORIGINAL}\"\nEXPORTS\n");
    for name in &forwarded {
        writeln!(front, "  {name} = {stem}.{name}")?;
        writeln!(behind, "  {name}")?;
    }
    for name in &own.exports {
        writeln!(front, "  {name}")?;
    }
    let (front_file, behind_file) = (folder.join("front.def"), folder.join("behind.def"));
    write_if_changed(&front_file, front.as_bytes())?;
    write_if_changed(&behind_file, behind.as_bytes())?;

    let library = folder.join("behind.a");
    let mut command = Command::new("x86_64-w64-mingw32-dlltool");
    command.arg("-d").arg(behind_file).arg("-l").arg(&library);
    run_quietly("making the import library of Wine's kernel", &mut command)?;
    let image = folder.join("ntoskrnl.exe");
    let mut command = compiler(&image);
    command.arg(source("ntoskrnl.c")).arg(front_file);
    command.arg(library).arg("-lntdll");
    run_quietly("compiling what Wine's kernel lacks", &mut command)?;
    for name in own.exports {
        exports.stubs.remove(&name);
        exports.names.insert(name);
    }
    Ok(image)
}

fn compiler(image: &Path) -> Command {
    let mut command = Command::new(exe::LINKER);
    command.args(FLAGS).arg("-Wl,--entry,DllMain");
    command.arg("-o").arg(image);
    command
}

fn source(name: &str) -> PathBuf {
    root().join("nt/wine").join(name)
}
