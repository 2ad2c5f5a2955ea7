//! Where the driver's images are.

use std::path::{Path, PathBuf};

use super::TransportError;

/// The driver.
const DRIVER: &str = "syncstress.sys";
/// The KMDF runtime that it needs.
const LOADER: &str = "WDFLDR.SYS";
/// Where `cargo xtask build` puts both, below the build directory.
const PLACES: [&str; 2] = ["kit/x64/release", "kit/x64/debug"];

/// The images that make up the driver.
#[derive(Clone, Debug)]
pub struct Images {
    /// The driver.
    pub driver: PathBuf,
    /// The KMDF runtime.
    pub loader: PathBuf,
}

impl Images {
    /// Takes what is named, and looks for the rest: the driver in the build directory of the
    /// workspace, the runtime beside the driver.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] with the places that were looked at.
    pub fn find(driver: Option<&Path>, loader: Option<&Path>) -> Result<Self, TransportError> {
        let driver = match driver {
            Some(driver) => existing(
                driver.to_owned(),
                "`cargo xtask build` builds the driver and its KMDF runtime",
            )?,
            None => search(&build_directories())?,
        };
        let beside = || driver.with_file_name(LOADER);
        let loader = existing(
            loader.map_or_else(beside, Path::to_owned),
            "`cargo xtask build` puts the KMDF runtime beside the driver, and `--wdfldr PATH` says where \
             else it is",
        )?;
        Ok(Self { driver, loader })
    }
}

/// Build directories that may belong to this program: the one that it was built into, and those of
/// the directories around the current one.
fn build_directories() -> Vec<PathBuf> {
    let mut directories = Vec::new();
    if let Ok(program) = std::env::current_exe() {
        // target/debug/syncstress
        directories.extend(program.ancestors().nth(2).map(Path::to_owned));
    }
    if let Ok(current) = std::env::current_dir() {
        directories.extend(
            current
                .ancestors()
                .map(|directory| directory.join("target")),
        );
    }
    directories
}

/// The driver in the first of `directories` that has one; of two, the one that was built last.
fn search(directories: &[PathBuf]) -> Result<PathBuf, TransportError> {
    for directory in directories {
        let candidates = PLACES
            .iter()
            .map(|place| directory.join(place).join(DRIVER));
        let built =
            candidates.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)));
        if let Some((_, newest)) = built.max() {
            return Ok(newest);
        }
    }
    let looked_at: Vec<String> = directories
        .iter()
        .map(|directory| format!("\n  {}", directory.display()))
        .collect();
    Err(TransportError::Unreachable {
        what: format!(
            "there is no {DRIVER} in {} of any of these directories:{}",
            PLACES.join(" or "),
            looked_at.concat(),
        ),
        hint: Some(
            "`cargo xtask build` builds it, and `--driver PATH` says where it is".to_owned(),
        ),
    })
}

fn existing(path: PathBuf, hint: &str) -> Result<PathBuf, TransportError> {
    if path.is_file() {
        return Ok(path);
    }
    Err(TransportError::Unreachable {
        what: format!("there is no file {}", path.display()),
        hint: Some(hint.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_driver_is_told_with_the_command_that_builds_it() {
        let error = Images::find(Some(Path::new("no/such.sys")), None).unwrap_err();
        let TransportError::Unreachable { what, hint } = error else {
            panic!("{error}")
        };
        assert!(what.contains("no/such.sys"), "{what}");
        assert!(hint.is_some_and(|hint| hint.contains("cargo xtask build")));
    }

    #[test]
    fn the_search_names_where_it_looked() {
        let error = search(&[PathBuf::from("a"), PathBuf::from("b")]).unwrap_err();
        assert!(error.to_string().ends_with("\n  a\n  b"), "{error}");
    }

    #[test]
    fn the_runtime_is_looked_for_beside_the_driver() {
        let driver = std::env::current_exe().unwrap();
        let error = Images::find(Some(&driver), None).unwrap_err();
        let beside = driver.with_file_name(LOADER);
        assert!(
            error.to_string().contains(&beside.display().to_string()),
            "{error}"
        );
        let images = Images::find(Some(&driver), Some(&driver)).unwrap();
        assert_eq!((images.driver, images.loader), (driver.clone(), driver));
    }
}
