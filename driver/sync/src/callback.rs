//! What a DPC, timer or work item runs: a closure, or a function bound to a context.

use core::fmt;

use crate::{Irql, Level};

/// Something that can run with its control `O` at level `L`, again and again and from several threads
/// at once.
pub trait Callback<O, L: Level>: Send + Sync + 'static {
    fn call(&self, control: &O, irql: &mut Irql<'_, L>);
}

impl<O, L: Level, F> Callback<O, L> for F
where
    F: Fn(&O, &mut Irql<'_, L>) + Send + Sync + 'static,
{
    fn call(&self, control: &O, irql: &mut Irql<'_, L>) {
        self(control, irql);
    }
}

/// A function with the context that it works on: a callback whose type has a name, as that of a
/// closure has not.
///
/// A structure can hold it, such as the extension of a device: see
/// [`BoundTimer`](crate::BoundTimer), [`BoundDpc`](crate::BoundDpc) and
/// [`BoundWorkItem`](crate::BoundWorkItem).
pub struct Bound<C, O, L: Level> {
    context: C,
    function: fn(&C, &O, &mut Irql<'_, L>),
}

impl<C, O, L: Level> Bound<C, O, L> {
    pub(crate) const fn new(context: C, function: fn(&C, &O, &mut Irql<'_, L>)) -> Self {
        Self { context, function }
    }
}

impl<C: Send + Sync + 'static, O: 'static, L: Level + 'static> Callback<O, L> for Bound<C, O, L> {
    fn call(&self, control: &O, irql: &mut Irql<'_, L>) {
        (self.function)(&self.context, control, irql);
    }
}

impl<C: fmt::Debug, O, L: Level> fmt::Debug for Bound<C, O, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
