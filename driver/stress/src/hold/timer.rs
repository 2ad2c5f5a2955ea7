//! KTIMERs that are set.

use core::time::Duration;

use syncstress_protocol::{HeldFlags, HeldKind, HeldObject};
use wdk_sync::{DueTime, Irql, NonPaged, Passive, Period, Signal, Status, Timer};

use super::{cast::Cast, patterns, stage::Stage};

patterns! { Timer;
    20301 "timer.set" set: "A KTIMER that is set, with a DPC, and expires an hour after the run.";
    20302 "timer.periodic" periodic: "A KTIMER that expires every 500 ms, with a DPC that does nothing.";
}

/// The period of `timer.periodic`.
const PERIOD_MS: u32 = 500;

/// How long after the run `timer.set` would expire.
const MARGIN: Duration = Duration::from_hours(1);

fn keep(
    stage: &Stage<'_>,
    irql: &mut Irql<'_, Passive>,
    due: Duration,
    period_ms: u32,
) -> Result<(), Status> {
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, |_timer, _irql| {}))?;
    let _was_idle = timer.set(irql, DueTime::After(due), Period::from_millis(period_ms));
    let held = HeldObject {
        flags: HeldFlags::SET | HeldFlags::DPC,
        period_ms,
        ..stage.object(HeldKind::Timer, timer.address())
    };
    let kept = stage.keep(irql, held, &mut Cast::default());
    Timer::run_down(timer, irql);
    kept
}

fn set(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    keep(stage, irql, stage.duration().saturating_add(MARGIN), 0)
}

fn periodic(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    keep(
        stage,
        irql,
        Duration::from_millis(PERIOD_MS.into()),
        PERIOD_MS,
    )
}
