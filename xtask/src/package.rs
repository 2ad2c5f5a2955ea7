//! `cargo xtask package`: the folder that is taken to a Windows test machine.
//!
//! On Windows, `cargo make` and `cargo wdk build` make theirs with stampinf, `Inf2Cat` and signtool.
//! Here the same is done without them.

mod catalog;
mod inf;
mod inf_rules;
mod sign;
mod source;
mod stamp;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use self::{
    catalog::{Catalog, Hashes, Kind, Member},
    inf::Inf,
    sign::TestCertificate,
    source::Source,
    stamp::Stamp,
};
use crate::{
    arch::Arch,
    build, exe, setup,
    workspace::{create_folder, read, root},
};

pub use sign::TOOLS as SIGNING_TOOLS;

/// What to package.
#[derive(clap::Args)]
pub struct Arguments {
    /// Processor architecture of the driver
    #[arg(long, value_enum, default_value = "x64")]
    arch: Arch,
    /// How to sign
    #[arg(long, value_enum, default_value = "test")]
    sign: Sign,
}

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sign {
    /// Not at all; Windows will not install it
    Off,
    /// With a test certificate, made on this machine the first time
    Test,
}

/// The files that are listed in the catalog, and the catalog.
const DRIVER: &str = "syncstress.sys";
const INF: &str = "syncstress.inf";
const CATALOG: &str = "syncstress.cat";
const CERTIFICATE: &str = "syncstress-test.cer";

/// Makes the package and says where it is.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[
        setup::Purpose::Images(arguments.arch),
        setup::Purpose::Program(arguments.arch),
        setup::Purpose::Signing,
    ])?;
    println!("{}", make(arguments.arch, arguments.sign)?.display());
    Ok(())
}

/// Makes the package for `arch` and gives its folder.
pub fn make(arch: Arch, sign: Sign) -> Result<PathBuf> {
    let images = build::images(arch, true)?;
    let program = exe::build(arch, true)?;
    let source = Source::find()?;
    let folder = packages().join(arch.name());
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    create_folder(&folder)?;
    let package = Package {
        arch,
        folder,
        source,
    };
    package.copy(&images.driver, DRIVER)?;
    package.copy(&images.driver.with_extension("pdb"), "syncstress.pdb")?;
    package.copy(&program, "syncstress.exe")?;
    let inf = package.write_inf()?;
    package.write_catalog(&inf)?;
    if sign == Sign::Test {
        package.sign()?;
    }
    package.write_texts(sign)?;
    Ok(package.folder)
}

fn packages() -> PathBuf {
    root().join("target/package")
}

struct Package {
    arch: Arch,
    folder: PathBuf,
    source: Source,
}

impl Package {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn copy(&self, from: &Path, name: &str) -> Result<()> {
        self.write(name, &read(from)?)
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let path = self.file(name);
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))
    }

    fn write_inf(&self) -> Result<Inf> {
        let template = root().join("driver/kmdf/syncstress.inx");
        let template =
            String::from_utf8(read(&template)?).context("the INF template is no text")?;
        let stamp = Stamp {
            arch: self.arch,
            date: self.source.date()?,
            version: self.source.version(),
        };
        let text = stamp.apply(&template)?;
        let inf = read_inf(&text)?;
        let findings = inf_rules::check(&inf, self.arch.inf_name());
        ensure!(findings.is_empty(), "the INF breaks rules: {findings:#?}");
        self.write(INF, text.as_bytes())?;
        Ok(inf)
    }

    fn write_catalog(&self, inf: &Inf) -> Result<()> {
        let copied = copied_files(inf);
        ensure!(
            copied == [DRIVER],
            "the INF copies {copied:?}, and the package has {DRIVER}"
        );
        let catalog = Catalog {
            made: self.source.time,
            os: match self.arch {
                Arch::X64 => "_v100_X64",
                Arch::Arm64 => "Server_v100_ARM64",
            },
            hardware_ids: hardware_ids(inf),
            members: vec![
                Member {
                    name: DRIVER.into(),
                    kind: Kind::Image,
                    hashes: Hashes::of_image(&read(&self.file(DRIVER))?)?,
                },
                Member {
                    name: INF.into(),
                    kind: Kind::Flat,
                    hashes: Hashes::of(&read(&self.file(INF))?),
                },
            ],
        };
        self.write(CATALOG, &catalog.to_der()?)
    }

    /// Signs the image and the catalog, and has another program check both.
    fn sign(&self) -> Result<()> {
        let certificate = TestCertificate::in_folder(packages().join("certificate"))?;
        for name in [DRIVER, CATALOG] {
            let unsigned = self.file(&format!("{name}.unsigned"));
            let signed = self.file(name);
            fs::rename(&signed, &unsigned).with_context(|| format!("cannot sign {name}"))?;
            certificate.sign(&unsigned, &signed, self.source.time)?;
            fs::remove_file(&unsigned).with_context(|| format!("cannot sign {name}"))?;
            certificate.verify(&signed)?;
        }
        certificate.verify_listed(&self.file(DRIVER), &self.file(CATALOG))?;
        certificate.export(&self.file(CERTIFICATE))
    }

    fn write_texts(&self, sign: Sign) -> Result<()> {
        self.write_text("install.ps1", include_str!("../../inf/package/install.ps1"))?;
        let [major, minor, build, revision] = self.source.version();
        let signed = match sign {
            Sign::Off => "not signed: Windows will not install it",
            Sign::Test => "signed with the test certificate",
        };
        let text = include_str!("../../inf/package/README.txt")
            .replace("$ARCH$", self.arch.name())
            .replace("$VERSION$", &format!("{major}.{minor}.{build}.{revision}"))
            .replace("$COMMIT$", &self.source.name)
            .replace("$SIGNED$", signed)
            .replace("$PROGRAM$", program_note(self.arch))
            .replace("$FILES$", &self.listing()?);
        self.write_text("README.txt", &text)
    }

    fn write_text(&self, name: &str, text: &str) -> Result<()> {
        self.write(name, text.replace('\n', "\r\n").as_bytes())
    }

    /// The files so far with their hashes.
    fn listing(&self) -> Result<String> {
        let entries = fs::read_dir(&self.folder).context("cannot list the package")?;
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut listing = String::new();
        for name in names {
            let data = read(&self.file(&name))?;
            write!(listing, "  {name}\n    ")?;
            for byte in Hashes::of(&data).sha256 {
                write!(listing, "{byte:02x}")?;
            }
            listing.push('\n');
        }
        Ok(listing)
    }
}

/// What has to be said of the program.
const fn program_note(arch: Arch) -> &'static str {
    match arch {
        Arch::X64 => "",
        Arch::Arm64 => {
            "\
syncstress.exe is a native ARM64 program. It was run under Wine on an emulated
processor, where `doctor` and `report` work; no driver was installed with it.

"
        }
    }
}

fn read_inf(text: &str) -> Result<Inf> {
    match Inf::parse(text) {
        Ok(inf) => Ok(inf),
        Err(error) => bail!("the INF, line {}: {}", error.number, error.why),
    }
}

/// What the INF takes from the package's folder.
fn copied_files(inf: &Inf) -> Vec<String> {
    let files = inf.section("SourceDisksFiles");
    let lines = files.into_iter().flat_map(|section| &section.lines);
    lines
        .filter_map(|line| line.key.as_deref().map(str::to_lowercase))
        .collect()
}

/// The hardware and compatible ids of all models, in lower case, as catalogs have them.
fn hardware_ids(inf: &Inf) -> Vec<String> {
    let models = inf.model_sections();
    let lines = models.iter().flat_map(|section| &section.lines);
    let ids = lines.flat_map(|line| line.values.iter().skip(1));
    ids.map(|id| inf.expand(id).to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Inf, copied_files, hardware_ids};

    #[test]
    fn the_catalog_is_told_what_the_inf_names() {
        let inf = Inf::parse(
            "[Manufacturer]\n%M% = Models,NTamd64.10.0...19041\n\
             [Models.NTamd64.10.0...19041]\n%D% = Install, Root\\%Id%, Other\n\
             [SourceDisksFiles]\nOne.SYS = 1,,\n[Strings]\nM = \"m\"\nD = \"d\"\nId = \"Name\"\n",
        )
        .expect("it reads");
        assert_eq!(hardware_ids(&inf), [r"root\name", "other"]);
        assert_eq!(copied_files(&inf), ["one.sys"]);
    }
}
