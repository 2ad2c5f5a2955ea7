//! Which bug check an exception is.
//!
//! Sources: the pages of the bug checks 0x0A, 0x1E, 0x50, 0x7F, 0xBE, 0xCE, 0xD1, 0xFC and 0x139. One
//! address space holds everything here, so what on Windows is an address of user mode is taken to be
//! the first 64 KiB: what null pointers lead to.

use nt_abi::{
    NTSTATUS, STATUS_ACCESS_VIOLATION, STATUS_ASSERTION_FAILURE, STATUS_BREAKPOINT,
    STATUS_DATATYPE_MISALIGNMENT, STATUS_ENTRYPOINT_NOT_FOUND, STATUS_FLOAT_INVALID_OPERATION,
    STATUS_ILLEGAL_INSTRUCTION, STATUS_INTEGER_DIVIDE_BY_ZERO, STATUS_PRIVILEGED_INSTRUCTION,
    STATUS_SINGLE_STEP,
    bugcheck::{
        ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, ATTEMPTED_WRITE_TO_READONLY_MEMORY,
        DRIVER_IRQL_NOT_LESS_OR_EQUAL, DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION,
        DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL,
        DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS, IRQL_NOT_LESS_OR_EQUAL,
        KERNEL_SECURITY_CHECK_FAILURE, KMODE_EXCEPTION_NOT_HANDLED,
        PAGE_FAULT_BEYOND_END_OF_ALLOCATION, PAGE_FAULT_IN_FREED_SPECIAL_POOL,
        PAGE_FAULT_IN_NONPAGED_AREA, UNEXPECTED_KERNEL_MODE_TRAP,
    },
};

use super::{
    instruction::{self, Trap},
    shared_data,
    signal::{Exception, FPE_INTDIV, FPE_INTOVF, SEGV_ACCERR, SI_KERNEL},
    stop::is_stack_overflow,
};
use crate::{
    address::{pointer, to_usize},
    ex::special_pool::{self, Fault},
    irql::DISPATCH,
    loader::registry::{Location, Place, locate},
    mm::pageable,
    thread,
};

/// A bug check.
pub struct Verdict {
    pub code: u32,
    pub parameters: [u64; 4],
    pub function: &'static str,
    pub sentence: String,
}

/// Which bug check an exception of the calling thread is.
pub fn classify(exception: &Exception) -> Verdict {
    if is_stack_overflow(exception) {
        return stack_overflow(exception);
    }
    match (exception.signal, exception.code) {
        (libc::SIGSEGV, SI_KERNEL) => general_protection(exception),
        (libc::SIGSEGV, _) => Access::of(exception).verdict(exception),
        (libc::SIGBUS, _) => unhandled(
            exception,
            STATUS_DATATYPE_MISALIGNMENT,
            [0, exception.address],
            "The memory is not accessible as it is aligned.",
        ),
        (libc::SIGILL, _) => unhandled(
            exception,
            STATUS_ILLEGAL_INSTRUCTION,
            [0; 2],
            "The instruction is illegal.",
        ),
        (libc::SIGFPE, FPE_INTDIV | FPE_INTOVF) => unhandled(
            exception,
            STATUS_INTEGER_DIVIDE_BY_ZERO,
            [0; 2],
            "A division by zero.",
        ),
        (libc::SIGFPE, _) => unhandled(
            exception,
            STATUS_FLOAT_INVALID_OPERATION,
            [0; 2],
            "A floating-point exception.",
        ),
        (libc::SIGTRAP, SI_KERNEL) => unhandled(
            exception,
            STATUS_BREAKPOINT,
            [0; 2],
            "A break instruction, and no debugger is there.",
        ),
        _ => unhandled(exception, STATUS_SINGLE_STEP, [0; 2], "A trap."),
    }
}

/// Where an address lies, in words.
fn place(address: u64) -> String {
    let known = locate(to_usize(address)).map(|place| place.to_string());
    known
        .or_else(|| shared_data::name(address))
        .unwrap_or_else(|| format!("0x{address:X}"))
}

fn is_driver(address: u64) -> bool {
    locate(to_usize(address)).is_some_and(|place| matches!(place.place(), Place::Image { .. }))
}

/// An exception that nobody handles: bug check 0x1E.
fn unhandled(
    exception: &Exception,
    status: NTSTATUS,
    information: [u64; 2],
    sentence: impl AsRef<str>,
) -> Verdict {
    let [first, second] = information;
    let status = i64::from(status).cast_unsigned();
    Verdict {
        code: KMODE_EXCEPTION_NOT_HANDLED,
        parameters: [status, exception.instruction, first, second],
        function: "KiDispatchException",
        sentence: format!("{} At {}.", sentence.as_ref(), place(exception.instruction)),
    }
}

fn stack_overflow(exception: &Exception) -> Verdict {
    /// The double fault, which a full kernel stack ends in.
    const DOUBLE_FAULT: u64 = 8;
    Verdict {
        code: UNEXPECTED_KERNEL_MODE_TRAP,
        parameters: [DOUBLE_FAULT, exception.stack, 0, exception.instruction],
        function: "KiDoubleFaultAbort",
        sentence: format!("The stack is full. At {}.", place(exception.instruction)),
    }
}

/// A general protection fault: an instruction that only the kernel may use, or an address that is none.
fn general_protection(exception: &Exception) -> Verdict {
    let trap = instruction::at(exception.instruction);
    match trap {
        Trap::FastFail => Verdict {
            code: KERNEL_SECURITY_CHECK_FAILURE,
            parameters: [exception.rcx & 0xFFFF_FFFF, 0, 0, 0],
            function: "KiRaiseSecurityCheckFailure",
            sentence: format!("__fastfail was called at {}.", place(exception.instruction)),
        },
        Trap::Assertion => unhandled(
            exception,
            STATUS_ASSERTION_FAILURE,
            [0; 2],
            "An assertion failed.",
        ),
        Trap::Privileged(text) => unhandled(
            exception,
            STATUS_PRIVILEGED_INSTRUCTION,
            [0; 2],
            format!("`{text}`: this kernel does not run at ring 0 and does not emulate it."),
        ),
        Trap::Other => {
            let sentence = "An address that is not canonical was accessed.";
            unhandled(exception, STATUS_ACCESS_VIOLATION, [0, u64::MAX], sentence)
        }
    }
}

/// What was to be done with an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Execute,
}

impl Access {
    const fn of(exception: &Exception) -> Self {
        if exception.error & 0x10 != 0 {
            Self::Execute
        } else if exception.error & 2 != 0 {
            Self::Write
        } else {
            Self::Read
        }
    }

    /// As the parameters of the bug checks have it.
    const fn number(self) -> u64 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Execute => 8,
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "written",
            Self::Execute => "executed",
        }
    }

    fn verdict(self, exception: &Exception) -> Verdict {
        let &Exception {
            address,
            instruction,
            ..
        } = exception;
        if let Some(verdict) = self.pool(exception) {
            return verdict;
        }
        let found = locate(to_usize(address));
        if let Some(import) = found.as_ref().and_then(|found| found.missing_import()) {
            return self.missing_import(exception, import);
        }
        let (code, parameters) = match found.as_ref().map(Location::place) {
            Some(Place::Unloaded { .. }) => (
                DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS,
                [address, self.number(), instruction, 0],
            ),
            _ if pageable::contains(to_usize(address)) => self.page_fault(address, instruction),
            _ if exception.code == SEGV_ACCERR && self == Self::Write => {
                (ATTEMPTED_WRITE_TO_READONLY_MEMORY, [address, 0, 0, 0])
            }
            _ if exception.code == SEGV_ACCERR && self == Self::Execute => {
                (ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, [address, 0, 0, 0])
            }
            _ => self.page_fault(address, instruction),
        };
        let at = if self == Self::Execute {
            caller(exception)
        } else {
            instruction
        };
        Verdict {
            code,
            parameters,
            function: "KiPageFault",
            sentence: format!(
                "{} cannot be {}. At {}.",
                place(address),
                self.verb(),
                place(at)
            ),
        }
    }

    /// An access to special pool that is not to be had.
    fn pool(self, exception: &Exception) -> Option<Verdict> {
        let fault = special_pool::fault(to_usize(exception.address))?;
        let by_driver = is_driver(exception.instruction);
        let (code, what) = match (fault, by_driver) {
            (Fault::Freed, true) => (DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL, "was freed"),
            (Fault::Freed, false) => (PAGE_FAULT_IN_FREED_SPECIAL_POOL, "was freed"),
            (Fault::Beyond, true) => (
                DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION,
                "lies beyond its end",
            ),
            (Fault::Beyond, false) => (PAGE_FAULT_BEYOND_END_OF_ALLOCATION, "lies beyond its end"),
        };
        let write = u64::from(self == Self::Write);
        Some(Verdict {
            code,
            parameters: [exception.address, write, exception.instruction, 0],
            function: "KiPageFault",
            sentence: format!(
                "0x{:X}, in special pool, was {} and {what}. At {}.",
                exception.address,
                self.verb(),
                place(exception.instruction)
            ),
        })
    }

    fn page_fault(self, address: u64, instruction: u64) -> (u32, [u64; 4]) {
        const FIRST_64_KIB: u64 = 0x1_0000;
        let irql = thread::attached().irql();
        if irql >= DISPATCH {
            let code = if is_driver(instruction) {
                DRIVER_IRQL_NOT_LESS_OR_EQUAL
            } else {
                IRQL_NOT_LESS_OR_EQUAL
            };
            return (code, [address, irql.into(), self.number(), instruction]);
        }
        if address < FIRST_64_KIB {
            let status = i64::from(STATUS_ACCESS_VIOLATION).cast_unsigned();
            return (
                KMODE_EXCEPTION_NOT_HANDLED,
                [status, instruction, self.number(), address],
            );
        }
        (
            PAGE_FAULT_IN_NONPAGED_AREA,
            [address, self.number(), instruction, 0],
        )
    }

    /// The use of an import that this kernel lacks. Windows does not load such a driver; the status is
    /// the one that it gives then.
    fn missing_import(self, exception: &Exception, import: &str) -> Verdict {
        let at = if self == Self::Execute {
            caller(exception)
        } else {
            exception.instruction
        };
        let what = if self == Self::Execute {
            "called"
        } else {
            self.verb()
        };
        let status = i64::from(STATUS_ENTRYPOINT_NOT_FOUND).cast_unsigned();
        Verdict {
            code: KMODE_EXCEPTION_NOT_HANDLED,
            parameters: [status, at, self.number(), exception.address],
            function: "KiPageFault",
            sentence: format!(
                "{import}, which this kernel lacks, was {what}. At {}.",
                place(at)
            ),
        }
    }
}

/// Who called an address that cannot be executed: the return address is on top of the stack.
const fn caller(exception: &Exception) -> u64 {
    // SAFETY: A call has just pushed its return address there, and the stack is not overflown. A jump
    // leaves something else there, of which no more is asked than that it be readable.
    unsafe { pointer::<u64>(exception.stack).read_unaligned() }
}
