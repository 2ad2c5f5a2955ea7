//! The search for a cycle, when an edge is new: breadth first, so the shortest is found.
//!
//! A path is a chain of owners each of which waits for the next. It breaks where someone who asks
//! for shared access ahead of writers meets someone who has shared access: that one does not keep
//! him waiting. So a class is reached in two ways, and each is gone on from once.

use super::{
    edges::{Link, edge, leaving},
    report,
};
use crate::track::{ClassId, MAX_CLASSES, Writer};

/// A class, reached in one of the two ways.
const STATES: usize = 2 * MAX_CLASSES;

/// Not reached.
const NONE: u16 = u16::MAX;

/// Memory of the search; too much for a kernel stack.
pub struct Scratch {
    /// By which edge a state was reached.
    by: [u16; STATES],
    /// From which state.
    from: [u16; STATES],
    queue: [u16; STATES],
}

impl Scratch {
    pub(crate) const fn new() -> Self {
        Self {
            by: [NONE; STATES],
            from: [NONE; STATES],
            queue: [NONE; STATES],
        }
    }

    /// The state that `link` leads to, if someone there goes on from `state`.
    fn follow(state: u16, link: &Link) -> Option<u16> {
        let ahead = state & 1 != 0;
        if ahead && link.held_shared {
            return None;
        }
        state_of(link.asked, link.asked_ahead)
    }

    /// Finds a shortest way from what `new` asks for back to what it holds; gives its last state.
    fn find(&mut self, new: &Link) -> Option<u16> {
        self.by.fill(NONE);
        self.from.fill(NONE);
        let start = state_of(new.asked, new.asked_ahead)?;
        let (mut read, mut written) = (0, 0);
        let mut enter = |queue: &mut [u16; STATES], state| {
            if let Some(place) = queue.get_mut(written) {
                *place = state;
                written += 1;
            }
            written
        };
        let mut end = enter(&mut self.queue, start);
        while read < end {
            let state = *self.queue.get(read)?;
            read += 1;
            for index in leaving(class_of(state)?) {
                let Some(next) = edge(index).and_then(|edge| Self::follow(state, &edge.link))
                else {
                    continue;
                };
                let reached = self.by.get_mut(usize::from(next))?;
                if *reached != NONE || next == start {
                    continue;
                }
                *reached = index;
                *self.from.get_mut(usize::from(next))? = state;
                if class_of(next)? == new.held && Self::follow(next, new).is_some() {
                    return Some(next);
                }
                end = enter(&mut self.queue, next);
            }
        }
        None
    }

    /// Turns the way that was found into a list of its edges, from its beginning; in place of the
    /// queue, which is done with.
    fn path(&mut self, last: u16) -> &[u16] {
        let mut length = 0;
        let mut state = last;
        while let Some(&index) = self.by.get(usize::from(state))
            && index != NONE
            && let Some(place) = self.queue.get_mut(length)
        {
            *place = index;
            length += 1;
            state = self.from.get(usize::from(state)).copied().unwrap_or(NONE);
        }
        let path = self.queue.get_mut(..length).unwrap_or_default();
        path.reverse();
        path
    }
}

fn state_of(class: ClassId, ahead: bool) -> Option<u16> {
    u16::try_from(class.index() * 2 + usize::from(ahead)).ok()
}

fn class_of(state: u16) -> Option<ClassId> {
    ClassId::from_index(usize::from(state / 2))
}

/// Reports the cycle that this edge, which was just written down, closes; if it does.
pub fn report_cycle(writer: &mut Writer, new: Link) {
    if report::is_known_cycle(&new) {
        return;
    }
    if let Some(last) = writer.scratch.find(&new) {
        let chain = report::Chain::write(writer, last);
        report::add_cycle(writer, new, chain);
    }
}

/// Calls `f` with each edge of the way that was found.
pub fn for_each(writer: &mut Writer, last: u16, mut f: impl FnMut(&mut Writer, u16)) {
    let length = writer.scratch.path(last).len();
    for place in 0..length {
        if let Some(&index) = writer.scratch.queue.get(place) {
            f(writer, index);
        }
    }
}
