//! Critical and guarded regions.
#![expect(
    clippy::unnecessary_wraps,
    reason = "a test has one signature, and these need nothing that can fail"
)]

use wdk_sync::{
    CriticalRegion, GuardedRegion, Irql, Mutex, NonPaged, Passive, Status, current_irql,
};

use super::tests;
use crate::{
    log::{Log, check},
    thread_state::ThreadState,
};

tests! { Region, "region";
    8001 critical_region_disables_normal_apcs: "A critical region disables normal kernel APCs, and not special ones.";
    8002 guarded_region_disables_all_apcs: "A guarded region disables all APCs.";
    8003 regions_leave_the_irql: "A region does not change the IRQL.";
    8004 critical_regions_nest: "APCs are on again when as many critical regions were left as were entered.";
    8005 guarded_regions_nest: "All APCs are on again when as many guarded regions were left as were entered.";
    8006 guarded_in_critical: "After a guarded region within a critical region, normal kernel APCs are still off.";
    8007 apc_level_disables_all_apcs: "At APC_LEVEL KeAreAllApcsDisabled is TRUE, and KeAreApcsDisabled what it was.";
    8008 region_and_mutex_add_up: "APCs stay off until both the region is left and the mutex released.";
}

fn critical_region_disables_normal_apcs(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    let mut region = CriticalRegion::enter(irql);
    let inside = ThreadState::now(region.irql());
    check!(log, inside, before.without_normal_apcs());
    drop(region);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn guarded_region_disables_all_apcs(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    check!(log, before.all_apcs_disabled, false);
    let mut region = GuardedRegion::enter(irql);
    check!(log, ThreadState::now(region.irql()), before.without_apcs());
    drop(region);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn regions_leave_the_irql(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let region = CriticalRegion::enter(irql);
    check!(log, current_irql(), 0);
    drop(region);
    let region = GuardedRegion::enter(irql);
    check!(log, current_irql(), 0);
    drop(region);
    irql.at_apc_level(|irql| {
        let _region = CriticalRegion::enter(irql);
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn critical_regions_nest(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    let inside = before.without_normal_apcs();
    let mut outer = CriticalRegion::enter(irql);
    let mut inner = CriticalRegion::enter(outer.irql());
    check!(log, ThreadState::now(inner.irql()), inside);
    drop(inner);
    check!(log, ThreadState::now(outer.irql()), inside);
    drop(outer);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn guarded_regions_nest(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    let inside = before.without_apcs();
    let mut outer = GuardedRegion::enter(irql);
    let mut inner = GuardedRegion::enter(outer.irql());
    check!(log, ThreadState::now(inner.irql()), inside);
    drop(inner);
    check!(log, ThreadState::now(outer.irql()), inside);
    drop(outer);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn guarded_in_critical(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    let mut outer = CriticalRegion::enter(irql);
    let mut inner = GuardedRegion::enter(outer.irql());
    check!(log, ThreadState::now(inner.irql()), before.without_apcs());
    drop(inner);
    let outside = ThreadState::now(outer.irql());
    check!(log, outside, before.without_normal_apcs());
    drop(outer);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn apc_level_disables_all_apcs(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    let raised = irql.at_apc_level(|irql| ThreadState::now(irql));
    check!(log, raised, before.raised_to(1));
    let mut region = CriticalRegion::enter(irql);
    let raised = region.irql().at_apc_level(|irql| ThreadState::now(irql));
    check!(log, raised, before.without_normal_apcs().raised_to(1));
    drop(region);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn region_and_mutex_add_up(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let before = ThreadState::now(irql);
    let inside = before.without_normal_apcs();
    let mutex = NonPaged::pin_init(Mutex::new(()))?;
    let mut region = CriticalRegion::enter(irql);
    let owned = mutex.with(region.irql(), |(), irql| ThreadState::now(irql));
    check!(log, owned, Ok(inside));
    check!(log, ThreadState::now(region.irql()), inside);
    drop(region);
    check!(log, ThreadState::now(irql), before);
    let owned = mutex.with(irql, |(), irql| {
        drop(CriticalRegion::enter(irql));
        ThreadState::now(irql)
    });
    check!(log, owned, Ok(inside));
    check!(log, ThreadState::now(irql), before);
    Ok(())
}
