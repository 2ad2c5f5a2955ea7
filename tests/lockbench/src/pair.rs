//! Pairs of functions that do the same, one by the raw calls and one by wdk-sync.
//!
//! [`pair!`] exports three symbols from the image for the pair `x`: `raw_x` and `safe_x`, the
//! functions, and `about_x`, which says by how many instructions they may differ and why: zero and
//! nothing, where they must be the same. The numbers leave a fifth of room for other compilers.
//!
//! [`cycle!`] makes such a pair of an acquisition, a change of the data and a release, and the loops
//! in which it is measured. With the word `dispatch` the loops run at `DISPATCH_LEVEL`, and the token
//! is of that level.
//!
//! How fast a loop is depends by a few hundredths on where in a cache line its instructions come to lie.
//! So there is each loop at several [`PLACEMENTS`], the same for all ways, and all of them are measured.

use wdk_sync::{Irql, Passive};

use crate::{
    interface::PLACEMENTS,
    subjects::{Peer, Raw, Safe},
};

/// A loop at each place.
pub type Loops<F> = [F; PLACEMENTS as usize];

/// So many passes over a lock of wdk-mutex.
pub type PeerLoop = fn(&Peer, u32);

/// A lock in the ways that are measured: so many times acquired and released.
pub struct Cycle {
    pub name: &'static str,
    pub raw: Loops<fn(&Raw, &mut Irql<'_, Passive>, u32)>,
    pub safe: Loops<fn(&Safe, &mut Irql<'_, Passive>, u32)>,
    pub peer: Option<Loops<PeerLoop>>,
}

/// Lets what follows begin so many bytes after the beginning of a cache line.
#[inline(always)]
pub fn place<const BYTES: usize>() {
    // SAFETY: Instructions that do nothing.
    unsafe {
        core::arch::asm!(
            ".p2align 6, 0x90",
            ".fill {bytes}, 1, 0x90",
            bytes = const BYTES,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// The loop `$run`, a function with the place as its parameter, at each place.
macro_rules! at_each_place {
    ($run:ident) => {
        [
            $run::<0>, $run::<8>, $run::<16>, $run::<24>, $run::<32>, $run::<40>, $run::<48>,
            $run::<56>,
        ]
    };
}
pub(crate) use at_each_place;

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

            fn run_raw<const PLACE: usize>(
                locks: &$crate::subjects::Raw,
                irql: &mut wdk_sync::Irql<'_, wdk_sync::Passive>,
                passes: u32,
            ) {
                <$crate::pair::$level as $crate::pair::At>::run(irql, |_irql| {
                    $crate::pair::place::<PLACE>();
                    for _ in 0..passes {
                        by_calls(&locks.$raw_field);
                    }
                });
            }

            fn run_safe<const PLACE: usize>(
                locks: &$crate::subjects::Safe,
                irql: &mut wdk_sync::Irql<'_, wdk_sync::Passive>,
                passes: u32,
            ) {
                <$crate::pair::$level as $crate::pair::At>::run(irql, |irql| {
                    $crate::pair::place::<PLACE>();
                    for _ in 0..passes {
                        by_guard(&locks.$safe_field, irql);
                    }
                });
            }

            $crate::pair::Cycle {
                name: $name,
                raw: $crate::pair::at_each_place!(run_raw),
                safe: $crate::pair::at_each_place!(run_safe),
                peer: $crate::pair::cycle!(@peer $($peer: $Peer = $peer_field, $peer_body)?),
            }
        };
    };
    (@peer) => { None };
    (@peer $peer:ident: $Peer:ty = $field:ident, $body:block) => {{
        #[inline(always)]
        fn peer($peer: &$Peer) $body

        fn run_peer<const PLACE: usize>(locks: &$crate::subjects::Peer, passes: u32) {
            $crate::pair::place::<PLACE>();
            for _ in 0..passes {
                peer(&locks.$field);
            }
        }

        Some($crate::pair::at_each_place!(run_peer))
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
