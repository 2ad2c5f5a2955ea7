//! What the user sees.

mod bars;
mod driver;
mod held;
mod locks;
mod report;
mod runs;
mod screen;
mod table;
pub mod units;
mod verdict;

pub use bars::Bars;
pub use report::{DriverInfo, Overhead, Report, Round, Usage, Watched};
pub use screen::{BOLD, DIM, GREEN, RED, Screen, error};
