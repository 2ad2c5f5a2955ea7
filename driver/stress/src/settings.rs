//! Parameters of scenarios, and the values that a run has for them.

use core::time::Duration;

use syncstress_protocol::{
    MAX_PARAMETERS, ParameterDescriptor, ParameterFlags, ParameterValue, Text, Unit,
};
use wdk_sync::Status;

use crate::limits::{SECONDS_PER_RUN, THREADS_PER_RUN};

macro_rules! parameter_ids {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $unit:ident, $summary:literal;)*) => {
        /// What a parameter means. One meaning over all scenarios; the numbers are on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum ParameterId {
            $($(#[$doc])* $variant = $id,)*
        }

        impl ParameterId {
            /// The name to type, the unit, and one sentence.
            const fn meaning(self) -> (&'static str, Unit, &'static str) {
                match self {
                    $(Self::$variant => ($name, Unit::$unit, $summary),)*
                }
            }
        }

        /// One more than the largest id.
        const IDS: usize = {
            let ids = [$($id),*];
            ids[ids.len() - 1] + 1
        };
    };
}

parameter_ids! {
    /// Threads that contend for the lock; those that write where there are readers.
    Threads = 1, "threads", Count, "Threads that take the lock to change what it protects.";
    /// Threads that take the lock shared.
    Readers = 2, "readers", Count, "Threads that take the lock to read what it protects.";
    /// How long the run takes.
    Seconds = 3, "seconds", Seconds, "How long the run takes.";
    /// How long the lock is held.
    Hold = 4, "hold", Microseconds, "How long each holder keeps the lock, busy.";
    /// How long a worker pauses between two passes.
    Think = 5, "think", Microseconds, "Pause of each worker between passes; busy below 1 ms.";
    /// How often a worker gives up when the lock is not free.
    Try = 6, "try", Percent, "How often a worker that finds the lock taken gives up.";
    /// How often a worker waits with a time-out.
    TimedWait = 7, "timed-wait", Percent, "How often a worker that waits does so with a time-out.";
    /// How often the owner acquires the lock again.
    Depth = 8, "depth", Count, "How many times an owner acquires the lock, at most.";
    /// How often a reader starves exclusive waiters.
    Starve = 9, "starve", Percent, "How often a reader goes ahead of exclusive waiters.";
    /// How often a reader waits for exclusive waiters.
    Yield = 10, "yield", Percent, "How often a reader lets all exclusive waiters go first.";
    /// How often a writer goes from exclusive to shared.
    Convert = 11, "convert", Percent, "How often a writer goes on as a reader before it lets go.";
    /// How many timers there are.
    Timers = 12, "timers", Count, "Timers, each with a DPC, that the threads set and cancel.";
    /// How far away due times are.
    Due = 13, "due", Microseconds, "Due times are random up to this.";
    /// The period of periodic timers.
    Period = 14, "period", Milliseconds, "Period of the timers that are periodic; 0: none is.";
    /// Whether times are measured.
    Measure = 15, "measure", Count, "Times are measured: 0 never, 1 always, 2 by turns, to see the cost.";
    /// How many holds are timed.
    Sample = 16, "sample", Count, "One hold in so many is timed, and one wait without a try before it.";
    /// How hold times differ.
    Spread = 17, "spread", Count, "Hold times: 0 all the same, 1 evenly up to twice, 2 exponential.";
    /// How long a long hold is.
    LongHold = 18, "long-hold", Microseconds, "How long a long hold is; 0: there are none.";
    /// How often a hold is a long one.
    LongEvery = 19, "long-every", Count, "One hold in so many is a long one, at random.";
    /// How long all workers work and pause in turns.
    Stutter = 20, "stutter", Milliseconds, "All work and pause in turns of this length; 0: they never pause.";
    /// After how many acquisitions a worker ends.
    Limit = 21, "limit", Count, "Acquisitions after which a worker ends; 0: when the time is over.";
    /// How many DPCs contend.
    Dpcs = 22, "dpcs", Count, "DPCs, queued by the threads, that contend for the lock as well.";
    /// How often a worker waits for all.
    All = 23, "all", Percent, "How often a worker waits for all of its objects, and not for any one.";
    /// How long each worker stays on one processor.
    Shuffle = 24, "shuffle", Milliseconds, "Each worker goes to a random processor so often; 0: they go where they like.";
    /// How long each worker in turn has a real-time priority.
    Boost = 25, "boost", Milliseconds, "One worker after the other has a real-time priority for so long; 0: none has.";
    /// How long a wait with a time-out takes at most.
    Timeout = 26, "timeout", Milliseconds, "How long a worker that waits with a time-out does so.";
    /// How many threads keep a processor busy.
    Spinners = 27, "spinners", Count, "Threads that keep the processor busy and take no lock.";
    /// Which lock it is.
    Which = 28, "lock", Count, "Which lock: the summary of the scenario tells them by number.";
    /// How late a timer may be.
    Tolerance = 29, "tolerance", Milliseconds, "How late a timer may expire, to expire together with others.";
    /// How long a DPC or a spinner keeps its processor.
    Busy = 30, "busy", Microseconds, "How long a DPC, or a thread that takes no lock, keeps its processor.";
    /// How long the run takes, where that is not told in seconds.
    Milliseconds = 31, "milliseconds", Milliseconds, "How long the run takes, in place of `seconds`; 0: so many seconds.";
    /// Which kind of timer it is.
    Kind = 32, "kind", Count, "Which kind of timer: the summary of the scenario tells them by number.";
    /// How many nodes there are.
    Nodes = 33, "nodes", Count, "Nodes that go from list to list.";
    /// How often a worker empties a list.
    Flush = 34, "flush", Percent, "How often a worker takes all nodes at once.";
    /// How many work items there are.
    Items = 35, "items", Count, "Work items, which threads, DPCs and they themselves queue.";
}

const _: () = assert!(
    IDS - 1 <= MAX_PARAMETERS,
    "a request carries every parameter"
);

impl ParameterId {
    /// Bits of [`ParameterFlags`].
    const fn flags(self) -> u32 {
        match self {
            Self::Seconds | Self::Milliseconds => ParameterFlags::LENGTH,
            _ => 0,
        }
    }
}

/// A parameter that a scenario takes.
pub struct Parameter {
    id: ParameterId,
    minimum: u64,
    maximum: u64,
    default: u64,
}

impl Parameter {
    /// A parameter with its range and default.
    pub const fn new(id: ParameterId, minimum: u64, maximum: u64, default: u64) -> Self {
        assert!(minimum <= default && default <= maximum);
        Self {
            id,
            minimum,
            maximum,
            default,
        }
    }

    /// [`ParameterId::Threads`] from `minimum` up to the limit of a run.
    pub const fn threads(minimum: u64, default: u64) -> Self {
        Self::new(
            ParameterId::Threads,
            minimum,
            THREADS_PER_RUN as u64,
            default,
        )
    }

    /// [`ParameterId::Threads`] where there is at least one reader, too.
    pub const fn threads_beside(minimum: u64, default: u64) -> Self {
        let most = THREADS_PER_RUN as u64 - 1;
        Self::new(ParameterId::Threads, minimum, most, default)
    }

    /// [`ParameterId::Seconds`] up to the limit of a run.
    pub const fn seconds() -> Self {
        Self::new(ParameterId::Seconds, 1, SECONDS_PER_RUN as u64, 5)
    }

    /// [`ParameterId::Milliseconds`] up to the limit of a run.
    pub const fn milliseconds() -> Self {
        Self::new(
            ParameterId::Milliseconds,
            0,
            SECONDS_PER_RUN as u64 * 1_000,
            0,
        )
    }

    /// [`ParameterId::Seconds`] of what goes on until it is stopped, if no other end is asked for.
    pub const fn seconds_until_stopped() -> Self {
        let most = SECONDS_PER_RUN as u64;
        Self::new(ParameterId::Seconds, 1, most, most)
    }

    /// [`ParameterId::Hold`]. The largest hold keeps a processor at `DISPATCH_LEVEL` for less than
    /// the hundredth part of what the DPC watchdog allows.
    pub const fn hold() -> Self {
        Self::new(ParameterId::Hold, 0, 1_000, 0)
    }

    /// [`ParameterId::Think`].
    pub const fn think(default: u64) -> Self {
        Self::new(ParameterId::Think, 0, 100_000, default)
    }

    /// [`ParameterId::Spread`].
    pub const fn spread() -> Self {
        Self::new(ParameterId::Spread, 0, Spread::Exponential as u64, 0)
    }

    /// [`ParameterId::LongHold`], no longer than what [`hold`](Self::hold) allows.
    pub const fn long_hold() -> Self {
        Self::new(ParameterId::LongHold, 0, 1_000, 0)
    }

    /// [`ParameterId::LongEvery`].
    pub const fn long_every() -> Self {
        Self::new(ParameterId::LongEvery, 1, 1_000_000, 1_000)
    }

    /// [`ParameterId::Stutter`].
    pub const fn stutter() -> Self {
        Self::new(ParameterId::Stutter, 0, 1_000, 0)
    }

    /// [`ParameterId::Shuffle`].
    pub const fn shuffle() -> Self {
        Self::new(ParameterId::Shuffle, 0, 10_000, 0)
    }

    /// [`ParameterId::Boost`]. For no longer than that a worker keeps all others from a processor.
    pub const fn boost() -> Self {
        Self::new(ParameterId::Boost, 0, 100, 0)
    }

    /// [`ParameterId::Timeout`].
    pub const fn timeout(default: u64) -> Self {
        Self::new(ParameterId::Timeout, 1, 1_000, default)
    }

    /// [`ParameterId::Tolerance`].
    pub const fn tolerance() -> Self {
        Self::new(ParameterId::Tolerance, 0, 1_000, 0)
    }

    /// [`ParameterId::Limit`].
    pub const fn limit() -> Self {
        Self::new(ParameterId::Limit, 0, 1 << 40, 0)
    }

    /// [`ParameterId::Dpcs`].
    pub const fn dpcs() -> Self {
        Self::new(ParameterId::Dpcs, 0, 64, 0)
    }

    /// [`ParameterId::Nodes`].
    pub const fn nodes(default: u64) -> Self {
        Self::new(ParameterId::Nodes, 1, 4_096, default)
    }

    /// [`ParameterId::Readers`]: with one writer, as many as a run may have threads.
    pub const fn readers(minimum: u64, default: u64) -> Self {
        let most = THREADS_PER_RUN as u64 - 1;
        Self::new(ParameterId::Readers, minimum, most, default)
    }

    /// [`ParameterId::Measure`].
    pub const fn measure() -> Self {
        Self::new(ParameterId::Measure, 0, Measure::ByTurns as u64, 1)
    }

    /// [`ParameterId::Sample`].
    pub const fn sample() -> Self {
        Self::new(ParameterId::Sample, 1, 1_000_000, 16)
    }

    /// A share of a hundred.
    pub const fn percent(id: ParameterId, default: u64) -> Self {
        Self::new(id, 0, 100, default)
    }

    /// As the wire has it.
    pub const fn descriptor(&self) -> ParameterDescriptor {
        let (name, unit, summary) = self.id.meaning();
        ParameterDescriptor {
            id: self.id as u32,
            unit: unit.to_wire(),
            minimum: self.minimum,
            maximum: self.maximum,
            default: self.default,
            name: Text::new(name),
            flags: self.id.flags(),
            reserved: 0,
            summary: Text::new(summary),
        }
    }
}

/// What [`ParameterId::Measure`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// No time is measured.
    Never = 0,
    /// Times are measured on every pass.
    Always = 1,
    /// Some passes are measured and some are not.
    ByTurns = 2,
}

/// What [`ParameterId::Spread`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Every hold takes as long as any other.
    None = 0,
    /// From nothing to twice as long, evenly.
    Even = 1,
    /// Exponentially distributed, up to eight times as long.
    Exponential = 2,
}

/// The parameters of a scenario: those that every one takes that has workers with a lock, and those
/// that are given.
macro_rules! parameters {
    ($($parameter:expr),* $(,)?) => {
        $crate::settings::common_parameters!([$($parameter),*] [
            $crate::settings::Parameter::spread(),
            $crate::settings::Parameter::long_hold(),
            $crate::settings::Parameter::long_every()
        ])
    };
}
pub(crate) use parameters;

/// As `parameters!`, for scenarios in which `hold` is what something takes that a worker has started: always the same.
macro_rules! parameters_of_starters {
    ($($parameter:expr),* $(,)?) => {
        $crate::settings::common_parameters!([$($parameter),*] [])
    };
}
pub(crate) use parameters_of_starters;

/// The parameters of whatever has workers, between those that are given: the second ones say more of `hold`.
macro_rules! common_parameters {
    ([$($first:expr),*] [$($of_hold:expr),*]) => {
        &[
            $($first,)*
            $crate::settings::Parameter::seconds(),
            $crate::settings::Parameter::milliseconds(),
            $crate::settings::Parameter::hold(),
            $($of_hold,)*
            $crate::settings::Parameter::think(0),
            $crate::settings::Parameter::stutter(),
            $crate::settings::Parameter::limit(),
            $crate::settings::Parameter::shuffle(),
            $crate::settings::Parameter::boost(),
            $crate::settings::Parameter::measure(),
            $crate::settings::Parameter::sample(),
        ]
    };
}
pub(crate) use common_parameters;

/// A value for every parameter.
#[derive(Clone, Copy)]
pub struct Settings([u64; IDS]);

impl Settings {
    /// The values given for `parameters`, and the defaults of those that are not given.
    ///
    /// # Errors
    ///
    /// [`Status::INVALID_PARAMETER`] if one is unknown, given twice or out of range.
    pub fn new(parameters: &[Parameter], given: &[ParameterValue]) -> Result<Self, Status> {
        let mut settings = Self([0; IDS]);
        for parameter in parameters {
            settings.set(parameter.id, parameter.default);
        }
        for (index, value) in given.iter().enumerate() {
            let twice = given.iter().take(index).any(|other| other.id == value.id);
            let parameter = parameters.iter().find(|it| it.id as u32 == value.id);
            match parameter {
                Some(parameter)
                    if !twice
                        && value.reserved == 0
                        && (parameter.minimum..=parameter.maximum).contains(&value.value) =>
                {
                    settings.set(parameter.id, value.value);
                }
                _ => return Err(Status::INVALID_PARAMETER),
            }
        }
        Ok(settings)
    }

    /// The value of a parameter; 0 if the scenario does not take it.
    pub fn get(&self, id: ParameterId) -> u64 {
        self.0.get(id as usize).copied().unwrap_or(0)
    }

    /// The value of a parameter that counts something.
    pub fn count(&self, id: ParameterId) -> u32 {
        u32::try_from(self.get(id)).unwrap_or(u32::MAX)
    }

    /// The value of a parameter in microseconds.
    pub fn micros(&self, id: ParameterId) -> Duration {
        Duration::from_micros(self.get(id))
    }

    /// The value of a parameter in milliseconds.
    pub fn millis(&self, id: ParameterId) -> Duration {
        Duration::from_millis(self.get(id))
    }

    /// How long the run takes.
    pub fn duration(&self) -> Duration {
        match self.get(ParameterId::Milliseconds) {
            0 => Duration::from_secs(self.get(ParameterId::Seconds)),
            millis => Duration::from_millis(millis),
        }
    }

    /// How hold times differ.
    pub fn spread(&self) -> Spread {
        match self.get(ParameterId::Spread) {
            0 => Spread::None,
            1 => Spread::Even,
            _ => Spread::Exponential,
        }
    }

    /// Whether times are measured.
    pub fn measure(&self) -> Measure {
        match self.get(ParameterId::Measure) {
            0 => Measure::Never,
            1 => Measure::Always,
            _ => Measure::ByTurns,
        }
    }

    fn set(&mut self, id: ParameterId, value: u64) {
        if let Some(place) = self.0.get_mut(id as usize) {
            *place = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: &[Parameter] = &[Parameter::threads(2, 8), Parameter::seconds()];

    fn value(id: ParameterId, value: u64) -> ParameterValue {
        ParameterValue {
            id: id as u32,
            reserved: 0,
            value,
        }
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let settings = Settings::new(PARAMETERS, &[value(ParameterId::Threads, 3)]).unwrap();
        assert_eq!(settings.get(ParameterId::Threads), 3);
        assert_eq!(settings.get(ParameterId::Seconds), 5);
        assert_eq!(settings.get(ParameterId::Hold), 0, "not taken");
    }

    #[test]
    fn milliseconds_are_in_place_of_seconds() {
        let duration = |given: &[_]| {
            let parameters = [Parameter::seconds(), Parameter::milliseconds()];
            Settings::new(&parameters, given).unwrap().duration()
        };
        let (seconds, millis) = (
            value(ParameterId::Seconds, 2),
            value(ParameterId::Milliseconds, 250),
        );
        assert_eq!(duration(&[seconds]), Duration::from_secs(2));
        assert_eq!(duration(&[seconds, millis]), Duration::from_millis(250));
    }

    #[test]
    fn both_ends_of_a_range_are_in_it() {
        for (count, is_in) in [(1, false), (2, true), (256, true), (257, false)] {
            let settings = Settings::new(PARAMETERS, &[value(ParameterId::Threads, count)]);
            assert_eq!(settings.is_ok(), is_in, "{count}");
        }
    }

    #[test]
    fn what_is_unknown_or_twice_is_refused() {
        let threads = value(ParameterId::Threads, 3);
        for given in [&[threads, threads][..], &[value(ParameterId::Hold, 0)]] {
            let refused = Settings::new(PARAMETERS, given).err();
            assert_eq!(refused, Some(Status::INVALID_PARAMETER));
        }
    }
}
