//! KTIMERs under storms of settings and cancellations; see [`timer_storm`](super::timer_storm).

use core::time::Duration;

use syncstress_protocol::Primitive;
use wdk_sync::{
    DueTime, Irql, NonPaged, NonPagedArc, Passive, Period, Signal, Status, Timer, TimerCallback,
    TimerWas,
};

use super::{
    Scenario,
    dpcs::Dpcs,
    timer_storm::{StormTimer, crew, parameters_of_timers, storm},
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId};

pub static SCENARIO: Scenario = Scenario {
    id: 6,
    name: "timer",
    primitive: Primitive::Timer,
    flags: 0,
    summary: "Threads set and cancel KTIMERs whose DPCs contend for a spin lock.",
    parameters: parameters_of_timers!(
        [Parameter::new(ParameterId::Timers, 1, 4_096, 8)]
        []
    ),
    crew,
    run: |stage, irql| storm(stage, irql, timer),
};

/// A timer whose DPC tells that it runs.
fn timer(
    dpcs: NonPagedArc<Dpcs>,
    index: usize,
) -> Result<NonPaged<Timer<impl TimerCallback>>, Status> {
    NonPaged::pin_init(Timer::new(
        Signal::Notification,
        move |_timer: &_, irql: &mut _| {
            dpcs.runs(irql, index, |_time| {});
        },
    ))
}

impl<F: TimerCallback> StormTimer for NonPaged<Timer<F>> {
    fn set(&self, irql: &Irql<'_, Passive>, worker: &mut Worker<'_>) -> TimerWas {
        /// From which on Windows is told to coincide expirations.
        const TOLERANCE: Duration = Duration::from_millis(32);
        let due = if worker.below(8) == 0 {
            // The first moment of 1601: it has passed.
            DueTime::At(1)
        } else {
            let micros = worker.settings().get(ParameterId::Due);
            DueTime::After(Duration::from_micros(worker.below(micros)))
        };
        let period = match worker.below(2) {
            0 => None,
            _ => Period::from_millis(worker.settings().count(ParameterId::Period)),
        };
        if worker.below(4) == 0 {
            self.set_coalescable(irql, due, period, TOLERANCE)
        } else {
            (**self).set(irql, due, period)
        }
    }

    fn cancel(&self, irql: &Irql<'_, Passive>) -> TimerWas {
        (**self).cancel(irql)
    }
}
