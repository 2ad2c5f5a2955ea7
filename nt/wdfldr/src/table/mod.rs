//! The function table that clients get.

mod list;

use crate::abi::Function;
use crate::violation;

/// The number of functions of KMDF 1.31 to 1.33 (`WdfFunctionTableNumEntries`).
pub const FUNCTION_COUNT: usize = 458;

/// The entry of a function: its implementation, or one that says that there is none.
macro_rules! entry {
    ($module:ident :: $name:ident) => {
        Function(crate::$module::$name as *const ())
    };
    ($name:ident) => {{
        unsafe extern "win64" fn missing() -> ! {
            violation::unavailable(concat!(stringify!($name), "\0"))
        }
        Function(missing as *const ())
    }};
}

macro_rules! table {
    ($($first:ident $(:: $name:ident)?,)*) => {
        /// The functions, by the index that clients use.
        pub static FUNCTIONS: [super::Function; super::FUNCTION_COUNT] = {
            use super::*;
            [$(entry!($first $(:: $name)?)),*]
        };

        /// The names of the functions, to check indices by.
        #[cfg(test)]
        pub const NAMES: [&str; super::FUNCTION_COUNT] =
            [$(stringify!($first $(:: $name)?)),*];
    };
}

use {entry, table};

pub use list::FUNCTIONS;

#[cfg(test)]
mod tests {
    use super::list::{FUNCTIONS, NAMES};

    /// The last part of an entry's path.
    fn name(index: usize) -> &'static str {
        NAMES[index].rsplit(':').next().unwrap_or_default().trim()
    }

    #[test]
    fn functions_are_at_the_indices_of_the_public_header() {
        // A few of `WDFFUNCENUM`, spread over the table.
        for (index, expected) in [
            (0, "WdfChildListCreate"),
            (25, "WdfControlDeviceInitAllocate"),
            (75, "WdfDeviceCreate"),
            (116, "WdfDriverCreate"),
            (152, "WdfIoQueueCreate"),
            (202, "WdfObjectGetTypedContextWorker"),
            (263, "WdfRequestComplete"),
            (269, "WdfRequestRetrieveInputBuffer"),
            (316, "WdfSpinLockAcquire"),
            (380, "WdfWorkItemEnqueue"),
            (393, "WdfRequestMarkCancelableEx"),
            (457, "WdfDeviceSetDeviceInterfaceStateEx"),
        ] {
            assert_eq!(name(index), expected, "index {index}");
        }
    }

    #[test]
    fn every_entry_is_a_function_of_its_own() {
        let mut addresses: Vec<_> = FUNCTIONS.iter().map(|function| function.0.addr()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert!(!addresses.contains(&0));
        // Equal code may be folded into one; names tell the entries apart.
        let mut names: Vec<_> = (0..NAMES.len()).map(name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }
}
