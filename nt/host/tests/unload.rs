//! Drivers that are unloaded while something of them is still in use.
#![cfg(not(windows))]

mod support;

use nthost::{Kernel, ntddk::bugcheck as code, ntddk::*, testing::expect_bug_check};
use support::{
    Object,
    image::{Image, driver},
    nt,
};

/// Loads a driver and unloads it, which must end in a bug check.
fn load_and_unload(image: Image) {
    let driver = Kernel::get()
        .load_image("hasty.sys", &image.build())
        .expect("a driver");
    let stop = driver.unload().expect_err("a bug check");
    assert!(stop.bug_check().is_some(), "{stop}");
    nt!(KeGetCurrentIrql());
}

/// lea rcx, [RVA]
fn lea_rcx(image: Image, rva: u32) -> Image {
    image.code_to(&[0x48, 0x8D, 0x0D], rva)
}

const HOUR: i64 = -36_000_000_000;

/// Adds calls that initialise a timer in the image and set it, an hour from now.
fn set_timer(mut image: Image) -> Image {
    let timer = image.data(&[0; 64]);
    // xor edx, edx
    let image = lea_rcx(image, timer)
        .code(&[0x31, 0xD2])
        .call("KeInitializeTimerEx");
    // mov rdx, HOUR; xor r8d, r8d; xor r9d, r9d
    lea_rcx(image, timer)
        .code(&[0x48, 0xBA])
        .code(&HOUR.to_le_bytes())
        .code(&[0x45, 0x31, 0xC0, 0x45, 0x31, 0xC9])
        .call("KeSetTimerEx")
}

#[test]
fn a_timer_in_the_image_is_set() {
    let report = expect_bug_check(|| {
        load_and_unload(set_timer(driver()).result(STATUS_SUCCESS).ret());
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (code::TIMER_OR_DPC_INVALID, 0),
        "{report}"
    );
}

#[test]
fn a_lookaside_list_in_the_image_is_not_deleted() {
    let report = expect_bug_check(|| {
        let file = driver().result(STATUS_SUCCESS).ret().build();
        let driver = Kernel::get()
            .load_image("hasty.sys", &file)
            .expect("a driver");
        let start = driver.image_range().expect("an image").start;
        let routine = std::ptr::with_exposed_provenance::<()>(start + 0x1002);
        // SAFETY: The routine is one instruction, `ret`, and is not called.
        let routine = unsafe { std::mem::transmute::<*const (), PFREE_FUNCTION>(routine) };
        let list = Object::new(NPAGED_LOOKASIDE_LIST::default());
        nt!(ExInitializeNPagedLookasideList(
            list.get(),
            None,
            routine,
            0,
            64,
            1,
            0
        ));
        assert!(driver.unload().is_err());
        nt!(KeGetCurrentIrql());
    });
    let code = code::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
    assert_eq!(report.code, code, "{report}");
}

#[test]
fn a_timer_is_set_whose_dpc_calls_the_image() {
    let report = expect_bug_check(|| {
        let file = driver().result(STATUS_SUCCESS).ret().build();
        let driver = Kernel::get()
            .load_image("hasty.sys", &file)
            .expect("a driver");
        let start = driver.image_range().expect("an image").start;
        let routine = std::ptr::with_exposed_provenance::<()>(start + 0x1002);
        // SAFETY: The routine is one instruction, `ret`, and is not called.
        let routine = unsafe { std::mem::transmute::<*const (), PKDEFERRED_ROUTINE>(routine) };
        let (timer, dpc) = (Object::new(KTIMER::default()), Object::new(KDPC::default()));
        nt!(KeInitializeDpc(dpc.get(), routine, std::ptr::null_mut()));
        nt!(KeInitializeTimer(timer.get()));
        nt!(KeSetTimer(
            timer.get(),
            LARGE_INTEGER { QuadPart: HOUR },
            dpc.get()
        ));
        assert!(driver.unload().is_err());
        nt!(KeGetCurrentIrql());
    });
    let code = code::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
    assert_eq!(report.code, code, "{report}");
    assert_eq!(report.parameters[0] % 0x1000, 2);
}

#[test]
fn a_callback_routine_in_the_image_is_registered() {
    let report = expect_bug_check(|| {
        let file = driver().result(STATUS_SUCCESS).ret().build();
        let driver = Kernel::get()
            .load_image("hasty.sys", &file)
            .expect("a driver");
        let start = driver.image_range().expect("an image").start;
        let routine = std::ptr::with_exposed_provenance::<()>(start + 0x1002);
        // SAFETY: The routine is one instruction, `ret`, and is not called.
        let routine = unsafe { std::mem::transmute::<*const (), PCALLBACK_FUNCTION>(routine) };
        let name = support::driver::Text::new(r"\Callback\Mine");
        let mut name = name.counted();
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: 48,
            ObjectName: &raw mut name,
            ..OBJECT_ATTRIBUTES::default()
        };
        let (mut object, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        let status = nt!(ExCreateCallback(
            &raw mut object,
            &raw mut attributes,
            TRUE,
            TRUE
        ));
        assert_eq!(status, STATUS_SUCCESS);
        assert!(!nt!(ExRegisterCallback(object, routine, none)).is_null());
        assert!(driver.unload().is_err());
        nt!(KeGetCurrentIrql());
    });
    let code = code::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
    assert_eq!(report.code, code, "{report}");
    assert_eq!(report.parameters[0] % 0x1000, 2);
}

#[test]
fn a_thread_runs_in_the_image() {
    let report = expect_bug_check(|| {
        let mut image = driver();
        let handle = image.data(&[0; 8]);
        // The thread's routine comes first: jmp over; again: jmp again
        let image = image.code(&[0xEB, 0x02]);
        let routine = image.here();
        let image = image
            .code(&[0xEB, 0xFE])
            .code(&[0x48, 0x83, 0xEC, 0x48]) // sub rsp, 72
            .code_to(&[0x48, 0x8D, 0x05], routine) // lea rax, [routine]
            .code(&[0x48, 0x89, 0x44, 0x24, 0x28]) // the sixth argument
            .code(&[0x31, 0xC0]) // xor eax, eax
            .code(&[0x48, 0x89, 0x44, 0x24, 0x20]) // the fifth
            .code(&[0x48, 0x89, 0x44, 0x24, 0x30]) // the seventh
            .code(&[0x31, 0xD2, 0x45, 0x31, 0xC0, 0x45, 0x31, 0xC9]); // edx, r8d, r9d
        let image = lea_rcx(image, handle)
            .call_plain("PsCreateSystemThread")
            .code(&[0x48, 0x83, 0xC4, 0x48]);
        load_and_unload(image.result(STATUS_SUCCESS).ret());
    });
    assert_eq!(
        report.code,
        code::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS,
        "{report}"
    );
}

#[test]
fn what_is_cancelled_does_not_matter() {
    let mut image = driver();
    let timer = image.data(&[0; 64]);
    let image = lea_rcx(image, timer)
        .code(&[0x31, 0xD2])
        .call("KeInitializeTimerEx");
    let image = lea_rcx(image, timer)
        .call("KeCancelTimer")
        .result(STATUS_SUCCESS)
        .ret();
    let driver = Kernel::get()
        .load_image("calm.sys", &image.build())
        .expect("a driver");
    driver.unload().expect("nothing is left");
}
