//! The standard library as wdk-build sees it: plus the one function of `std::os::windows` that it
//! names. It only calls it to place a cargo-make file, which this build does not use.
#![allow(unused_imports)]

pub use std::*;

pub mod os {
    pub use std::os::*;

    pub mod windows {
        pub mod fs {
            use std::{io, path::Path};

            pub fn symlink_file<P: AsRef<Path>, Q: AsRef<Path>>(
                original: P,
                link: Q,
            ) -> io::Result<()> {
                std::os::unix::fs::symlink(original, link)
            }
        }
    }
}
