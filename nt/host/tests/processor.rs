//! Processors, affinity and clocks.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nthost::{Config, ntddk::*, testing::expect_bug_check};
use support::*;

fn here() -> ULONG {
    nt!(KeGetCurrentProcessorNumberEx(core::ptr::null_mut()))
}

#[test]
fn the_processors_are_those_of_the_configuration() {
    let config = Config::default();
    nthost::boot(config).expect("nothing else was asked for");
    let all = Object::<KAFFINITY>::default();
    assert_eq!(
        nt!(KeQueryActiveProcessorCount(all.get())),
        config.processors
    );
    assert_eq!(all.read().count_ones(), config.processors);
    assert_eq!(nt!(KeQueryActiveProcessorCountEx(0)), config.processors);
    assert_eq!(
        nt!(KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS)),
        config.processors
    );
    assert_eq!(nt!(KeQueryActiveProcessorCountEx(1)), 0);
    assert_eq!(nt!(KeQueryActiveProcessors()), all.read());
    assert_eq!(nt!(KeQueryMaximumProcessorCount()), config.processors);
    assert_eq!(nt!(KeQueryMaximumProcessorCountEx(0)), config.processors);
    assert_eq!(nt!(KeQueryMaximumProcessorCountEx(1)), 0);
    assert!(
        nthost::boot(Config {
            processors: 65,
            ..config
        })
        .is_err()
    );
    assert!(
        nthost::boot(Config {
            processors: 1,
            ..config
        })
        .is_err(),
        "it runs already"
    );
}

#[test]
fn processors_have_an_index_and_a_number_in_a_group() {
    let count = nt!(KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS));
    let number = Object::<PROCESSOR_NUMBER>::default();
    for index in 0..count {
        let status = nt!(KeGetProcessorNumberFromIndex(index, number.get()));
        let PROCESSOR_NUMBER { Group, Number, .. } = number.read();
        assert_eq!(
            (status, Group, ULONG::from(Number)),
            (STATUS_SUCCESS, 0, index)
        );
        assert_eq!(nt!(KeGetProcessorIndexFromNumber(number.get())), index);
    }
    assert_eq!(
        nt!(KeGetProcessorNumberFromIndex(count, number.get())),
        STATUS_INVALID_PARAMETER
    );
    number.write(PROCESSOR_NUMBER {
        Group: 1,
        ..PROCESSOR_NUMBER::default()
    });
    assert_eq!(
        nt!(KeGetProcessorIndexFromNumber(number.get())),
        ULONG::MAX,
        "INVALID_PROCESSOR_INDEX"
    );
}

#[test]
fn setting_a_priority_returns_the_one_before() {
    const LOW_REALTIME_PRIORITY: KPRIORITY = 16;
    on_system_thread(|| {
        let thread = nt!(KeGetCurrentThread());
        let first = nt!(KeQueryPriorityThread(thread));
        assert_eq!(
            nt!(KeSetPriorityThread(thread, LOW_REALTIME_PRIORITY)),
            first
        );
        assert_eq!(nt!(KeQueryPriorityThread(thread)), LOW_REALTIME_PRIORITY);
        assert_eq!(
            nt!(KeSetPriorityThread(thread, first)),
            LOW_REALTIME_PRIORITY
        );
    });
}

#[test]
fn a_thread_runs_where_its_affinity_says() {
    let count = nt!(KeQueryActiveProcessorCount(core::ptr::null_mut()));
    assert_eq!(nt!(KeSetSystemAffinityThreadEx(1)), 0);
    for processor in 1..count {
        let before = nt!(KeSetSystemAffinityThreadEx(1 << processor));
        assert_eq!((before, here()), (1 << (processor - 1), processor));
        let old = raise(DISPATCH);
        assert_eq!(here(), processor);
        let inline: u32;
        // SAFETY: The kernel keeps the GS segment of every thread that called in.
        unsafe {
            core::arch::asm!("mov {:e}, gs:[0x1A4]", out(reg) inline, options(nostack, readonly));
        }
        assert_eq!(inline, processor);
        lower(old);
    }
    assert_eq!(
        nt!(KeSetSystemAffinityThreadEx(1 << 63)),
        1 << (count - 1),
        "there is none: ignored"
    );
    assert_eq!(here(), count - 1);
    nt!(KeRevertToUserAffinityThreadEx(0));
    assert_eq!(nt!(KeSetSystemAffinityThreadEx(1)), 0);
}

#[test]
fn a_thread_runs_where_its_group_affinity_says_and_goes_back_to_what_was_before() {
    let on = |mask, group| GROUP_AFFINITY {
        Mask: mask,
        Group: group,
        ..GROUP_AFFINITY::default()
    };
    let set = |mut affinity: GROUP_AFFINITY| {
        let mut previous = on(u64::MAX, u16::MAX);
        nt!(KeSetSystemGroupAffinityThread(
            &raw mut affinity,
            &raw mut previous
        ));
        (previous.Mask, previous.Group)
    };
    let revert = |mut affinity: GROUP_AFFINITY| {
        nt!(KeRevertToUserGroupAffinityThread(&raw mut affinity));
    };
    revert(on(2, 0));
    assert_eq!(
        set(on(1, 0)),
        (0, 0),
        "none was set: not by reverting either"
    );
    assert_eq!(here(), 0);
    assert_eq!(set(on(2, 0)), (1, 0));
    assert_eq!(here(), 1);
    for not_there in [on(1, 1), on(1 << 63, 0), on(0, 0)] {
        assert_eq!(set(not_there), (0, 0), "ignored");
        assert_eq!(here(), 1);
    }
    revert(on(1, 1));
    assert_eq!(here(), 1, "no such group: ignored");
    revert(on(1, 0));
    assert_eq!(here(), 0);
    let mut second = on(2, 0);
    nt!(KeSetSystemGroupAffinityThread(
        &raw mut second,
        core::ptr::null_mut()
    ));
    assert_eq!(here(), 1);
    revert(on(0, 0));
    assert_eq!(set(on(1, 0)), (0, 0), "nothing is left of it");
}

#[test]
fn at_dispatch_level_a_thread_moves_when_the_irql_falls() {
    nt!(KeSetSystemAffinityThread(1));
    let old = raise(DISPATCH);
    nt!(KeSetSystemAffinityThread(2));
    assert_eq!(here(), 0);
    lower(old);
    assert_eq!(here(), 1);
    nt!(KeRevertToUserAffinityThread());
    assert_eq!(nt!(KeSetSystemAffinityThreadEx(1)), 0, "none was set");
}

#[test]
fn the_irql_is_that_of_the_thread_and_goes_up_and_down() {
    let levels = [PASSIVE, APC, DISPATCH, CLOCK, HIGH];
    for pair in levels.windows(2) {
        assert_eq!(nt!(KfRaiseIrql(pair[1])), pair[0]);
        assert_eq!(nt!(KeGetCurrentIrql()), pair[1]);
        let elsewhere = thread::spawn(|| nt!(KeGetCurrentIrql()));
        assert_eq!(elsewhere.join().expect("no panic"), PASSIVE);
    }
    nt!(KeLowerIrql(APC));
    assert_eq!(nt!(KeRaiseIrqlToDpcLevel()), APC);
    assert_eq!(nt!(KeRaiseIrqlToDpcLevel()), DISPATCH);
    nt!(KeLowerIrql(PASSIVE));
    assert_eq!(nt!(KeGetCurrentIrql()), PASSIVE);
}

#[test]
fn nothing_else_runs_at_dispatch_level_on_the_processor() {
    let inside = [const { AtomicBool::new(false) }; 64];
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let old = raise(DISPATCH);
                    let processor = &inside[here() as usize];
                    assert!(!processor.swap(true, Ordering::Relaxed), "alone");
                    thread::yield_now();
                    assert!(processor.swap(false, Ordering::Relaxed), "still here");
                    lower(old);
                }
            });
        }
    });
}

#[test]
fn the_clocks_agree_and_run() {
    let frequency = Object::<LARGE_INTEGER>::default();
    let stamp = Object::<ULONG64>::default();
    let first = nt!(KeQueryPerformanceCounter(frequency.get()));
    let precise = nt!(KeQueryInterruptTimePrecise(stamp.get()));
    sleep(5);
    let later = nt!(KeQueryInterruptTime());
    // SAFETY: The union is one number.
    let first = unsafe { first.QuadPart };
    // SAFETY: As above.
    let frequency = unsafe { frequency.read().QuadPart };
    assert_eq!(frequency, 10_000_000);
    assert!(u64::try_from(first).is_ok_and(|first| first <= precise));
    assert!(later >= precise + 50_000, "five milliseconds");
    assert_eq!(stamp.read(), precise);
    let unbiased = nt!(KeQueryUnbiasedInterruptTime());
    assert!(unbiased >= later, "nothing sleeps here");
    assert!(nt!(KeQueryInterruptTime()) >= unbiased);
    // The year 2026 is 425 years after 1601.
    let now = Object::<LARGE_INTEGER>::default();
    let units = || {
        // SAFETY: The union is one number.
        unsafe { now.read().QuadPart }
    };
    nt!(KeQuerySystemTimePrecise(now.get()));
    let precise = units();
    let years = precise / (365 * 86_400 * 10_000_000);
    assert!((424..600).contains(&years), "{years} years since 1601");
    nt!(KeQuerySystemTime(now.get()));
    let passed = units() - precise;
    assert!((0..60 * 10_000_000).contains(&passed), "{passed} units");
}

#[test]
fn stalling_takes_its_time() {
    let start = Instant::now();
    nt!(KeStallExecutionProcessor(300));
    assert!(start.elapsed() >= Duration::from_micros(300));
}

#[test]
fn the_shortest_timer_resolution_that_was_asked_for_wins() {
    let default = nt!(ExSetTimerResolution(0, FALSE));
    assert_eq!(default, nt!(KeQueryTimeIncrement()));
    assert_eq!(nt!(ExSetTimerResolution(10_000, TRUE)), 10_000);
    assert_eq!(nt!(ExSetTimerResolution(20_000, TRUE)), 10_000);
    assert_eq!(nt!(ExSetTimerResolution(0, FALSE)), 10_000);
    assert_eq!(nt!(ExSetTimerResolution(0, FALSE)), default);
}

#[test]
fn a_delay_takes_its_time() {
    let start = Instant::now();
    let interval = Object::new(LARGE_INTEGER { QuadPart: 10 * MS });
    assert_eq!(
        nt!(KeDelayExecutionThread(0, FALSE, interval.get())),
        STATUS_SUCCESS
    );
    assert!(start.elapsed() >= Duration::from_millis(10));
}

#[test]
fn a_delay_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let interval = Object::new(LARGE_INTEGER { QuadPart: MS });
        raise(DISPATCH);
        nt!(KeDelayExecutionThread(0, FALSE, interval.get()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x2000F));
}

#[test]
fn a_driver_may_stop_the_system() {
    let report = expect_bug_check(|| nt!(KeBugCheckEx(0xE2, 1, 2, 3, 4)));
    assert_eq!((report.code, report.parameters), (0xE2, [1, 2, 3, 4]));
    assert_eq!(report.name.as_deref(), Some("MANUALLY_INITIATED_CRASH"));
    let report = expect_bug_check(|| nt!(KeBugCheck(0xDEAD_BEEF)));
    assert_eq!((report.code, report.name), (0xDEAD_BEEF, None));
    let report = expect_bug_check(|| nt!(ExRaiseStatus(STATUS_ACCESS_VIOLATION)));
    assert_eq!(report.code, bugcheck::KMODE_EXCEPTION_NOT_HANDLED);
}
