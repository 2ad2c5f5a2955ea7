//! Processor exceptions in a driver's code: which bug check each of them is.
#![cfg(not(windows))]

mod support;

use nthost::{
    Kernel, bugcheck::BugCheckReport, ntddk::bugcheck as code, ntddk::*, testing::expect_bug_check,
};
use support::{
    image::{CODE, Image, driver},
    nt,
};

/// Loads a driver, whose entry routine must end in a bug check.
fn run(image: Image) {
    let stop = Kernel::get().load_image("faulty.sys", &image.build());
    assert!(stop.is_err_and(|stop| stop.bug_check().is_some()));
    // The kernel is dead: this does not return.
    nt!(KeGetCurrentIrql());
}

/// The parameter that a status is, which is extended with its sign.
fn status(status: NTSTATUS) -> u64 {
    i64::from(status).cast_unsigned()
}

/// The report names the instruction at this offset of the image, in the driver's code and in words.
fn assert_at(report: &BugCheckReport, offset: u32) {
    let place = format!("faulty.sys+{offset:#x}");
    assert_eq!(report.driver.as_ref(), Some(&place), "{report}");
    assert!(report.rule.contains(&place), "{report}");
}

/// mov rax, ADDRESS
fn address(image: Image, address: u64) -> Image {
    image.code(&[0x48, 0xB8]).code(&address.to_le_bytes())
}

#[test]
fn a_null_pointer_is_an_exception_that_nobody_handles() {
    let image = address(driver(), 8);
    let fault = image.here();
    let report = expect_bug_check(|| run(address(driver(), 8).code(&[0x8B, 0x00]).ret()));
    assert_eq!(report.code, code::KMODE_EXCEPTION_NOT_HANDLED);
    let [first, _, access, place] = report.parameters;
    assert_eq!(
        (first, access, place),
        (status(STATUS_ACCESS_VIOLATION), 0, 8)
    );
    assert_at(&report, fault);
}

#[test]
fn a_wild_pointer_is_a_page_fault() {
    const WILD: u64 = 0x1234_5678_9000;
    // mov byte [rax], 1
    let report = expect_bug_check(|| run(address(driver(), WILD).code(&[0xC6, 0x00, 1]).ret()));
    assert_eq!(report.code, code::PAGE_FAULT_IN_NONPAGED_AREA);
    assert_eq!(report.parameters[..2], [WILD, 1]);
}

#[test]
fn at_dispatch_level_it_is_the_irql() {
    let report = expect_bug_check(|| {
        let image = address(driver().call("KeRaiseIrqlToDpcLevel"), 8);
        run(image.code(&[0x8B, 0x00]).ret());
    });
    assert_eq!(report.code, code::DRIVER_IRQL_NOT_LESS_OR_EQUAL);
    assert_eq!(report.parameters[..3], [8, 2, 0]);
    assert_eq!(report.thread.irql, 2);
}

#[test]
fn the_kernel_faults_on_a_drivers_pointer() {
    let report = expect_bug_check(|| {
        // mov ecx, 16; xor edx, edx; mov r8d, 16
        let image = driver().code(&[0xB9, 16, 0, 0, 0, 0x31, 0xD2, 0x41, 0xB8, 16, 0, 0, 0]);
        run(image.call("memset").ret());
    });
    assert_eq!(report.code, code::KMODE_EXCEPTION_NOT_HANDLED);
    assert_eq!(report.parameters[2..], [1, 16]);
    let driver = report.driver.expect("the caller of memset");
    assert!(driver.starts_with("faulty.sys+0x1"), "{driver}");
}

#[test]
fn code_is_not_written() {
    // mov byte [CODE], 0: the immediate follows the distance.
    let report =
        expect_bug_check(|| run(driver().code_to(&[0xC6, 0x05], CODE - 1).code(&[0]).ret()));
    assert_eq!(report.code, code::ATTEMPTED_WRITE_TO_READONLY_MEMORY);
}

#[test]
fn data_is_not_executed() {
    let report = expect_bug_check(|| {
        let mut image = driver();
        let data = image.data(&[0xC3]);
        run(image.code_to(&[0xE8], data).ret());
    });
    assert_eq!(report.code, code::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY);
    assert!(report.driver.is_some(), "{report}");
}

#[test]
fn a_missing_import_is_named_when_it_is_called() {
    let report = expect_bug_check(|| run(driver().call("NtNoSuchFunction").ret()));
    assert_eq!(report.code, code::KMODE_EXCEPTION_NOT_HANDLED);
    assert_eq!(report.parameters[0], status(STATUS_ENTRYPOINT_NOT_FOUND));
    assert!(
        report.rule.starts_with("ntoskrnl.exe!NtNoSuchFunction"),
        "{report}"
    );
    let distance = |place: &str| place.rsplit("+0x").next().map(str::to_lowercase);
    let caller = report.thread.stack.first().expect("who called it");
    let driver = report.driver.as_ref().expect("an image");
    assert_eq!(distance(&caller.name), distance(driver), "{report}");
}

#[test]
fn illegal_instructions_and_divisions_by_zero() {
    let report = expect_bug_check(|| run(driver().code(&[0x0F, 0x0B]).ret()));
    assert_eq!(report.parameters[0], status(STATUS_ILLEGAL_INSTRUCTION));
    assert_at(&report, driver().here());
    // xor ecx, ecx; div ecx
    let report = expect_bug_check(|| run(driver().code(&[0x31, 0xC9, 0xF7, 0xF1]).ret()));
    assert_eq!(report.parameters[0], status(STATUS_INTEGER_DIVIDE_BY_ZERO));
}

#[test]
fn a_break_instruction_without_a_debugger() {
    let report = expect_bug_check(|| run(driver().code(&[0xCC]).ret()));
    assert_eq!(report.code, code::KMODE_EXCEPTION_NOT_HANDLED);
    assert_eq!(report.parameters[0], status(STATUS_BREAKPOINT));
    assert_at(&report, driver().here());
    let report = expect_bug_check(|| run(driver().call("DbgBreakPoint").ret()));
    assert_eq!(report.parameters[0], status(STATUS_BREAKPOINT));
    assert!(report.driver.is_some(), "{report}");
}

#[test]
fn fail_fast() {
    // mov ecx, 3 (FAST_FAIL_CORRUPT_LIST_ENTRY); int 0x29
    let report = expect_bug_check(|| run(driver().code(&[0xB9, 3, 0, 0, 0, 0xCD, 0x29]).ret()));
    assert_eq!(report.code, code::KERNEL_SECURITY_CHECK_FAILURE);
    assert_eq!(report.parameters[0], 3);
}

#[test]
fn instructions_of_ring_0_are_named() {
    let report = expect_bug_check(|| run(driver().code(&[0xFA]).ret()));
    assert_eq!(report.parameters[0], status(STATUS_PRIVILEGED_INSTRUCTION));
    assert!(report.rule.contains("`cli`"), "{report}");
    let report = expect_bug_check(|| run(driver().code(&[0x0F, 0x32]).ret()));
    assert!(report.rule.contains("`rdmsr`"), "{report}");
}

#[test]
fn an_address_that_is_not_canonical() {
    let report = expect_bug_check(|| run(address(driver(), 1 << 60).code(&[0x8B, 0x00]).ret()));
    assert_eq!(report.parameters[0], status(STATUS_ACCESS_VIOLATION));
    assert_eq!(report.parameters[3], u64::MAX);
}

#[test]
fn a_stack_overflow_is_a_double_fault() {
    // again: push rax; jmp again
    let report = expect_bug_check(|| run(driver().code(&[0x50, 0xEB, 0xFD])));
    assert_eq!(report.code, code::UNEXPECTED_KERNEL_MODE_TRAP);
    assert_eq!(report.parameters[0], 8);
    assert_at(&report, driver().here());
}

#[test]
fn cr8_is_the_irql() {
    let image = driver()
        .code(&[0x53]) // push rbx
        .code(&[0xBB, 2, 0, 0, 0]) // mov ebx, 2
        .code(&[0x44, 0x0F, 0x22, 0xC3]) // mov cr8, rbx
        .code(&[0x48, 0x83, 0xEC, 0x20]) // the stack is aligned for the call
        .code(&[0x48, 0x83, 0xEC, 0x08])
        .call("KeGetCurrentIrql")
        .code(&[0x48, 0x83, 0xC4, 0x28])
        .code(&[0x45, 0x0F, 0x20, 0xC1]) // mov r9, cr8
        .code(&[0x0F, 0xB6, 0xC0]) // movzx eax, al
        .code(&[0xC1, 0xE0, 0x08]) // shl eax, 8
        .code(&[0x44, 0x09, 0xC8]) // or eax, r9d
        .code(&[0x0D, 0, 0, 0, 0xC0]) // or eax, 0xC0000000
        .code(&[0x31, 0xDB]) // xor ebx, ebx
        .code(&[0x44, 0x0F, 0x22, 0xC3]) // mov cr8, rbx
        .code(&[0x5B]) // pop rbx
        .ret();
    let result = Kernel::get().load_image("irql.sys", &image.build());
    let status = result.err().and_then(|stop| stop.status());
    assert_eq!(status, Some(0xC000_0202_u32.cast_signed()));
}
