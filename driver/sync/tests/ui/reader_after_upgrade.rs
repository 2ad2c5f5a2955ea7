//! A reader that looks at the data while its own upgrade writes.

use wdk_sync::{Irql, Passive, RwSpinLock};

fn upgrade(lock: &RwSpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let reader = lock.shared(irql);
    let seen = &*reader;
    if let Ok(mut writer) = reader.try_upgrade() {
        *writer = *seen + 1;
    }
}

fn main() {}
