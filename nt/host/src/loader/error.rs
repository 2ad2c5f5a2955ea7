//! What can be wrong with an image.

use std::path::PathBuf;

use thiserror::Error;

/// Why an image was not loaded.
///
/// Windows answers most of these with `STATUS_INVALID_IMAGE_FORMAT` and no further word; here each
/// says what it found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a PE32+ image for x64.
    #[error("{name} is not an x64 driver image: {what}")]
    Kind {
        /// The image.
        name: String,
        /// What it is instead.
        what: String,
    },
    /// A structure of the file contradicts the format or another structure.
    #[error("{name} is damaged: {what}")]
    Format {
        /// The image.
        name: String,
        /// The structure and what is wrong with it.
        what: String,
    },
    /// The image uses a feature of the format that this loader refuses.
    #[error("{name} cannot be loaded: {what}")]
    Unsupported {
        /// The image.
        name: String,
        /// The feature.
        what: String,
    },
    /// The image imports from a module that is neither the kernel nor a loaded image.
    #[error("{name} imports from {module}, which is not loaded: load it first")]
    Module {
        /// The image.
        name: String,
        /// The module that it asks for.
        module: String,
    },
    /// An image of this name is loaded already (`STATUS_IMAGE_ALREADY_LOADED`).
    #[error("an image named {name} is loaded already")]
    Loaded {
        /// The image.
        name: String,
    },
    /// There is no memory for the image, or its protection was refused.
    #[error("no memory for {name}: {source}")]
    Memory {
        /// The image.
        name: String,
        /// What the system said.
        source: region::Error,
    },
}
