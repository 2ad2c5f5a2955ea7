//! The module definition files of the open kit: which image exports what.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::workspace::{openkit, read};

/// The folder of those of the kernel.
pub fn kernel() -> PathBuf {
    openkit().join("def")
}

/// The names of the definitions in a folder, sorted.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let names = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_suffix(".def")?.to_owned())
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    Ok(names)
}

/// What one image offers.
#[derive(Debug)]
pub struct Definition {
    /// The image's name, as import tables spell it.
    pub image: String,
    /// The names that it exports.
    pub exports: BTreeSet<String>,
}

impl Definition {
    /// Reads `<name>.def` in a folder.
    pub fn load(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.def"));
        let text = String::from_utf8(read(&path)?)
            .with_context(|| format!("{} is not text", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} has no LIBRARY line", path.display()))
    }

    /// Reads the text of a definition; none if it does not name its image.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with(';'));
        let (heads, names): (Vec<_>, Vec<_>) = lines
            .filter(|line| !line.is_empty() && *line != "EXPORTS")
            .partition(|line| line.starts_with("LIBRARY "));
        let image = heads.first()?.strip_prefix("LIBRARY ")?.trim().to_owned();
        let exports = names
            .iter()
            .filter_map(|line| line.split_whitespace().next());
        Some(Self {
            image,
            exports: exports.map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Definition, kernel};

    #[test]
    fn reads_names_and_skips_comments_and_attributes() {
        let text = "; a comment\nLIBRARY HAL.dll\nEXPORTS\n    ; another\n    One\n    Two DATA\n";
        let definition = Definition::parse(text).expect("it has a LIBRARY line");
        assert_eq!(definition.image, "HAL.dll");
        assert_eq!(
            definition.exports.iter().collect::<Vec<_>>(),
            ["One", "Two"]
        );
    }

    #[test]
    fn every_definition_of_the_kit_reads() {
        for (name, image) in [
            ("ntoskrnl", "ntoskrnl.exe"),
            ("hal", "HAL.dll"),
            ("wdfldr", "WDFLDR.SYS"),
            ("wmilib", "WMILIB.SYS"),
        ] {
            let definition = Definition::load(&kernel(), name).expect("it is in the kit");
            assert_eq!(definition.image, image);
            assert!(!definition.exports.is_empty());
        }
    }
}
