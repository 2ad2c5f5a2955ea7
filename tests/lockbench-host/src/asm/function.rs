//! The instructions of a function, without what depends on where it lies.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, NasmFormatter, OpKind, Register,
};

use super::image::Image;

/// No function of a pair is longer, and a jump further than this leaves it.
const LONGEST: u64 = 1024;

/// The instructions of the function at `address`: imports by name, jumps by the number of the
/// instruction, and the registers that a function must keep in the order in which it uses them.
pub fn instructions(image: &Image<'_>, address: u32) -> Result<Vec<String>> {
    let start = u64::from(address);
    let code = decode(image, address)?;
    let end = code.last().map_or(start, Instruction::next_ip);
    let number = |target: u64| {
        code.iter()
            .position(|instruction| instruction.ip() == target)
    };
    let mut kept = Vec::new();
    code.iter()
        .map(|instruction| {
            let text = match target(instruction) {
                Some(to) if (start..end).contains(&to) => {
                    let mnemonic = mnemonic(instruction);
                    number(to).map_or_else(
                        || format!("{mnemonic} into an instruction"),
                        |number| format!("{mnemonic} #{number}"),
                    )
                }
                Some(to) => format!("{} {}", mnemonic(instruction), callee(image, to)),
                None => formatted(image, instruction),
            };
            Ok(renamed(&text, &mut kept))
        })
        .collect()
}

/// Decodes up to the return, or the jump out of the function, that nothing in it jumps beyond.
fn decode(image: &Image<'_>, address: u32) -> Result<Vec<Instruction>> {
    let start = u64::from(address);
    let bytes = image.bytes(address)?;
    let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    let mut code = Vec::new();
    let mut furthest = start;
    while decoder.can_decode() && decoder.ip() < start + LONGEST {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            break;
        }
        code.push(instruction);
        let jump = matches!(
            instruction.flow_control(),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        );
        let inside = target(&instruction).filter(|to| jump && to.abs_diff(start) < LONGEST);
        if let Some(to) = inside {
            // A jump right behind an unconditional one could be the next function, too; here all
            // others are called.
            furthest = furthest.max(to);
        }
        let leaves = matches!(
            instruction.flow_control(),
            FlowControl::Return
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Exception
                | FlowControl::Interrupt
        );
        if leaves && furthest < instruction.next_ip() {
            return Ok(code);
        }
    }
    bail!("the function at {address:#x} has no end")
}

/// Where a near jump or call goes.
fn target(instruction: &Instruction) -> Option<u64> {
    let near = instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64;
    near.then(|| instruction.near_branch_target())
}

fn mnemonic(instruction: &Instruction) -> String {
    format!("{:?}", instruction.mnemonic()).to_lowercase()
}

/// What is called: an import by way of its thunk, or a function of the image.
fn callee(image: &Image<'_>, address: u64) -> String {
    let imported = || {
        let address = u32::try_from(address).ok()?;
        let bytes = image.bytes(address).ok()?;
        let thunk = Decoder::with_ip(64, bytes, address.into(), DecoderOptions::NONE).decode();
        let jumps = thunk.flow_control() == FlowControl::IndirectBranch;
        slot(&thunk)
            .filter(|_| jumps)
            .and_then(|slot| image.import(slot))
    };
    imported().map_or_else(|| "a function of the image".to_owned(), str::to_owned)
}

/// The address that an operand relative to the instruction means.
fn slot(instruction: &Instruction) -> Option<u32> {
    if instruction.memory_base() != Register::RIP {
        return None;
    }
    u32::try_from(instruction.memory_displacement64()).ok()
}

fn formatted(image: &Image<'_>, instruction: &Instruction) -> String {
    if let Some(slot) = slot(instruction) {
        let what = image.import(slot).unwrap_or("a place in the image");
        return format!("{} {what}", mnemonic(instruction));
    }
    let mut text = String::new();
    NasmFormatter::new().format(instruction, &mut text);
    text
}

/// The registers that a function must keep, each with its parts.
const KEPT: [[&str; 4]; 8] = [
    ["rbx", "ebx", "bx", "bl"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
    ["r12", "r12d", "r12w", "r12b"],
    ["r13", "r13d", "r13w", "r13b"],
    ["r14", "r14d", "r14w", "r14b"],
    ["r15", "r15d", "r15w", "r15b"],
];

/// The text with these registers named in the order in which they come up: which of them the compiler
/// takes says nothing.
fn renamed(text: &str, seen: &mut Vec<usize>) -> String {
    let mut result = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let found = KEPT.iter().enumerate().find_map(|(family, parts)| {
            let part = parts.iter().position(|part| *part == name)?;
            Some((family, part))
        });
        let Some((family, part)) = found else {
            result += word;
            continue;
        };
        let number = seen
            .iter()
            .position(|known| *known == family)
            .unwrap_or_else(|| {
                seen.push(family);
                seen.len() - 1
            });
        let _ = write!(result, "kept{number}{}", ["", "d", "w", "b"][part]);
        result += &word[name.len()..];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn which_kept_register_is_taken_says_nothing() {
        let rename = |lines: [&str; 2]| {
            let mut seen = Vec::new();
            lines.map(|line| renamed(line, &mut seen))
        };
        let one = rename(["mov rsi,rcx", "movzx edx,dil"]);
        let other = rename(["mov r14,rcx", "movzx edx,bl"]);
        assert_eq!(one, ["mov kept0,rcx", "movzx edx,kept1b"]);
        assert_eq!(one, other);
        assert_ne!(one, rename(["mov rsi,rcx", "movzx edx,sil"]));
    }
}
