//! `KUSER_SHARED_DATA`, which headers have inline functions read at an address that no process of Linux can
//! map: the thread that faults there reads a copy.
//!
//! The copy has the fields that a driver has reason to read. Reading another one is a page fault, and the
//! report says which. DDI: `KUSER_SHARED_DATA` (ntddk.h).

use core::{
    cell::Cell,
    ops::Range,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use iced_x86::{Code, Instruction};
use libc::c_int;

use super::{
    control, debugger, instruction,
    registers::Registers,
    unnoticed::{self, thunk},
};
use crate::{clock, ke::clock::DEFAULT_INCREMENT, rtl::version};

/// Where drivers find it.
const ADDRESS: u64 = 0xFFFF_F780_0000_0000;
const SIZE: usize = nt_abi::PAGE_SIZE;

const TICK_COUNT_MULTIPLIER: usize = 0x4;
const INTERRUPT_TIME: usize = 0x8;
const SYSTEM_TIME: usize = 0x14;
const TIME_ZONE_BIAS: usize = 0x20;
const NT_BUILD_NUMBER: usize = 0x260;
const NT_PRODUCT_TYPE: usize = 0x264;
const PRODUCT_TYPE_IS_VALID: usize = 0x268;
const NT_MAJOR_VERSION: usize = 0x26C;
const NT_MINOR_VERSION: usize = 0x270;
const KD_DEBUGGER_ENABLED: usize = 0x2D4;
const TICK_COUNT: usize = 0x320;

/// The fields that the copy has.
const KNOWN: [Range<usize>; 6] = [
    TICK_COUNT_MULTIPLIER..TIME_ZONE_BIAS + 12,
    NT_BUILD_NUMBER..NT_PRODUCT_TYPE + 4,
    PRODUCT_TYPE_IS_VALID..PRODUCT_TYPE_IS_VALID + 1,
    NT_MAJOR_VERSION..NT_MINOR_VERSION + 4,
    KD_DEBUGGER_ENABLED..KD_DEBUGGER_ENABLED + 1,
    TICK_COUNT..TICK_COUNT + 16,
];

/// A copy of the page.
#[repr(C, align(4096))]
struct Page([AtomicU32; SIZE / 4]);

static COPY: Page = Page([const { AtomicU32::new(0) }; SIZE / 4]);

/// The trap flag: the processor stops after one instruction.
const TRAP_FLAG: u64 = 0x100;
/// `si_code` of that stop.
const TRAP_TRACE: c_int = 2;

/// How an instruction that faulted is to read the copy.
#[derive(Clone, Copy)]
enum Way {
    /// It moves as many bytes to the accumulator, from an absolute address.
    Load { size: usize, next: u64 },
    /// It makes the address with the register that has this index in the context.
    Step { size: usize, register: c_int },
}

/// An instruction that reads the copy because a register leads there.
#[derive(Clone, Copy)]
struct Step {
    register: c_int,
    /// What it was, and what it is for the one instruction.
    before: u64,
    during: u64,
}

// Neither has a destructor, so that the handler may use them.
thread_local! {
    /// What was found out of the instruction that the thread faulted at, by its address.
    static FOUND: Cell<Option<(u64, Option<Way>)>> = const { Cell::new(None) };
    /// The step that the thread is in.
    static STEP: Cell<Option<Step>> = const { Cell::new(None) };
}

/// The name of an address in the page.
pub fn name(address: u64) -> Option<String> {
    let offset = offset(address)?;
    Some(format!("KUSER_SHARED_DATA+0x{offset:X}"))
}

fn offset(address: u64) -> Option<usize> {
    let offset = usize::try_from(address.checked_sub(ADDRESS)?).ok()?;
    (offset < SIZE).then_some(offset)
}

/// Lets the interrupted instruction read the copy, if it reads a field that the copy has.
///
/// To decode an instruction takes more stack than a signal handler has: the thread does it itself, and runs
/// into the same fault again.
pub fn emulate(registers: &mut Registers<'_>, address: u64) -> bool {
    let Some(offset) = offset(address) else {
        return false;
    };
    let instruction = registers.get(libc::REG_RIP);
    match FOUND.take() {
        Some((at, way)) if at == instruction => way.is_some_and(|way| read(registers, way, offset)),
        _ => {
            unnoticed::call(registers, decode, instruction, instruction);
            true
        }
    }
}

thunk!(decode, find_way);

unsafe extern "win64" fn find_way(address: u64) {
    refresh();
    let way = instruction::decode_at(address).and_then(|found| Way::of(&found));
    FOUND.set(Some((address, way)));
}

impl Way {
    fn of(instruction: &Instruction) -> Option<Self> {
        let size = instruction.memory_size().size();
        if let Code::Mov_AL_moffs8
        | Code::Mov_AX_moffs16
        | Code::Mov_EAX_moffs32
        | Code::Mov_RAX_moffs64 = instruction.code()
        {
            let next = instruction.next_ip();
            return Some(Self::Load { size, next });
        }
        let base = instruction.memory_base();
        let usable = base.is_gpr64() && base != instruction.memory_index();
        usable.then(|| Self::Step {
            size,
            register: control::REGISTERS[base.number()],
        })
    }

    const fn size(self) -> usize {
        match self {
            Self::Load { size, .. } | Self::Step { size, .. } => size,
        }
    }
}

fn read(registers: &mut Registers<'_>, way: Way, offset: usize) -> bool {
    let end = offset + way.size();
    let is_known = |field: &Range<usize>| field.start <= offset && end <= field.end;
    if !KNOWN.iter().any(is_known) {
        return false;
    }
    match way {
        Way::Load { size, next } => load(registers, offset, size, next),
        Way::Step { register, .. } => step(registers, register),
    }
}

/// Does what a `mov` to the accumulator from an absolute address does.
fn load(registers: &mut Registers<'_>, offset: usize, size: usize, next: u64) -> bool {
    if offset % 4 + size > 8 {
        return false;
    }
    let word = |at: usize| u64::from(COPY.0[at / 4].load(Relaxed));
    let value = (word(offset) | word(offset + 4) << 32) >> (8 * (offset % 4));
    let before = registers.get(libc::REG_RAX);
    let value = match size {
        1 => before & !0xFF | value & 0xFF,
        2 => before & !0xFFFF | value & 0xFFFF,
        4 => value & 0xFFFF_FFFF,
        _ => value,
    };
    registers.set(libc::REG_RAX, value);
    registers.set(libc::REG_RIP, next);
    true
}

/// Has the register lead to the copy, for one instruction.
fn step(registers: &mut Registers<'_>, register: c_int) -> bool {
    let before = registers.get(register);
    let copy = (&raw const COPY).addr() as u64;
    let during = before.wrapping_sub(ADDRESS).wrapping_add(copy);
    STEP.set(Some(Step {
        register,
        before,
        during,
    }));
    registers.set(register, during);
    let flags = registers.get(libc::REG_EFL);
    registers.set(libc::REG_EFL, flags | TRAP_FLAG);
    true
}

/// Ends the step that the interrupted thread is in, if this is the signal for that.
pub fn finish(registers: &mut Registers<'_>, signal: c_int, code: c_int) -> bool {
    if signal != libc::SIGTRAP || code != TRAP_TRACE {
        return false;
    }
    let Some(step) = STEP.take() else {
        return false;
    };
    // If the instruction has written the register, that is what it is from now on.
    if registers.get(step.register) == step.during {
        registers.set(step.register, step.before);
    }
    let flags = registers.get(libc::REG_EFL);
    registers.set(libc::REG_EFL, flags & !TRAP_FLAG);
    true
}

/// Brings the copy up to date.
fn refresh() {
    /// The period of the clock interrupt in milliseconds, times 2^24. A millisecond is 10,000 units, which
    /// is 625 times 2^4.
    const MULTIPLIER: u32 = DEFAULT_INCREMENT / 625 * (1 << 20);
    let now = clock::interrupt_time();
    let put = |offset: usize, value: u32| COPY.0[offset / 4].store(value, Relaxed);
    put(TICK_COUNT_MULTIPLIER, MULTIPLIER);
    put_time(INTERRUPT_TIME, now);
    put_time(SYSTEM_TIME, clock::system_time());
    put_time(TICK_COUNT, now / u64::from(DEFAULT_INCREMENT));
    put(NT_BUILD_NUMBER, version::BUILD);
    put(NT_PRODUCT_TYPE, version::VER_NT_WORKSTATION.into());
    put(PRODUCT_TYPE_IS_VALID, 1);
    put(NT_MAJOR_VERSION, version::MAJOR);
    put(NT_MINOR_VERSION, version::MINOR);
    put(
        KD_DEBUGGER_ENABLED,
        if debugger::is_attached() { 3 } else { 0 },
    );
}

/// Writes a `KSYSTEM_TIME`: the second high half first, as its readers expect. Time does not go back, not
/// even when a thread that was slow to write comes last.
fn put_time(offset: usize, time: u64) {
    static LATEST: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let latest = match offset {
        INTERRUPT_TIME => &LATEST[0],
        SYSTEM_TIME => &LATEST[1],
        _ => &LATEST[2],
    };
    let time = latest.fetch_max(time, Relaxed).max(time);
    let (low, high) = (time & 0xFFFF_FFFF, time >> 32);
    for (at, half) in [(offset + 8, high), (offset, low), (offset + 4, high)] {
        COPY.0[at / 4].store(u32::try_from(half).unwrap_or(0), Relaxed);
    }
}
