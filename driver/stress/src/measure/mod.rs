//! What is measured, and with what.
//!
//! A worker writes into cells of its own, which no other worker's cache line holds, and reads the
//! processor's counter. Cells are in ticks of that counter; they become nanoseconds when somebody
//! asks, by a scale that is measured over the run so far.

mod clock;
mod histogram;
mod overhead;

pub use clock::{Clock, Scale, Ticks};
pub use histogram::Histogram;
pub use overhead::Overhead;
