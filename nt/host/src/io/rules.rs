//! The IRQL rules of the I/O manager's functions.
//!
//! Sources: the DDI page of each function for its IRQL; the pages of the DDI compliance rules
//! (`devtest/wdm-irqlioXxx`) and of bug check 0xC4 for the code.

use nt_abi::bugcheck::IRQL_NOT_LESS_OR_EQUAL;

use crate::{
    Rules, bugcheck,
    irql::{APC, DISPATCH, PASSIVE},
    thread, verifier,
};

/// A DDI compliance rule: its code as first parameter of bug check 0xC4, and its name.
#[derive(Clone, Copy)]
pub struct Rule {
    code: u64,
    name: &'static str,
}

impl Rule {
    pub const IO_APC: Self = Self {
        code: 0x20009,
        name: "IrqlIoApcLte",
    };
    pub const IO_PASSIVE_1: Self = Self {
        code: 0x2000A,
        name: "IrqlIoPassive1",
    };
    pub const IO_PASSIVE_3: Self = Self {
        code: 0x2000C,
        name: "IrqlIoPassive3",
    };
    pub const IO_PASSIVE_4: Self = Self {
        code: 0x2000D,
        name: "IrqlIoPassive4",
    };
    pub const ZW_PASSIVE: Self = Self {
        code: 0x2001F,
        name: "IrqlZwPassive",
    };
}

/// Stops the kernel if `function` is called above `limit`.
#[inline]
fn check(limit: u8, rule: Rule, function: &'static str) {
    let irql = thread::current().irql();
    if irql > limit && verifier::checks(Rules::IRQL) {
        stop(limit, irql, rule, function);
    }
}

#[cold]
fn stop(limit: u8, irql: u8, rule: Rule, function: &'static str) -> ! {
    let level = match limit {
        PASSIVE => "PASSIVE_LEVEL",
        _ => "APC_LEVEL",
    };
    let sentence = format!("{}: called at IRQL {irql}, above {level}.", rule.name);
    verifier::rule(rule.code, function, sentence)
}

/// `function` may be called at `PASSIVE_LEVEL` alone.
#[inline]
pub fn passive_level(rule: Rule, function: &'static str) {
    check(PASSIVE, rule, function);
}

/// `function` may be called at `APC_LEVEL` and below.
#[inline]
pub fn apc_level(rule: Rule, function: &'static str) {
    check(APC, rule, function);
}

/// `function` may be called at `DISPATCH_LEVEL` and below.
///
/// No rule of Driver Verifier is documented for it: a function that takes spin locks or touches memory
/// at a device's IRQL fails in ways that are not foreseen. Here it is bug check 0xA, with the IRQL.
#[inline]
pub fn dispatch_level(function: &'static str) {
    let irql = thread::current().irql();
    if irql > DISPATCH && verifier::checks(Rules::IRQL) {
        above_dispatch_level(irql, function);
    }
}

#[cold]
fn above_dispatch_level(irql: u8, function: &'static str) -> ! {
    bugcheck::raise(
        IRQL_NOT_LESS_OR_EQUAL,
        [0, irql.into(), 0, 0],
        function,
        format!("Called at IRQL {irql}, above DISPATCH_LEVEL."),
    )
}
