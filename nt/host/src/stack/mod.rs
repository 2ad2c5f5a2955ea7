//! The stacks of threads: which code of drivers a thread is in, frame by frame.
//!
//! A stack goes through drivers and this kernel in turn, so the unwinder knows both: images by their
//! `.pdata`, the host's own code by its `.eh_frame` ([`modules`]). Memory is read as a debugger reads it, so
//! a stack that makes no sense ends early and harms nobody. A thread that sleeps or spins says where it is
//! when it is asked by a signal ([`ask`]).

mod ask;
mod modules;

use core::{arch::asm, fmt};

use framehop::{
    FrameAddress, Unwinder as _,
    x86_64::{CacheX86_64, UnwindRegsX86_64},
};
use serde::{Deserialize, Serialize};

pub use ask::{Answer, ask, install, remember_host_thread};

use crate::{
    address::to_usize,
    inspect::memory,
    loader::registry::{self, Location},
    symbols,
};

/// What a walk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    pub instruction: u64,
    pub stack: u64,
    pub frame: u64,
}

/// A place in a driver's code on a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The address.
    pub address: u64,
    /// `image!function+0x12`, or `image+0x1234` if the symbols are not there.
    pub name: String,
    /// The source file and line, if the symbols tell.
    pub line: Option<String>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.line
            .as_ref()
            .map_or(Ok(()), |line| write!(f, " ({line})"))
    }
}

/// No more frames of drivers than this are shown, and no more of anything are looked at.
const SHOWN: usize = 32;
const LOOKED_AT: usize = 256;

/// The registers of the caller.
#[expect(
    clippy::inline_always,
    reason = "in a function of its own the registers would be those of a frame that is gone"
)]
#[inline(always)]
pub fn here() -> Registers {
    let (instruction, stack, frame);
    // SAFETY: It reads three registers.
    unsafe {
        asm!(
            "lea {instruction}, [rip]",
            "mov {stack}, rsp",
            "mov {frame}, rbp",
            instruction = out(reg) instruction,
            stack = out(reg) stack,
            frame = out(reg) frame,
            options(nomem, nostack, preserves_flags),
        );
    }
    Registers {
        instruction,
        stack,
        frame,
    }
}

/// A thread's registers, and what was on its stack if that may be something else by now.
pub struct Snapshot {
    pub registers: Registers,
    pub stack: Vec<u8>,
}

impl From<Registers> for Snapshot {
    fn from(registers: Registers) -> Self {
        Self {
            registers,
            stack: Vec::new(),
        }
    }
}

impl Snapshot {
    /// The word at an address of the stack.
    fn word(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.registers.stack);
        let kept = offset.and_then(|offset| self.stack.get(to_usize(offset)..));
        kept.and_then(<[u8]>::first_chunk)
            .map(|bytes| u64::from_le_bytes(*bytes))
            .or_else(|| memory::u64_at(address))
    }
}

/// The places in drivers' code on a stack, innermost first.
pub fn walk(snapshot: &Snapshot) -> Vec<Frame> {
    let (start, is_return) = begin(snapshot);
    let unwinder = modules::unwinder();
    let mut cache = CacheX86_64::<_>::new();
    let mut read = |address| snapshot.word(address).ok_or(());
    let registers = UnwindRegsX86_64::new(start.instruction, start.stack, start.frame);
    let mut addresses = unwinder.iter_frames(start.instruction, registers, &mut cache, &mut read);
    let mut frames = Vec::new();
    for number in 0..LOOKED_AT {
        let Ok(Some(mut address)) = addresses.next() else {
            break;
        };
        if number == 0 && is_return {
            address = FrameAddress::from_return_address(start.instruction).unwrap_or(address);
        }
        frames.extend(frame(address));
        if frames.len() == SHOWN {
            break;
        }
    }
    frames
}

/// What a walk begins with, and whether that is a return address: a call of what is not there, such as a function
/// that this kernel lacks, has come no further than to leave it on the stack.
fn begin(snapshot: &Snapshot) -> (Registers, bool) {
    let start = snapshot.registers;
    let is_there = memory::u8_at(start.instruction).is_some();
    match snapshot.word(start.stack) {
        Some(instruction) if !is_there => {
            let stack = start.stack + 8;
            let caller = Registers {
                instruction,
                stack,
                ..start
            };
            (caller, true)
        }
        _ => (start, false),
    }
}

/// The frame of an address, if it is one of a driver.
fn frame(address: FrameAddress) -> Option<Frame> {
    let is_return = address.is_return_address();
    let address = address.address();
    registry::locate(to_usize(address)).filter(Location::is_code)?;
    let code = symbols::code(address, is_return)?;
    Some(Frame {
        address,
        name: code.name,
        line: code.line,
    })
}
