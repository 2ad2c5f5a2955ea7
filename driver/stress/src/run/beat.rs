//! What the workers of a run do in turns, all at the same time: the supervisor beats, and each worker
//! looks whether the beat is another one.

use core::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::settings::{ParameterId, Settings};

/// What happens in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Beat {
    /// All work and pause.
    Stutter,
    /// Each goes to another processor.
    Shuffle,
    /// One after the other has a real-time priority.
    Boost,
}

impl Beat {
    const ALL: [Self; 3] = [Self::Stutter, Self::Shuffle, Self::Boost];

    /// The parameter that says how long a turn takes.
    const fn parameter(self) -> ParameterId {
        match self {
            Self::Stutter => ParameterId::Stutter,
            Self::Shuffle => ParameterId::Shuffle,
            Self::Boost => ParameterId::Boost,
        }
    }
}

/// How many turns of each sort are over. Written a few times in a second, so that reading costs
/// nothing.
#[derive(Default)]
pub struct Beats([AtomicU32; Beat::ALL.len()]);

impl Beats {
    /// How many turns are over.
    pub fn get(&self, beat: Beat) -> u32 {
        self.slot(beat).load(Ordering::Relaxed)
    }

    /// Whether the workers pause: every second turn.
    pub fn pause(&self) -> bool {
        !self.get(Beat::Stutter).is_multiple_of(2)
    }

    const fn slot(&self, beat: Beat) -> &AtomicU32 {
        &self.0[beat as usize]
    }
}

/// Who beats.
pub struct Drummer([Turns; Beat::ALL.len()]);

/// Turns of one sort.
struct Turns {
    beat: Beat,
    /// How long each takes.
    every: Duration,
    /// When the current one is over.
    next: Duration,
}

impl Drummer {
    /// Turns as long as the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self(Beat::ALL.map(|beat| {
            let every = match settings.millis(beat.parameter()) {
                Duration::ZERO => Duration::MAX,
                every => every,
            };
            Turns {
                beat,
                every,
                next: every,
            }
        }))
    }

    /// Beats what is due after `elapsed`, and tells for how long nothing is.
    pub fn beat(&mut self, beats: &Beats, elapsed: Duration) -> Duration {
        let mut quiet = Duration::MAX;
        for turns in &mut self.0 {
            if elapsed >= turns.next {
                beats.slot(turns.beat).fetch_add(1, Ordering::Relaxed);
                turns.next = elapsed.saturating_add(turns.every);
            }
            quiet = quiet.min(turns.next.saturating_sub(elapsed));
        }
        quiet
    }
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ParameterValue;

    use super::*;
    use crate::settings::Parameter;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_has_turns_of_its_own() {
        const PARAMETERS: &[Parameter] = &[Parameter::stutter(), Parameter::shuffle()];
        let value = |id: ParameterId, value| ParameterValue {
            id: id as u32,
            reserved: 0,
            value,
        };
        let given = [
            value(ParameterId::Stutter, 30),
            value(ParameterId::Shuffle, 20),
        ];
        let settings = Settings::new(PARAMETERS, &given).unwrap();
        let (mut drummer, beats) = (Drummer::new(&settings), Beats::default());
        let mut beat = |elapsed| {
            let quiet = drummer.beat(&beats, millis(elapsed));
            (quiet, beats.get(Beat::Shuffle), beats.pause())
        };
        assert_eq!(beat(0), (millis(20), 0, false));
        assert_eq!(beat(20), (millis(10), 1, false));
        assert_eq!(beat(31), (millis(9), 1, true));
        assert_eq!(beat(45), (millis(16), 2, true), "late");
        assert_eq!(beat(61), (millis(4), 2, false));
        assert_eq!(beats.get(Beat::Boost), 0);
    }
}
