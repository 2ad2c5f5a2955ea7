//! What this process uses, with the kernel in it where that is so.

use std::fs;

use crate::show::Usage;

/// What Linux tells of it; elsewhere nobody is asked.
///
/// The C library has an arena of memory for each of several threads, and keeps pages of what was freed,
/// here and there: they come to be more, ever more slowly, for as long as a soak lasts. It gives them back
/// first, so that what is told is what is in use.
pub fn usage() -> Option<Usage> {
    give_back();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        memory_kib: field("VmRSS:")?,
        threads: field("Threads:")?,
        descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
    })
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: It takes the locks of the heap itself, and moves nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn give_back() {}
