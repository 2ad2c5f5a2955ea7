//! A lock taken for one of shorter lives, which could be put in and would be seen as living long.

use wdk_sync::{Rundown, SpinLock};

fn shorten<'a>(lock: &'a SpinLock<&'static str>) -> &'a SpinLock<&'a str> {
    lock
}

fn shorten_rundown<'a>(rundown: &'a Rundown<&'static str>) -> &'a Rundown<&'a str> {
    rundown
}

fn main() {}
