//! A companion of the crate `windows` as wdk-build's host build sees it: not needed.
