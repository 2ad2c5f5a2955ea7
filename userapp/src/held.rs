//! Locks and timers that the driver holds, and what `WinDbg` must show of them.

use std::fmt::{self, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncstress_protocol::{HeldFlags, HeldKind, HeldObject, HeldRole};

use crate::wire::{Word, clean, word};

/// How many threads `!locks` has on a line.
const THREADS_ON_A_LINE: usize = 4;

/// An object that the driver holds in a known state. Addresses are text: they are more than a number
/// of JSON can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// The name of the pattern.
    pub pattern: String,
    /// What it is, as NT calls it.
    pub kind: Word,
    /// Its address.
    pub address: Address,
    /// Who owns it, in the order in which they acquired it, and then who waits.
    pub threads: Vec<Thread>,
    /// What the commands of `WinDbg` must show of it.
    pub shows: Vec<Shows>,
}

/// A thread that has something to do with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// The address of its object, or an owner pointer, both of whose low bits are set.
    pub address: Address,
    /// What it has to do with it.
    pub role: Word,
    /// How often it owns it; 1 of one who waits.
    pub count: u32,
}

/// What a command must show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shows {
    /// The command, as one types it.
    pub command: String,
    /// Lines that are in its output; of `dt`, `member : value`.
    pub lines: Vec<String>,
}

/// An address in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Address(pub u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl Held {
    /// What the driver tells, in words.
    #[must_use]
    pub fn new(object: &HeldObject) -> Self {
        let kind = HeldKind::from_wire(object.kind);
        Self {
            pattern: clean(object.pattern.as_str(), false),
            kind: word(object.kind, "kind", kind, kind_name),
            address: Address(object.address),
            threads: threads(object).map(Thread::new).collect(),
            shows: kind.map_or_else(Vec::new, |kind| shows(kind, object)),
        }
    }
}

impl Thread {
    fn new(thread: &syncstress_protocol::HeldThread) -> Self {
        let role = HeldRole::from_wire(thread.role);
        Self {
            address: Address(thread.thread),
            role: word(thread.role, "role", role, |role| match role {
                HeldRole::Owner => "owner",
                HeldRole::WaitsShared => "waits for shared access",
                HeldRole::WaitsExclusive => "waits for exclusive access",
            }),
            count: thread.count,
        }
    }
}

const fn kind_name(kind: HeldKind) -> &'static str {
    match kind {
        HeldKind::Resource => "ERESOURCE",
        HeldKind::Mutex => "KMUTANT",
        HeldKind::FastMutex => "FAST_MUTEX",
        HeldKind::Timer => "KTIMER",
    }
}

fn threads(object: &HeldObject) -> impl Iterator<Item = &syncstress_protocol::HeldThread> {
    object.threads.iter().take(object.thread_count as usize)
}

fn in_role(object: &HeldObject, role: HeldRole) -> Vec<&syncstress_protocol::HeldThread> {
    threads(object)
        .filter(|thread| thread.role == role.to_wire())
        .collect()
}

/// The commands that have something to show.
fn shows(kind: HeldKind, object: &HeldObject) -> Vec<Shows> {
    let address = Address(object.address);
    let dt = Shows {
        command: format!("dt nt!_{} {address}", kind_name(kind)),
        lines: members(kind, object),
    };
    let first = match kind {
        HeldKind::Resource => Shows {
            command: format!("!locks {address}"),
            lines: locks(object).lines().map(str::to_owned).collect(),
        },
        HeldKind::Timer => {
            let periodic = if object.period_ms == 0 { "" } else { " P" };
            Shows {
                command: "!timer".to_owned(),
                lines: vec![format!("{:016x}{periodic}", object.address)],
            }
        }
        HeldKind::Mutex | HeldKind::FastMutex => return vec![dt],
    };
    vec![first, dt]
}

/// What `dt` must show, member by member.
fn members(kind: HeldKind, object: &HeldObject) -> Vec<String> {
    let owners = in_role(object, HeldRole::Owner);
    let owner = owners.first().map_or(0, |owner| owner.thread);
    let count = owners.first().map_or(0, |owner| i64::from(owner.count));
    let waiters = |role| in_role(object, role).len();
    match kind {
        HeldKind::Resource => vec![
            format!("ActiveEntries : {}", owners.len()),
            format!("ContentionCount : {}", object.contention),
            format!("NumberOfSharedWaiters : {}", waiters(HeldRole::WaitsShared)),
            format!(
                "NumberOfExclusiveWaiters : {}",
                waiters(HeldRole::WaitsExclusive)
            ),
        ],
        HeldKind::Mutex => vec![
            format!("Header.SignalState : {}", 1 - count),
            format!("OwnerThread : {owner:#018x}"),
            "Abandoned : 0".to_owned(),
            "ApcDisable : 1".to_owned(),
        ],
        HeldKind::FastMutex => vec![
            format!("Owner : {owner:#018x}"),
            format!("Contention : {}", object.contention),
        ],
        HeldKind::Timer => vec![format!("Period : {}", object.period_ms)],
    }
}

/// The part of what `!locks` must print that is about this ERESOURCE: the form of the command's page,
/// but for blanks at the ends of lines.
fn locks(object: &HeldObject) -> String {
    let owners = in_role(object, HeldRole::Owner);
    let shared = in_role(object, HeldRole::WaitsShared);
    let exclusive = in_role(object, HeldRole::WaitsExclusive);
    let state = if object.flags & HeldFlags::EXCLUSIVE != 0 {
        "Exclusively owned".to_owned()
    } else {
        format!("Shared {} owning threads", owners.len())
    };
    let mut text = format!("Resource @ {}    {state}\n", Address(object.address));
    let counters = [
        ("Contention Count", object.contention as usize),
        ("NumberOfSharedWaiters", shared.len()),
        ("NumberOfExclusiveWaiters", exclusive.len()),
    ];
    for (name, value) in counters.into_iter().filter(|counter| counter.1 != 0) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {name} = {value}");
    }
    let owning = owners.iter().map(|owner| {
        let text = format!("{:016x}-{:02x}<*>", owner.thread, owner.count);
        match owner.thread & 3 {
            3 => format!("{text} *** Actual Thread {:016x}", owner.thread & !3),
            _ => text,
        }
    });
    let sharing = shared.iter().map(|it| format!("{:016x}-01   ", it.thread));
    let listed = columns(&owning.chain(sharing).collect::<Vec<_>>());
    let _ = writeln!(text, "     Threads: {listed}");
    if !exclusive.is_empty() {
        let waiting = exclusive.iter().map(|it| format!("{:016x}", it.thread));
        let listed = columns(&waiting.collect::<Vec<_>>());
        let _ = writeln!(
            text,
            "     Threads Waiting On Exclusive Access:\n              {listed}"
        );
    }
    text
}

/// Threads on lines of four.
fn columns(threads: &[String]) -> String {
    let lines: Vec<_> = threads
        .chunks(THREADS_ON_A_LINE)
        .map(|line| line.join(" ").trim_end().to_owned())
        .collect();
    lines.join("\n              ")
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::HeldThread;
    use zerocopy::FromZeros as _;

    use super::*;

    fn object(kind: HeldKind, threads: &[(HeldRole, u64, u32)]) -> HeldObject {
        let mut object = HeldObject {
            address: 0xffff_8000_0000_1000,
            kind: kind.to_wire(),
            thread_count: u32::try_from(threads.len()).unwrap(),
            ..HeldObject::new_zeroed()
        };
        for (place, &(role, thread, count)) in object.threads.iter_mut().zip(threads) {
            *place = HeldThread {
                thread,
                role: role.to_wire(),
                count,
            };
        }
        object
    }

    #[test]
    fn locks_has_the_form_of_its_page() {
        let mut shared = object(
            HeldKind::Resource,
            &[1, 2, 3, 4, 5].map(|thread| (HeldRole::Owner, thread << 4, 1)),
        );
        assert_eq!(
            locks(&shared),
            "Resource @ 0xffff800000001000    Shared 5 owning threads\n     \
             Threads: 0000000000000010-01<*> 0000000000000020-01<*> 0000000000000030-01<*> \
             0000000000000040-01<*>\n              0000000000000050-01<*>\n"
        );
        shared.thread_count = 1;
        shared.threads[0].thread = 0x23;
        assert_eq!(
            locks(&shared),
            "Resource @ 0xffff800000001000    Shared 1 owning threads\n     \
             Threads: 0000000000000023-01<*> *** Actual Thread 0000000000000020\n"
        );
    }

    #[test]
    fn a_mutex_counts_down_from_one() {
        let held = Held::new(&object(HeldKind::Mutex, &[(HeldRole::Owner, 0x40, 3)]));
        assert_eq!(held.shows[0].command, "dt nt!_KMUTANT 0xffff800000001000");
        assert_eq!(held.shows[0].lines[0], "Header.SignalState : -2");
        assert_eq!(held.shows[0].lines[1], "OwnerThread : 0x0000000000000040");
    }

    #[test]
    fn an_address_survives_json() {
        let held = Held::new(&object(HeldKind::FastMutex, &[]));
        let json = serde_json::to_string(&held).unwrap();
        assert!(json.contains("\"0xffff800000001000\""), "{json}");
        assert_eq!(serde_json::from_str::<Held>(&json).unwrap(), held);
    }
}
