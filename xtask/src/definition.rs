//! The module definition files of the open kit: which image exports what.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::workspace::{openkit, read};

/// What one image offers to drivers.
#[derive(Debug)]
pub struct Definition {
    /// The image's name, as import tables spell it.
    pub image: String,
    /// The names that it exports.
    pub exports: BTreeSet<String>,
}

impl Definition {
    /// Reads `nt/openkit/def/<name>.def`.
    pub fn load(name: &str) -> Result<Self> {
        let path = openkit().join("def").join(format!("{name}.def"));
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
    use super::Definition;

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
            let definition = Definition::load(name).expect("it is in the kit");
            assert_eq!(definition.image, image);
            assert!(!definition.exports.is_empty());
        }
    }
}
