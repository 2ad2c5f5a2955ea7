//! What the user sees.

mod bars;
mod driver;
mod locks;
mod report;
mod runs;
mod screen;
mod table;
mod units;
mod verdict;

pub use bars::{Bars, follow};
pub use report::{DriverInfo, Report};
pub use screen::{Screen, error};
