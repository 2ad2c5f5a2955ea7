//! What a scenario can find wrong.

use core::fmt;

use crate::{run::Count, thread_state::ThreadState};

/// Something that a working lock does not let happen.
#[derive(Clone, Copy, Debug)]
pub enum Violation {
    /// The record was found in the middle of a change.
    TornRecord {
        /// The word that does not belong to the others.
        word: usize,
        /// What it should be.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// A writer found another one at work.
    TwoWriters,
    /// A reader saw the record change.
    WriterWithReader,
    /// IRQL or APC state are not what the primitive documents for its owner.
    StateWhileOwned {
        /// As documented.
        expected: ThreadState,
        /// As seen.
        actual: ThreadState,
    },
    /// IRQL or APC state are not what they were before.
    StateAfterwards {
        /// Before the pass.
        expected: ThreadState,
        /// After it.
        actual: ThreadState,
    },
    /// A thread was told that it owned a lock that it did not own, or the other way round.
    WrongOwner,
    /// Someone was woken, and did not see it.
    LostWakeUp,
    /// A count that cannot be had.
    Count {
        /// What is counted.
        what: &'static str,
        /// What it should be.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// Something was queued, and ran more often than that, or less often.
    Runs {
        /// How often it was to run.
        due: u64,
        /// How often it ran.
        runs: u64,
    },
    /// A wait for a thread was satisfied, and not every thread that was waited for had run, or one twice.
    Threads {
        /// How many were started, each of which was waited for.
        started: u64,
        /// How often one ran.
        ran: u64,
    },
    /// A node of a list was given to somebody while somebody else had it.
    ElementTwice {
        /// Which one.
        number: usize,
    },
    /// What one worker put into a list came out in another order.
    Order {
        /// Which of them came first.
        first: u64,
        /// Which of them came then.
        second: u64,
    },
    /// Nodes that are in no list any more.
    ElementsLost {
        /// How many.
        count: usize,
    },
    /// The DPC of a timer ran more often than the timer expired, or not at all.
    TimerAccount {
        /// How often the timer expired.
        expiries: u64,
        /// How often its DPC ran.
        runs: u64,
    },
}

impl Violation {
    /// What else it is counted as: the IRQL where that is wrong, else the APC state where that is.
    pub const fn of_state(&self) -> Option<Count> {
        match self {
            Self::StateWhileOwned { expected, actual }
            | Self::StateAfterwards { expected, actual } => Some(if expected.irql == actual.irql {
                Count::ApcViolations
            } else {
                Count::IrqlViolations
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornRecord {
                word,
                expected,
                actual,
            } => write!(
                f,
                "the record was torn: word {word} was {actual:#018x}, expected {expected:#018x}"
            ),
            Self::TwoWriters => f.write_str("two writers were at work at the same time"),
            Self::WriterWithReader => f.write_str("a writer was at work while a reader read"),
            Self::StateWhileOwned { expected, actual } => {
                write!(f, "while the lock was owned: {actual}; expected {expected}")
            }
            Self::StateAfterwards { expected, actual } => {
                write!(f, "after the pass: {actual}; before it {expected}")
            }
            Self::WrongOwner => f.write_str("the lock was wrong about its owner"),
            Self::LostWakeUp => {
                f.write_str("a wake-up was lost: the signal was given, and nobody got it")
            }
            Self::Count {
                what,
                expected,
                actual,
            } => write!(f, "{what}: {actual}, expected {expected}"),
            Self::Runs { due, runs } => {
                write!(f, "it was queued to run {due} times, and ran {runs} times")
            }
            Self::Threads { started, ran } => write!(
                f,
                "{started} threads were started and waited for, and {ran} had run"
            ),
            Self::ElementTwice { number } => {
                write!(
                    f,
                    "node {number} was taken out of a list while somebody had it"
                )
            }
            Self::Order { first, second } => write!(
                f,
                "what was put in as number {second} came out after number {first}"
            ),
            Self::ElementsLost { count } => write!(f, "{count} nodes were in no list at the end"),
            Self::TimerAccount { expiries, runs } => {
                write!(
                    f,
                    "a timer expired {expiries} times, and its DPC ran {runs} times"
                )
            }
        }
    }
}
