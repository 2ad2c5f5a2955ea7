//! The registers of interrupted code.

use libc::{c_int, ucontext_t};

/// The general registers of interrupted code, by the host's indices (`REG_RIP` and so on). What is
/// changed here is what the code goes on with.
pub struct Registers<'a>(&'a mut ucontext_t);

impl<'a> Registers<'a> {
    pub const fn new(context: &'a mut ucontext_t) -> Self {
        Self(context)
    }

    /// The value of a register.
    pub fn get(&self, index: c_int) -> u64 {
        let values = &self.0.uc_mcontext.gregs;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        values.get(index).map_or(0, |value| value.cast_unsigned())
    }

    /// Changes a register.
    pub fn set(&mut self, index: c_int, value: u64) {
        let values = &mut self.0.uc_mcontext.gregs;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(register) = values.get_mut(index) {
            *register = value.cast_signed();
        }
    }
}
