//! Examples at the end of each command's help.

/// Those of `test`.
pub const TEST: &str = "\
Examples:
  syncstress test                                   every behaviour test
  syncstress test resource 'mutex.*' --verbose      those of two primitives, with their logs";

/// Those of `stress`.
pub const STRESS: &str = "\
Examples:
  syncstress stress                                 every behaviour test, then every scenario
  syncstress stress --profile smoke --save r.html   20 seconds in all, and a page to look at
  syncstress stress resource --threads 8 --readers 24 --seconds 30
  syncstress stress mutex --param hold=20 --param spread=2 --param shuffle=10
  syncstress stress 'busted*' --seconds 0.2         locks broken on purpose: each has to fail";

/// Those of `sweep`.
pub const SWEEP: &str = "\
Examples:
  syncstress sweep spinlock queued-spinlock --threads 1..8 --save sweep.html
  syncstress sweep resource push-lock --threads 8 --read-share 0,50,90,100
  syncstress sweep mutex --threads 4 --hold 0,10,100 --seconds 0.5 --save hold.svg";

/// Those of `soak`.
pub const SOAK: &str = "\
Examples:
  syncstress soak --hours 0.5 --seconds 8           half an hour, three minutes a round
  syncstress soak --hours 24 --save night.html      with what was used after each round";

/// Those of `bench`.
pub const BENCH: &str = "\
Examples:
  syncstress bench overhead                         every lock; fails past 15 ns a pass
  syncstress bench overhead spinlock --seconds 10 --bound 20";

/// Those of `watch`.
pub const WATCH: &str = "\
Examples:
  syncstress watch                                  on Windows, any run on the device
  syncstress watch --at /run/syncstress             elsewhere, a run in a kernel that is served";

/// Those of `serve`.
pub const SERVE: &str = "\
Examples:
  syncstress serve /run/syncstress                  then, elsewhere:
  syncstress stress mutex --at /run/syncstress";

/// Those of `report`.
pub const REPORT: &str = "\
Examples:
  syncstress report result.json                     as it was shown
  syncstress report result.json --save result.html --save result.xml";

/// Those of `compare`.
pub const COMPARE: &str = "\
Examples:
  syncstress compare before.json after.json         ratios; exit code 1 past a loss of 20%
  syncstress compare before.json after.json --bound 5";

/// Those of `lockdep`, `lock-stat` and `locks`.
pub const LOCKS: &str = "\
Examples, D being target/kit/x64/release/lockdep/syncstress.sys:
  syncstress --driver $D lockdep '*' --seconds 1    the order of all locks
  syncstress --driver $D lock-stat mutex --seconds 1
  syncstress --driver $D locks                      the runs, and what is held now";

/// Those of `hold`.
pub const HOLD: &str = "\
Examples:
  syncstress hold list                              what there is to hold
  syncstress hold resource.waiters --seconds 60     then `!locks` in WinDbg";
