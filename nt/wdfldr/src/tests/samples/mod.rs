//! Drivers that call the framework as Microsoft's published samples do (github.com/microsoft/
//! Windows-driver-samples), in our own words: each names the sample that it follows.

mod echo;
mod filter;
pub mod lower;
mod nonpnp;
mod preprocess;
mod remote;
mod requester;
mod target;
mod transfer;
