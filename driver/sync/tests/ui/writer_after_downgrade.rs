//! `&mut` to the data kept past the conversion to shared access.

use wdk_sync::{Irql, Passive, Resource};

fn downgrade(resource: &Resource<u32>, irql: &mut Irql<'_, Passive>) {
    let mut writer = resource.exclusive(irql).unwrap();
    let data = &mut *writer;
    let reader = writer.downgrade();
    *data = *reader + 1;
}

fn main() {}
