//! Which rules of the verifier are checked: groups of them, by name.
//!
//! What no kernel could go on after is found whatever is chosen: threads that wait for each other, addresses at which no
//! object can be. Of the others a kernel without Driver Verifier takes no notice,
//! or stops for them with another bug check: `VERIFIER.md` says which.

use std::{
    fmt,
    ops::{BitOr, Sub},
    str::FromStr,
};

/// A set of groups of rules.
///
/// # Examples
///
/// ```
/// use nthost::Rules;
///
/// let rules: Rules = "all,-pool".parse()?;
/// assert!(rules.contains(Rules::APC) && !rules.contains(Rules::POOL));
/// assert_eq!("irql,deadlock".parse(), Ok(Rules::IRQL | Rules::DEADLOCK));
/// # Ok::<(), nthost::UnknownRules>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules(u16);

macro_rules! groups {
    ($($constant:ident = $bit:literal, $name:literal, $text:literal;)*) => {
        impl Rules {
            $(
                #[doc = concat!("`", $name, "`: ", $text, ".")]
                pub const $constant: Self = Self(1 << $bit);
            )*
            /// Every group.
            pub const ALL: Self = Self($(1 << $bit)|*);
        }

        /// The groups, with their names and what they check.
        const GROUPS: &[(&str, Rules, &str)] = &[$(($name, Rules::$constant, $text)),*];
    };
}

groups! {
    APC = 0, "apc", "ERESOURCEs and push locks acquired or released with normal kernel APCs on";
    DEADLOCK = 1, "deadlock", "locks taken in orders that contradict each other, though nothing deadlocked";
    HANDLES = 2, "handles", "handles that are null or not open";
    IO = 3, "io", "IRPs, what dispatch and completion routines leave behind, Plug and Play";
    IRQL = 4, "irql", "pageable memory touched, and functions called, above the IRQL that they allow";
    POOL = 5, "pool", "special pool: touching a block beyond its end or after it was freed";
    LOCKS = 9, "locks", "locks, lookaside lists: initialised twice or never, taken or released by mistake, freed";
    STACK = 6, "stack", "waits in UserMode for an object on the stack";
    THREADS = 7, "threads", "threads that end and hold a lock";
    TIME = 8, "time", "code that stays at DISPATCH_LEVEL too long";
}

impl Rules {
    /// No group.
    pub const NONE: Self = Self(0);
    /// Every group but [`POOL`](Self::POOL), which gives each block of pool pages to itself.
    pub const DEFAULT: Self = Self(Self::ALL.0 & !Self::POOL.0);

    /// Whether all of `rules` are among these.
    #[must_use]
    pub const fn contains(self, rules: Self) -> bool {
        self.0 & rules.0 == rules.0
    }

    /// The names of the groups, each with what it checks.
    pub fn groups() -> impl Iterator<Item = (&'static str, &'static str)> {
        GROUPS.iter().map(|(name, _, text)| (*name, *text))
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::ALL),
            "default" => Some(Self::DEFAULT),
            "none" => Some(Self::NONE),
            _ => {
                let group = GROUPS.iter().find(|group| group.0 == name);
                group.map(|group| group.1)
            }
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl BitOr for Rules {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for Rules {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromStr for Rules {
    type Err = UnknownRules;

    /// Reads names with commas between them. One with a `-` before it is left out; if the first is, what it is left
    /// out of is the default.
    fn from_str(text: &str) -> Result<Self, UnknownRules> {
        let start = if text.starts_with('-') {
            Self::DEFAULT
        } else {
            Self::NONE
        };
        text.split(',').try_fold(start, |rules, item| {
            let name = item.strip_prefix('-');
            let group = Self::named(name.unwrap_or(item));
            let group = group.ok_or_else(|| UnknownRules(item.to_owned()))?;
            Ok(if name.is_some() {
                rules - group
            } else {
                rules | group
            })
        })
    }
}

/// A name that no group of rules has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct UnknownRules(String);

impl fmt::Display for UnknownRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Rules::groups().map(|group| group.0).collect();
        write!(
            f,
            "no rules are called \"{}\": there are all, default, none, {}",
            self.0,
            names.join(", ")
        )
    }
}
