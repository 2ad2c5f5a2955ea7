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
    use std::cell::OnceCell;
    use std::string::{String, ToString};
    use std::sync::mpsc::{self, Sender};
    use std::thread;
    use std::vec::Vec;

    thread_local! {
        /// Who hears what this thread has the debugger print, which is then the last that it does.
        static LISTENER: OnceCell<Sender<String>> = const { OnceCell::new() };
    }

    /// The last part of an entry's path.
    fn name(index: usize) -> &'static str {
        NAMES[index].rsplit(':').next().unwrap_or_default().trim()
    }

    #[test]
    fn functions_are_at_the_indices_of_the_public_header() {
        let header = include_str!("../../../openkit/include/wdf/wdffuncenum.h");
        let indices: Vec<_> = header
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .filter_map(|line| line.split_once("TableIndex = "))
            .collect();
        assert_eq!(indices.len(), NAMES.len());
        for (expected, index) in indices {
            let index: usize = index.parse().expect("an index is a number");
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

    /// The indices of the functions that are not implemented: those without a module.
    fn missing() -> impl Iterator<Item = usize> {
        (0..NAMES.len()).filter(|&index| !NAMES[index].contains(':'))
    }

    /// What the entry says before it stops the system, which it does not get to here.
    fn last_words(index: usize) -> String {
        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            LISTENER.with(|listener| listener.set(sender).expect("a new thread"));
            // SAFETY: An entry without an implementation takes no parameter and does not return.
            let entry: unsafe extern "win64" fn() -> ! =
                unsafe { core::mem::transmute(FUNCTIONS[index].0) };
            // SAFETY: As above.
            unsafe { entry() }
        });
        said.recv().expect("it says something")
    }

    #[test]
    fn every_function_that_is_not_there_is_named_when_it_is_called() {
        nthost::set_debug_output(|text| {
            let told = LISTENER.with(|listener| listener.get().map(|it| it.send(text.to_string())));
            match told {
                Some(told) => {
                    told.expect("somebody listens");
                    loop {
                        thread::park();
                    }
                }
                None => std::eprint!("{text}"),
            }
        });
        for index in missing() {
            let said = std::format!(
                "WDF_VIOLATION: {} is not implemented by this framework\n",
                name(index)
            );
            assert_eq!(last_words(index), said);
        }
    }
}
