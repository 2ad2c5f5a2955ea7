//! Pairs of functions that do the same, one by the raw calls and one by wdk-sync.
//!
//! [`pair!`] exports three symbols from the image for the pair `x`: `raw_x` and `safe_x`, the
//! functions, and `about_x`, which says by how many instructions they may differ and why: zero and
//! nothing, where they must be the same. The numbers leave a fifth of room for other compilers.
//!
//! [`cycle!`] makes such a pair of an acquisition, a change of the data and a release, and the loops
//! in which it is measured. With the word `dispatch` the loops run at `DISPATCH_LEVEL`, and the token
//! is of that level.

use wdk_sync::{Irql, Passive};

use crate::subjects::{Peer, Raw, Safe};

/// A lock in the ways that are measured: so many times acquired and released.
pub struct Cycle {
    pub name: &'static str,
    pub raw: fn(&Raw, &mut Irql<'_, Passive>, u32),
    pub safe: fn(&Safe, &mut Irql<'_, Passive>, u32),
    pub peer: Option<fn(&Peer, u32)>,
}

/// The text of `about_x`, ended by a zero.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(text.as_bytes());
    bytes
}

/// Exports a pair. The bodies are in the order raw, safe.
macro_rules! pair {
    ($name:literal, differs($by:literal, $why:literal),
        raw($($raw:ident: $Raw:ty),*) $(-> $RawReturn:ty)? $raw_body:block
        safe($($safe:ident: $Safe:ty),*) $(-> $SafeReturn:ty)? $safe_body:block
    ) => {
        const _: () = {
            #[unsafe(export_name = concat!("raw_", $name))]
            #[inline(never)]
            fn raw($($raw: $Raw),*) $(-> $RawReturn)? $raw_body

            #[unsafe(export_name = concat!("safe_", $name))]
            #[inline(never)]
            fn safe($($safe: $Safe),*) $(-> $SafeReturn)? $safe_body

            const TEXT: &str = concat!($by, "\t", $why, "\0");

            #[unsafe(export_name = concat!("about_", $name))]
            static ABOUT: [u8; TEXT.len()] = $crate::pair::bytes(TEXT);
        };
    };
    ($name:literal, same, $($rest:tt)*) => {
        $crate::pair::pair! { $name, differs(0, ""), $($rest)* }
    };
}
pub(crate) use pair;

/// Exports a pair that acquires and releases, and gives the [`Cycle`] of it.
macro_rules! cycle {
    ($cycle:ident = $name:literal, $kind:ident $(($by:literal, $why:literal))?, $level:ident,
        raw($raw:ident: $Raw:ty = $raw_field:ident) $raw_body:block
        safe($safe:ident: $Safe:ty = $safe_field:ident, $irql:ident) $safe_body:block
        $(peer($peer:ident: $Peer:ty = $peer_field:ident) $peer_body:block)?
    ) => {
        pub const $cycle: $crate::pair::Cycle = {
            #[inline(always)]
            fn by_calls($raw: &$Raw) $raw_body

            #[inline(always)]
            fn by_guard($safe: &$Safe, $irql: &mut $crate::pair::Token<'_, $crate::pair::$level>) $safe_body

            $crate::pair::pair! { $name, $kind $(($by, $why))?,
                raw(lock: &$Raw) { by_calls(lock); }
                safe(
                    lock: &$Safe,
                    irql: &mut $crate::pair::Token<'_, $crate::pair::$level>
                ) { by_guard(lock, irql); }
            }

            $crate::pair::Cycle {
                name: $name,
                raw: |locks, irql, passes| {
                    <$crate::pair::$level as $crate::pair::At>::run(irql, |_irql| {
                        for _ in 0..passes {
                            by_calls(&locks.$raw_field);
                        }
                    });
                },
                safe: |locks, irql, passes| {
                    <$crate::pair::$level as $crate::pair::At>::run(irql, |irql| {
                        for _ in 0..passes {
                            by_guard(&locks.$safe_field, irql);
                        }
                    });
                },
                peer: $crate::pair::cycle!(@peer $($peer: $Peer = $peer_field, $peer_body)?),
            }
        };
    };
    (@peer) => { None };
    (@peer $peer:ident: $Peer:ty = $field:ident, $body:block) => {{
        #[inline(always)]
        fn peer($peer: &$Peer) $body

        Some(|locks, passes| {
            for _ in 0..passes {
                peer(&locks.$field);
            }
        })
    }};
}
pub(crate) use cycle;

/// The token of a level at which a loop runs.
pub type Token<'a, A> = Irql<'a, <A as At>::Level>;

/// Where a loop runs.
pub trait At {
    /// The level.
    type Level: wdk_sync::Level;

    /// Runs `f` there.
    fn run(irql: &mut Irql<'_, Passive>, f: impl FnOnce(&mut Irql<'_, Self::Level>));
}

/// As it comes.
#[expect(non_camel_case_types, reason = "written as a word of `cycle!`")]
pub enum passive {}

impl At for passive {
    type Level = Passive;

    fn run(irql: &mut Irql<'_, Passive>, f: impl FnOnce(&mut Irql<'_, Passive>)) {
        f(irql);
    }
}

/// Raised.
#[expect(non_camel_case_types, reason = "written as a word of `cycle!`")]
pub enum dispatch {}

impl At for dispatch {
    type Level = wdk_sync::Dispatch;

    fn run(irql: &mut Irql<'_, Passive>, f: impl FnOnce(&mut Irql<'_, Self::Level>)) {
        irql.at_dispatch_level(f);
    }
}
