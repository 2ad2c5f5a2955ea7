//! CR8: the IRQL, where compilers put `KeGetCurrentIrql` and its kind inline.

use core::slice;

use libc::c_int;

use super::{
    registers::Registers,
    unnoticed::{self, thunk},
};

use crate::{
    address::pointer,
    ke::irql::ddk::{KeLowerIrql, KfRaiseIrql},
    thread::{self, Thread},
};

/// The registers in the order of their numbers in instructions.
pub const REGISTERS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// A move between CR8 and a general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    write: bool,
    /// The number of the register.
    register: usize,
}

/// `mov reg, cr8` and `mov cr8, reg` take four bytes.
const LENGTH: u64 = 4;

impl Move {
    /// Reads the instruction: REX with the R bit (which makes CR0 into CR8), 0F, 20 or 22, `ModRM`.
    fn decode(bytes: [u8; 4]) -> Option<Self> {
        let [rex, 0x0F, opcode @ (0x20 | 0x22), modrm] = bytes else {
            return None;
        };
        let is_cr8 = rex & 0xF4 == 0x44 && modrm & 0xF8 == 0xC0;
        let register = usize::from(modrm & 7 | (rex & 1) << 3);
        is_cr8.then_some(Self {
            write: opcode == 0x22,
            register,
        })
    }
}

/// The instruction at an address that raised a general protection fault, if it may be a move of CR8.
fn fetch(address: u64) -> Option<[u8; 4]> {
    let start = pointer::<u8>(address);
    // SAFETY: The processor has fetched the instruction that begins there.
    let first = unsafe { start.read() };
    // SAFETY: A REX prefix is followed by an opcode, which was fetched too.
    if first & 0xF0 != 0x40 || unsafe { start.wrapping_add(1).read() } != 0x0F {
        return None;
    }
    // SAFETY: The escape byte is followed by one that tells the instruction.
    if !matches!(unsafe { start.wrapping_add(2).read() }, 0x20 | 0x22) {
        return None;
    }
    // SAFETY: Moves of control registers have a fourth byte.
    unsafe { slice::from_raw_parts(start, 4) }.try_into().ok()
}

/// Does what the interrupted instruction does, if it accesses CR8.
pub fn emulate(registers: &mut Registers<'_>) -> bool {
    let instruction = registers.get(libc::REG_RIP);
    let Some(found) = fetch(instruction).and_then(Move::decode) else {
        return false;
    };
    let register = REGISTERS[found.register];
    if !found.write {
        let irql = thread::existing().map_or(0, Thread::irql);
        registers.set(register, irql.into());
        registers.set(libc::REG_RIP, instruction + LENGTH);
        return true;
    }
    // Lowering the IRQL runs DPCs, which a signal handler may not: the thread does it itself, in a call
    // that it does not notice.
    let value = registers.get(register);
    unnoticed::call(registers, write_cr8, value, instruction + LENGTH);
    true
}

thunk!(write_cr8, set_irql);

unsafe extern "win64" fn set_irql(value: u64) {
    let new = (value & 0xF) as u8;
    if new >= thread::current().irql() {
        // SAFETY: The IRQL is raised, or stays; the driver lowers it again.
        unsafe { KfRaiseIrql(new) };
    } else {
        // SAFETY: The driver lowers the IRQL to one that it had before.
        unsafe { KeLowerIrql(new) };
    }
}

#[cfg(test)]
mod tests {
    use super::Move;

    #[test]
    fn moves_of_cr8_are_recognised() {
        let read = |register| {
            Some(Move {
                write: false,
                register,
            })
        };
        let write = |register| {
            Some(Move {
                write: true,
                register,
            })
        };
        assert_eq!(Move::decode([0x44, 0x0F, 0x20, 0xC0]), read(0)); // mov rax, cr8
        assert_eq!(Move::decode([0x45, 0x0F, 0x20, 0xC7]), read(15)); // mov r15, cr8
        assert_eq!(Move::decode([0x44, 0x0F, 0x22, 0xC1]), write(1)); // mov cr8, rcx
        assert_eq!(Move::decode([0x44, 0x0F, 0x20, 0xD8]), None); // mov rax, cr11
        assert_eq!(Move::decode([0x48, 0x0F, 0x20, 0xC0]), None); // mov rax, cr0
        assert_eq!(Move::decode([0x44, 0x0F, 0x21, 0xC0]), None); // mov rax, dr8
    }
}
