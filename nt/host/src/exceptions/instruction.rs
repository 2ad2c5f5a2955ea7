//! Instructions that only the kernel may use.

use core::slice;

use iced_x86::{Code, Decoder, DecoderOptions, Formatter as _, Instruction, NasmFormatter};

use crate::{address::pointer, mm::address::is_accessible};

/// What raised a general protection fault.
#[derive(Debug, PartialEq, Eq)]
pub enum Trap {
    /// `int 0x29`, `__fastfail`; the code is in `ecx`.
    FastFail,
    /// `int 0x2C`, `DbgRaiseAssertionFailure`.
    Assertion,
    /// An instruction of ring 0, as text.
    Privileged(String),
    /// Not the instruction: the address that it accesses.
    Other,
}

/// The longest instruction.
const LONGEST: usize = 15;

/// What the instruction at an address, which raised a general protection fault, was.
pub fn at(address: u64) -> Trap {
    let start = pointer::<u8>(address);
    let length = (1..=LONGEST)
        .rev()
        .find(|length| is_accessible(start, *length, false));
    let Some(length) = length else {
        return Trap::Other;
    };
    // SAFETY: So many bytes are readable. They are code, which nobody changes.
    decode(unsafe { slice::from_raw_parts(start, length) }, address)
}

/// The instruction at an address, at which the processor has stopped.
pub fn decode_at(address: u64) -> Option<Instruction> {
    const PAGE: usize = nt_abi::PAGE_SIZE;
    let start = pointer::<u8>(address);
    let in_page = PAGE - start.addr() % PAGE;
    // An instruction that does not end in this page goes on in the next one, which is there then.
    let decode = |length| {
        // SAFETY: So many bytes are readable: the processor has fetched the first of them at least, and
        // what is readable is so by the page.
        let bytes = unsafe { slice::from_raw_parts(start, length) };
        let instruction = decoded(bytes, address);
        Some(instruction).filter(|instruction| !instruction.is_invalid())
    };
    decode(in_page.min(LONGEST)).or_else(|| decode(LONGEST))
}

fn decoded(bytes: &[u8], address: u64) -> Instruction {
    Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode()
}

fn decode(bytes: &[u8], address: u64) -> Trap {
    let instruction = decoded(bytes, address);
    match instruction.code() {
        Code::Int_imm8 if instruction.immediate8() == 0x29 => Trap::FastFail,
        Code::Int_imm8 if instruction.immediate8() == 0x2C => Trap::Assertion,
        Code::Int_imm8 => Trap::Privileged(text(&instruction)),
        code if is_privileged(code) => Trap::Privileged(text(&instruction)),
        _ => Trap::Other,
    }
}

const fn is_privileged(code: Code) -> bool {
    use Code::{
        Clac, Cli, Clts, Hlt, In_AL_DX, In_AL_imm8, In_AX_DX, In_AX_imm8, In_EAX_DX, In_EAX_imm8,
        Insb_m8_DX, Insd_m32_DX, Insw_m16_DX, Invd, Invlpg_m, Iretd, Iretq, Lgdt_m1664, Lidt_m1664,
        Lldt_rm16, Lmsw_rm16, Ltr_rm16, Mov_cr_r64, Mov_dr_r64, Mov_r64_cr, Mov_r64_dr, Out_DX_AL,
        Out_DX_AX, Out_DX_EAX, Out_imm8_AL, Out_imm8_AX, Out_imm8_EAX, Outsb_DX_m8, Outsd_DX_m32,
        Outsw_DX_m16, Rdmsr, Rdpmc, Stac, Sti, Swapgs, Sysexitd, Sysexitq, Sysretd, Sysretq,
        Wbinvd, Wrmsr, Xsetbv,
    };
    matches!(
        code,
        Clac | Cli
            | Clts
            | Hlt
            | In_AL_DX
            | In_AL_imm8
            | In_AX_DX
            | In_AX_imm8
            | In_EAX_DX
            | In_EAX_imm8
            | Insb_m8_DX
            | Insd_m32_DX
            | Insw_m16_DX
            | Invd
            | Invlpg_m
            | Iretd
            | Iretq
            | Lgdt_m1664
            | Lidt_m1664
            | Lldt_rm16
            | Lmsw_rm16
            | Ltr_rm16
            | Mov_cr_r64
            | Mov_dr_r64
            | Mov_r64_cr
            | Mov_r64_dr
            | Out_DX_AL
            | Out_DX_AX
            | Out_DX_EAX
            | Out_imm8_AL
            | Out_imm8_AX
            | Out_imm8_EAX
            | Outsb_DX_m8
            | Outsd_DX_m32
            | Outsw_DX_m16
            | Rdmsr
            | Rdpmc
            | Stac
            | Sti
            | Swapgs
            | Sysexitd
            | Sysexitq
            | Sysretd
            | Sysretq
            | Wbinvd
            | Wrmsr
            | Xsetbv
    )
}

fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    NasmFormatter::new().format(instruction, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::{Trap, decode};

    #[test]
    fn instructions_are_told_apart() {
        let named = |text: &str| Trap::Privileged(text.to_owned());
        for (bytes, trap) in [
            (&[0xFA][..], named("cli")),
            (&[0xFB], named("sti")),
            (&[0xF4], named("hlt")),
            (&[0x0F, 0x22, 0xD8], named("mov cr3,rax")),
            (&[0xCD, 0x2E], named("int 2Eh")),
            (&[0xCD, 0x29], Trap::FastFail),
            (&[0xCD, 0x2C], Trap::Assertion),
            (&[0x48, 0x8B, 0x00], Trap::Other),
            (&[0x48], Trap::Other),
        ] {
            assert_eq!(decode(bytes, 0x1000), trap, "{bytes:02X?}");
        }
    }
}
