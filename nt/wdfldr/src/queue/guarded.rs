//! The state of a queue behind its lock.

use super::State;
use crate::device::Device;
use crate::kernel::SpinLock;
use crate::object::Typed;
use nt_abi::KIRQL;

/// The state of a queue. One that is power-managed keeps its device in D0 while it has requests.
pub struct Guarded {
    lock: SpinLock<State>,
    /// The device of a power-managed queue.
    powers: Option<Typed<Device>>,
}

impl Guarded {
    pub const fn new(state: State, powers: Option<Typed<Device>>) -> Self {
        Self {
            lock: SpinLock::new(state),
            powers,
        }
    }

    /// Whether the queue follows the power of its device.
    pub const fn is_power_managed(&self) -> bool {
        self.powers.is_some()
    }

    /// As [`SpinLock::with`].
    pub fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.with_irql(|state, _| f(state))
    }

    /// As [`SpinLock::with_irql`].
    pub fn with_irql<R>(&self, f: impl FnOnce(&mut State, KIRQL) -> R) -> R {
        self.lock.with_irql(|state, irql| {
            let result = f(state, irql);
            if let (Some(device), Some(busy)) = (&self.powers, state.became_busy()) {
                Device::queue_is_busy(device, busy);
            }
            result
        })
    }
}
