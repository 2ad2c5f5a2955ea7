//! The clocks: performance counter, interrupt time, system time; and stalling.

use core::time::Duration;
use std::time::Instant;

use nt_abi::{BOOLEAN, LARGE_INTEGER, LONGLONG, PLARGE_INTEGER, ULONG, ULONG64, ULONGLONG};
use parking_lot::Mutex;

use crate::{
    clock::{self, UNITS_PER_SECOND},
    explore,
    export::exports,
    irql::APC,
    kernel, thread, verifier,
};

exports!("ntoskrnl.exe";
    ExSetTimerResolution, KeQueryInterruptTime, KeQueryInterruptTimePrecise, KeQueryPerformanceCounter,
    KeQuerySystemTime, KeQuerySystemTimePrecise, KeQueryTimeIncrement, KeQueryUnbiasedInterruptTime,
    KeStallExecutionProcessor,
);

/// The system's clock interrupt while nobody asks for a shorter one: 15.625 ms.
pub const DEFAULT_INCREMENT: ULONG = 156_250;

/// The shortest clock interrupt: 0.5 ms.
const SHORTEST_INCREMENT: ULONG = 5_000;

/// `KeQueryPerformanceCounter`: the interrupt time, which counts `10_000_000` times per second. Any IRQL.
///
/// # Safety
///
/// `PerformanceFrequency` must be valid for a write or null.
pub unsafe extern "win64" fn KeQueryPerformanceCounter(
    PerformanceFrequency: PLARGE_INTEGER,
) -> LARGE_INTEGER {
    thread::current();
    if !PerformanceFrequency.is_null() {
        let frequency = LARGE_INTEGER {
            QuadPart: to_signed(UNITS_PER_SECOND),
        };
        // SAFETY: The caller vouches for a pointer that is not null.
        unsafe { PerformanceFrequency.write(frequency) };
    }
    LARGE_INTEGER {
        QuadPart: to_signed(clock::interrupt_time()),
    }
}

const fn to_signed(units: u64) -> LONGLONG {
    units.cast_signed()
}

/// `KeQueryInterruptTime`: how long ago the kernel booted, in units of 100 ns. It does not move in ticks
/// here. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryInterruptTime() -> ULONGLONG {
    thread::current();
    clock::interrupt_time()
}

/// `KeQueryInterruptTimePrecise`: as [`KeQueryInterruptTime`], with the performance counter that belongs to
/// it. Any IRQL.
///
/// # Safety
///
/// `QpcTimeStamp` must be valid for a write.
pub unsafe extern "win64" fn KeQueryInterruptTimePrecise(QpcTimeStamp: *mut ULONG64) -> ULONG64 {
    thread::current();
    let now = clock::interrupt_time();
    // SAFETY: The caller vouches for the pointer.
    unsafe { QpcTimeStamp.write(now) };
    now
}

/// `KeQueryUnbiasedInterruptTime`: as [`KeQueryInterruptTime`]; this system does not sleep. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryUnbiasedInterruptTime() -> ULONGLONG {
    thread::current();
    clock::interrupt_time()
}

/// `KeQuerySystemTime`: the time since 1601 in UTC, in units of 100 ns. Any IRQL.
///
/// # Safety
///
/// `CurrentTime` must be valid for a write.
pub unsafe extern "win64" fn KeQuerySystemTime(CurrentTime: PLARGE_INTEGER) {
    thread::current();
    let now = LARGE_INTEGER {
        QuadPart: to_signed(clock::system_time()),
    };
    // SAFETY: The caller vouches for the pointer.
    unsafe { CurrentTime.write(now) };
}

/// `KeQuerySystemTimePrecise`: as [`KeQuerySystemTime`]. Any IRQL.
///
/// # Safety
///
/// `CurrentTime` must be valid for a write.
pub unsafe extern "win64" fn KeQuerySystemTimePrecise(CurrentTime: PLARGE_INTEGER) {
    // SAFETY: This function has the same contract.
    unsafe { KeQuerySystemTime(CurrentTime) };
}

/// `KeQueryTimeIncrement`: the default period of the clock interrupt, in units of 100 ns. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryTimeIncrement() -> ULONG {
    thread::current();
    DEFAULT_INCREMENT
}

/// What `ExSetTimerResolution` was asked for.
struct Resolution {
    current: ULONG,
    requests: u32,
}

static RESOLUTION: Mutex<Resolution> = Mutex::new(Resolution {
    current: DEFAULT_INCREMENT,
    requests: 0,
});

/// `ExSetTimerResolution`: asks for a shorter period of the clock interrupt, or takes a request back, and
/// returns the period, in units of 100 ns.
///
/// IRQL <= `APC_LEVEL` (rule `IrqlExApcLte2`, bug check 0xC4
/// (0x20006)).
///
/// The period is kept as documented and nothing depends on it: timers expire when they are due.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn ExSetTimerResolution(
    DesiredTime: ULONG,
    SetResolution: BOOLEAN,
) -> ULONG {
    const NAME: &str = "ExSetTimerResolution";
    if thread::current().irql() > APC {
        verifier::rule(
            0x20006,
            NAME,
            "IrqlExApcLte2: IRQL must be APC_LEVEL or below.",
        );
    }
    let mut resolution = RESOLUTION.lock();
    if SetResolution != 0 {
        resolution.requests += 1;
        resolution.current = resolution.current.min(DesiredTime.max(SHORTEST_INCREMENT));
    } else {
        resolution.requests = resolution.requests.saturating_sub(1);
        if resolution.requests == 0 {
            resolution.current = DEFAULT_INCREMENT;
        }
    }
    resolution.current
}

/// `KeStallExecutionProcessor`: keeps the processor busy for some microseconds. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeStallExecutionProcessor(MicroSeconds: ULONG) {
    let thread = thread::current();
    if explore::is_on() {
        explore::advance(u64::from(MicroSeconds) * 10);
        return;
    }
    let end = Instant::now() + Duration::from_micros(MicroSeconds.into());
    while Instant::now() < end {
        kernel::check_alive(thread);
        core::hint::spin_loop();
    }
}
