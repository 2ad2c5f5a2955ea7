//! The data that a lock under test protects: whole between two changes, torn during one.

use super::violation::Violation;

/// How many words the record has. More than one cache line, so that it cannot be written at once.
const WORDS: usize = 12;

/// A record of several words with a relation between them, in plain memory.
///
/// A change writes them one after the other, so that anyone who gets in between finds the relation
/// broken. The words are not atomic and the compiler may not reason about them: each is read and
/// written where the source says so.
pub struct Ledger {
    sequence: Word,
    writer_inside: Word,
    words: [Word; WORDS],
    /// What a DPC found first, and which one: a DPC leaves nothing else behind.
    pub by_dpc: Option<(usize, Violation)>,
}

/// What word `index` of change number `sequence` is.
pub const fn word_of(sequence: u64, index: usize) -> u64 {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    sequence.wrapping_mul(MIX) ^ (index as u64).wrapping_mul(MIX.rotate_left(32))
}

impl Ledger {
    /// A record that is whole.
    pub fn new() -> Self {
        Self {
            sequence: Word::new(0),
            writer_inside: Word::new(0),
            words: core::array::from_fn(|index| Word::new(word_of(0, index))),
            by_dpc: None,
        }
    }

    /// Makes one change, with `halfway` in the middle of it. For an exclusive owner. A record that is
    /// found torn is whole again afterwards, so that each tear is counted once.
    pub fn change(&mut self, halfway: impl FnOnce()) -> Result<(), Violation> {
        if self.writer_inside.get() != 0 {
            return Err(Violation::TwoWriters);
        }
        self.writer_inside.set(1);
        let found = self.verify();
        let before = self.sequence.get();
        let sequence = before.wrapping_add(1);
        self.write_words(sequence, halfway);
        let alone = self.sequence.get() == before;
        self.sequence.set(sequence);
        self.writer_inside.set(0);
        match found {
            Ok(()) if !alone => Err(Violation::TwoWriters),
            found => found,
        }
    }

    /// Reads the record twice, with `halfway` between. For a shared owner.
    pub fn inspect(&self, halfway: impl FnOnce()) -> Result<(), Violation> {
        let before = self.sequence.get();
        self.refuse_writer()?;
        self.verify()?;
        halfway();
        self.refuse_writer()?;
        if self.sequence.get() != before {
            return Err(Violation::WriterWithReader);
        }
        self.verify()
    }

    fn refuse_writer(&self) -> Result<(), Violation> {
        match self.writer_inside.get() {
            0 => Ok(()),
            _ => Err(Violation::WriterWithReader),
        }
    }

    fn write_words(&mut self, sequence: u64, halfway: impl FnOnce()) {
        let (first, second) = self.words.split_at_mut(WORDS / 2);
        for (index, word) in first.iter_mut().enumerate() {
            word.set(word_of(sequence, index));
        }
        halfway();
        for (index, word) in second.iter_mut().enumerate() {
            word.set(word_of(sequence, WORDS / 2 + index));
        }
    }

    fn verify(&self) -> Result<(), Violation> {
        let sequence = self.sequence.get();
        for (index, word) in self.words.iter().enumerate() {
            let (expected, actual) = (word_of(sequence, index), word.get());
            if actual != expected {
                return Err(Violation::TornRecord {
                    word: index,
                    expected,
                    actual,
                });
            }
        }
        Ok(())
    }
}

/// A word that is read and written exactly where the source does so.
struct Word(u64);

impl Word {
    const fn new(value: u64) -> Self {
        Self(value)
    }

    fn get(&self) -> u64 {
        // SAFETY: A reference is valid for reads.
        unsafe { (&raw const self.0).read_volatile() }
    }

    fn set(&mut self, value: u64) {
        // SAFETY: A mutable reference is valid for writes.
        unsafe { (&raw mut self.0).write_volatile(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_record_stays_whole() {
        let mut ledger = Ledger::new();
        for _ in 0..100 {
            assert!(ledger.change(|| {}).is_ok());
            assert!(ledger.inspect(|| {}).is_ok());
        }
        assert_eq!(ledger.sequence.get(), 100);
    }

    #[test]
    fn every_word_that_is_of_another_change_is_found() {
        for torn in 0..WORDS {
            let mut ledger = Ledger::new();
            ledger.words[torn].set(word_of(1, torn));
            for found in [ledger.inspect(|| {}), ledger.change(|| {})] {
                match found {
                    Err(Violation::TornRecord { word, actual, .. }) => {
                        assert_eq!((word, actual), (torn, word_of(1, torn)));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(ledger.inspect(|| {}).is_ok(), "the change made it whole");
        }
    }

    #[test]
    fn a_writer_inside_is_found() {
        let mut ledger = Ledger::new();
        ledger.writer_inside.set(1);
        let found = ledger.inspect(|| {});
        assert!(matches!(found, Err(Violation::WriterWithReader)));
        let found = ledger.change(|| {});
        assert!(matches!(found, Err(Violation::TwoWriters)));
    }

    #[test]
    fn words_differ_from_change_to_change_and_place_to_place() {
        for index in 0..WORDS {
            assert_ne!(word_of(7, index), word_of(8, index));
            assert_ne!(word_of(7, index), word_of(7, index + 1));
        }
    }
}
