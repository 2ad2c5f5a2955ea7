//! Parents and children, as links between indices: the shape of the object tree without the objects.

use crate::kernel::NoMemory;
use alloc::vec::Vec;

/// No object.
const NONE: u32 = u32::MAX;

/// Whether an object may still get children, and whether its cleanup has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Alive,
    Disposing,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    phase: Phase,
    parent: u32,
    first: u32,
    last: u32,
    next: u32,
    previous: u32,
    /// The first child whose cleanup has not begun; children before it in the list are disposed.
    pending: u32,
}

const EMPTY: Node = Node {
    phase: Phase::Alive,
    parent: NONE,
    first: NONE,
    last: NONE,
    next: NONE,
    previous: NONE,
    pending: NONE,
};

/// A parent that is being deleted takes no children (`STATUS_DELETE_PENDING`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentDisposing;

/// The links of all objects. An object's node is at the index of its slot.
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Makes the node of a new object.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn add(&mut self, index: u32) -> Result<(), NoMemory> {
        let needed = index as usize + 1;
        if needed > self.nodes.len() {
            let additional = needed - self.nodes.len();
            self.nodes.try_reserve(additional).map_err(|_| NoMemory)?;
            self.nodes.resize(needed, EMPTY);
        }
        self.nodes[index as usize] = EMPTY;
        Ok(())
    }

    /// Makes `child` the youngest child of `parent`.
    ///
    /// # Errors
    /// [`ParentDisposing`].
    pub fn link(&mut self, child: u32, parent: u32) -> Result<(), ParentDisposing> {
        let node = self.node(parent);
        if node.phase != Phase::Alive {
            return Err(ParentDisposing);
        }
        let last = node.last;
        if last == NONE {
            self.node_mut(parent).first = child;
        } else {
            self.node_mut(last).next = child;
        }
        let node = self.node_mut(parent);
        node.last = child;
        if node.pending == NONE {
            node.pending = child;
        }
        let node = self.node_mut(child);
        node.parent = parent;
        node.previous = last;
        node.next = NONE;
        Ok(())
    }

    /// Takes `child` away from its parent, if it has one; returns whether it had.
    pub fn unlink(&mut self, child: u32) -> bool {
        let Node {
            parent,
            next,
            previous,
            ..
        } = *self.node(child);
        if parent == NONE {
            return false;
        }
        if previous == NONE {
            self.node_mut(parent).first = next;
        } else {
            self.node_mut(previous).next = next;
        }
        if next == NONE {
            self.node_mut(parent).last = previous;
        } else {
            self.node_mut(next).previous = previous;
        }
        let node = self.node_mut(parent);
        if node.pending == child {
            node.pending = next;
        }
        let node = self.node_mut(child);
        node.parent = NONE;
        node.next = NONE;
        node.previous = NONE;
        true
    }

    /// The parent of an object.
    pub fn parent(&self, index: u32) -> Option<u32> {
        some(self.node(index).parent)
    }

    /// Begins the cleanup of an object: it gets no more children. Returns whether it had not begun.
    pub fn begin_dispose(&mut self, index: u32) -> bool {
        let node = self.node_mut(index);
        let first = node.phase == Phase::Alive;
        node.phase = Phase::Disposing;
        first
    }

    /// The oldest child whose cleanup has not begun, which begins here.
    pub fn dispose_next_child(&mut self, parent: u32) -> Option<u32> {
        loop {
            let child = some(self.node(parent).pending)?;
            self.node_mut(parent).pending = self.node(child).next;
            if self.begin_dispose(child) {
                return Some(child);
            }
        }
    }

    /// Takes the oldest child away from its parent.
    pub fn take_child(&mut self, parent: u32) -> Option<u32> {
        let child = some(self.node(parent).first)?;
        self.unlink(child);
        Some(child)
    }

    /// Frees the memory of a tree without objects.
    pub fn reset(&mut self) {
        self.nodes = Vec::new();
    }

    fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: u32) -> &mut Node {
        &mut self.nodes[index as usize]
    }
}

const fn some(index: u32) -> Option<u32> {
    if index == NONE { None } else { Some(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: u32) -> Tree {
        let mut tree = Tree::new();
        for index in 0..nodes {
            tree.add(index).unwrap();
        }
        tree
    }

    #[test]
    fn children_are_disposed_in_order_of_birth_and_once() {
        let mut tree = tree(4);
        for child in 1..4 {
            tree.link(child, 0).unwrap();
        }
        assert!(tree.begin_dispose(0));
        assert!(!tree.begin_dispose(0), "only the first caller disposes");
        assert_eq!(tree.dispose_next_child(0), Some(1));
        // Somebody else deletes 2 meanwhile: its disposal is theirs.
        assert!(tree.begin_dispose(2));
        assert_eq!(tree.dispose_next_child(0), Some(3));
        assert_eq!(tree.dispose_next_child(0), None);
    }

    #[test]
    fn a_dying_parent_takes_no_children() {
        let mut tree = tree(3);
        tree.link(1, 0).unwrap();
        tree.begin_dispose(0);
        assert_eq!(tree.link(2, 0), Err(ParentDisposing));
        assert_eq!(tree.parent(2), None);
    }

    #[test]
    fn unlinking_keeps_the_others_in_order() {
        let mut tree = tree(5);
        for child in 1..5 {
            tree.link(child, 0).unwrap();
        }
        assert!(tree.unlink(2));
        assert!(!tree.unlink(2));
        assert!(tree.unlink(1));
        assert_eq!(tree.parent(3), Some(0));
        assert_eq!(tree.take_child(0), Some(3));
        assert_eq!(tree.take_child(0), Some(4));
        assert_eq!(tree.take_child(0), None);
    }

    #[test]
    fn unlinking_the_next_in_line_does_not_lose_the_rest() {
        let mut tree = tree(4);
        for child in 1..4 {
            tree.link(child, 0).unwrap();
        }
        tree.begin_dispose(0);
        assert_eq!(tree.dispose_next_child(0), Some(1));
        tree.unlink(2);
        assert_eq!(tree.dispose_next_child(0), Some(3));
    }
}
