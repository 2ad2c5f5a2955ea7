//! What is held by whom: a stack of locks per thread, and per processor for its DPCs.

use core::{
    mem::offset_of,
    panic::Location,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering},
};

use crate::{
    Dispatch, Level, current_irql, nt,
    track::{ClassId, TableAt, offset},
};

/// How many threads and DPCs can hold locks at a time.
pub const CONTEXTS: usize = 512;

/// How many locks one of them can hold.
pub const DEPTH: usize = 24;

/// How many places are looked at for one of them.
const WINDOW: usize = 32;

static CONTEXTS_TABLE: [Context; CONTEXTS] = [const { Context::new() }; CONTEXTS];

/// Where the contexts are, for a debugger.
pub const fn holders() -> TableAt {
    TableAt {
        used: ptr::null(),
        first: CONTEXTS_TABLE.as_ptr().cast(),
        stride: offset(size_of::<Context>()),
        capacity: offset(CONTEXTS),
    }
}

/// Where their members are.
pub const HOLDER_MEMBERS: [u32; 11] = [
    offset(offset_of!(Context, owner)),
    offset(offset_of!(Context, depth)),
    offset(offset_of!(Context, places)),
    offset(size_of::<Place>()),
    offset(DEPTH),
    offset(offset_of!(Place, object)),
    offset(offset_of!(Place, class)),
    offset(offset_of!(Place, shared)),
    offset(offset_of!(Place, file)),
    offset(offset_of!(Place, line)),
    offset(offset_of!(Place, column)),
];

/// Holds that were not recorded for want of a context, or of depth.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Who runs: a thread, or the DPCs of a processor, in whose name no thread runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(usize);

impl Owner {
    /// Whoever runs here; `None` above `DISPATCH_LEVEL`.
    pub fn current() -> Option<Self> {
        let irql = current_irql();
        if irql > Dispatch::IRQL {
            return None;
        }
        // SAFETY: The IRQL is DISPATCH_LEVEL where the function is called.
        if irql == Dispatch::IRQL && unsafe { nt::is_executing_dpc() } {
            // SAFETY: The argument is optional.
            let processor = unsafe { nt::KeGetCurrentProcessorNumberEx(ptr::null_mut()) };
            // Odd, as no address of a thread is.
            return Some(Self(((processor as usize) << 1) | 1));
        }
        Some(Self(nt::current_thread().addr()))
    }

    /// Whether it is a DPC.
    pub const fn is_dpc(self) -> bool {
        self.0 & 1 != 0
    }

    /// The address of the thread's object, or 0 for a DPC.
    pub const fn thread(self) -> usize {
        if self.is_dpc() { 0 } else { self.0 }
    }

    /// The places where its context may be.
    fn window(self) -> impl Iterator<Item = &'static Context> {
        // Objects of threads are far apart: the low bits say little.
        let hash = (self.0 >> 4 ^ self.0 >> 12 ^ self.0 << 3).wrapping_mul(0x9E37_79B9);
        (0..WINDOW).filter_map(move |step| CONTEXTS_TABLE.get((hash + step) % CONTEXTS))
    }

    /// Its context, if it holds something.
    pub fn context(self) -> Option<&'static Context> {
        self.window()
            .find(|context| context.owner.load(Ordering::Relaxed) == self.0)
    }

    /// Its context, or a new one.
    fn context_or_new(self) -> Option<&'static Context> {
        let claim = |context: &&Context| {
            let owner = &context.owner;
            owner
                .compare_exchange(0, self.0, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        };
        self.context().or_else(|| self.window().find(claim))
    }

    /// Puts a lock on top of what it holds; whether there was room.
    pub fn push(self, hold: Hold) -> bool {
        let pushed = self
            .context_or_new()
            .is_some_and(|context| context.push(hold));
        if !pushed {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        pushed
    }
}

/// What everybody holds, as it is at the moment, while they go on. What changes while it is looked at is
/// left out.
pub fn all_holds() -> impl Iterator<Item = (Owner, Hold)> {
    let of_one = |context: &'static Context| {
        let owner = context.owner.load(Ordering::Acquire);
        let holds = (owner != 0).then(|| context.holds());
        let is_still_there = move |hold: &Hold| {
            context.owner.load(Ordering::Acquire) == owner
                && context.holds().any(|now| now.is(hold))
        };
        let holds = holds.into_iter().flatten().filter(is_still_there);
        holds.map(move |hold| (Owner(owner), hold))
    };
    CONTEXTS_TABLE.iter().flat_map(of_one)
}

/// Holds that were not recorded.
pub fn lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

/// How many contexts are in use.
pub fn in_use() -> usize {
    let used = |context: &&Context| context.owner.load(Ordering::Relaxed) != 0;
    CONTEXTS_TABLE.iter().filter(used).count()
}

/// The locks that an [`Owner`] holds. It alone looks in here and changes it, so the atomics are for
/// the compiler, and for an APC that interrupts its thread.
pub struct Context {
    /// 0: free.
    owner: AtomicUsize,
    depth: AtomicUsize,
    /// What [`nested`](super::nested) says.
    pub nest: AtomicU8,
    places: [Place; DEPTH],
}

/// A lock that is held.
#[derive(Clone, Copy)]
pub struct Hold {
    /// The lock.
    pub object: *const (),
    /// Its class.
    pub class: ClassId,
    /// Whether others may hold it, too.
    pub shared: bool,
    /// Where it was asked for.
    pub site: &'static Location<'static>,
}

impl Hold {
    /// Whether this is the same one.
    fn is(&self, other: &Self) -> bool {
        self.object == other.object && self.class == other.class && self.shared == other.shared
    }
}

struct Place {
    object: AtomicPtr<()>,
    /// The index, plus 1; 0 while the place is being filled.
    class: AtomicU16,
    shared: AtomicBool,
    site: AtomicPtr<Location<'static>>,
    /// What `site` says, for a debugger: how the compiler lays that out is its own affair.
    file: File,
    line: AtomicU32,
    column: AtomicU32,
}

/// The name of a file, which a debugger reads as a [`Text`](crate::track::Text).
#[repr(C)]
struct File {
    at: AtomicPtr<u8>,
    length: AtomicUsize,
}

impl Place {
    const fn new() -> Self {
        Self {
            object: AtomicPtr::new(ptr::null_mut()),
            class: AtomicU16::new(0),
            shared: AtomicBool::new(false),
            site: AtomicPtr::new(ptr::null_mut()),
            file: File {
                at: AtomicPtr::new(ptr::null_mut()),
                length: AtomicUsize::new(0),
            },
            line: AtomicU32::new(0),
            column: AtomicU32::new(0),
        }
    }

    fn get(&self) -> Option<Hold> {
        let index = self.class.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Hold {
            object: self.object.load(Ordering::Relaxed),
            class: ClassId::from_index(usize::from(index))?,
            shared: self.shared.load(Ordering::Relaxed),
            site: site(&self.site)?,
        })
    }

    fn set(&self, hold: Option<Hold>) {
        let Some(hold) = hold else {
            return self.class.store(0, Ordering::Relaxed);
        };
        self.object.store(hold.object.cast_mut(), Ordering::Relaxed);
        self.shared.store(hold.shared, Ordering::Relaxed);
        self.site
            .store(ptr::from_ref(hold.site).cast_mut(), Ordering::Relaxed);
        let file = hold.site.file();
        self.file
            .at
            .store(file.as_ptr().cast_mut(), Ordering::Relaxed);
        self.file.length.store(file.len(), Ordering::Relaxed);
        self.line.store(hold.site.line(), Ordering::Relaxed);
        self.column.store(hold.site.column(), Ordering::Relaxed);
        let class = u16::try_from(hold.class.index() + 1).unwrap_or(0);
        self.class.store(class, Ordering::Relaxed);
    }
}

/// The line of source that is kept there.
pub fn site(place: &AtomicPtr<Location<'static>>) -> Option<&'static Location<'static>> {
    // SAFETY: Null, or made from a reference that lives as long as the driver.
    unsafe { place.load(Ordering::Relaxed).as_ref() }
}

impl Context {
    const fn new() -> Self {
        Self {
            owner: AtomicUsize::new(0),
            depth: AtomicUsize::new(0),
            nest: AtomicU8::new(0),
            places: [const { Place::new() }; DEPTH],
        }
    }

    fn push(&self, hold: Hold) -> bool {
        let depth = self.depth.load(Ordering::Relaxed);
        let Some(place) = self.places.get(depth) else {
            return false;
        };
        // Taken before it is filled: an APC that comes between uses the next.
        self.depth.store(depth + 1, Ordering::Relaxed);
        place.set(Some(hold));
        true
    }

    /// What is held, in the order in which it was acquired.
    pub fn holds(&self) -> impl DoubleEndedIterator<Item = Hold> {
        let depth = self.depth.load(Ordering::Relaxed).min(DEPTH);
        self.places.iter().take(depth).filter_map(Place::get)
    }

    fn last_of(&self, object: *const ()) -> Option<(usize, Hold)> {
        let depth = self.depth.load(Ordering::Relaxed).min(DEPTH);
        let held = self.places.iter().enumerate().take(depth).rev();
        held.filter_map(|(index, place)| Some((index, place.get()?)))
            .find(|(_, hold)| hold.object == object)
    }

    /// Takes the newest acquisition of this lock out. The context is free if it was the last.
    pub fn remove(&self, object: *const ()) {
        let Some((index, _)) = self.last_of(object) else {
            return;
        };
        let depth = self.depth.load(Ordering::Relaxed).min(DEPTH);
        let above = self.places.get(index..depth).unwrap_or_default();
        for (place, next) in above.iter().zip(above.iter().skip(1)) {
            place.set(next.get());
        }
        if let Some(top) = above.last() {
            top.set(None);
        }
        self.depth.store(depth - 1, Ordering::Relaxed);
        if depth == 1 {
            self.free();
        }
    }

    /// Changes how the newest acquisition of this lock is held.
    pub fn set_shared(&self, object: *const (), shared: bool) {
        if let Some((index, hold)) = self.last_of(object)
            && let Some(place) = self.places.get(index)
        {
            place.set(Some(Hold { shared, ..hold }));
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for place in &self.places {
            place.set(None);
        }
        self.depth.store(0, Ordering::Relaxed);
        self.free();
    }

    fn free(&self) {
        self.nest.store(0, Ordering::Relaxed);
        self.owner.store(0, Ordering::Release);
    }
}
