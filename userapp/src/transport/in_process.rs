//! The driver's tests and scenarios, linked into this program, on nthost's kernel.
//!
//! What `syncstress.sys` adds to them (the KMDF shell, the image) is not there; what is there runs
//! under debuggers, sanitizers and coverage.

use std::ptr;

use nthost::Kernel;
use syncstress_stress::{Device, Engine, Session};
use wdk_sync::{Irql, Passive, Status};

use super::{
    Handle, HostDescription, Leak, Transport, TransportError,
    kernel::{boot, leaks},
};
use crate::status::NtStatus;

/// The engine on the kernel of this process.
pub struct InProcess {
    kernel: Kernel,
    engine: Engine,
    host: HostDescription,
}

impl InProcess {
    /// Boots the kernel with this many processors, or as many as it takes by itself.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] if the kernel cannot boot so.
    pub fn load(processors: Option<u32>) -> Result<Self, TransportError> {
        let kernel = boot(processors)?;
        let engine = kernel.run(|| Engine::new(version()))??;
        let host = HostDescription {
            name: "in-process".into(),
            phrase: "nthost's kernel in process".into(),
            is_windows: false,
            driver: None,
            missing_imports: Vec::new(),
        };
        Ok(Self {
            kernel,
            engine,
            host,
        })
    }
}

impl Transport for InProcess {
    fn host(&self) -> &HostDescription {
        &self.host
    }

    fn open(&self) -> Result<Box<dyn Handle>, TransportError> {
        // SAFETY: nthost takes null for no device.
        let device = unsafe { Device::new(ptr::null_mut()) };
        let session = self.kernel.run(|| self.engine.open(device))??;
        Ok(Box::new(File {
            kernel: self.kernel,
            session,
        }))
    }

    fn unload(self: Box<Self>) -> Result<Option<Vec<Leak>>, TransportError> {
        let Self { kernel, engine, .. } = *self;
        kernel.run(|| drop(engine))?;
        Ok(Some(leaks(kernel)))
    }
}

/// A session as a file handle has it.
struct File {
    kernel: Kernel,
    session: Session,
}

impl Handle for File {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        // METHOD_BUFFERED: one buffer for both directions.
        let mut buffer = vec![0; input.len().max(output.len())];
        buffer[..input.len()].copy_from_slice(input);
        let (room_in, room_out) = (input.len(), output.len());
        let written = self.kernel.run(|| {
            self.session
                .dispatch(&mut passive(), code, &mut buffer, room_in, room_out)
        })??;
        output[..written].copy_from_slice(&buffer[..written]);
        Ok(written)
    }

    fn close(self: Box<Self>) -> Result<(), TransportError> {
        let Self { kernel, session } = *self;
        kernel.run(|| {
            session.close(&mut passive());
            drop(session);
        })?;
        Ok(())
    }
}

/// The level of this program's threads.
const fn passive<'scope>() -> Irql<'scope, Passive> {
    // SAFETY: A thread of this program enters the kernel at PASSIVE_LEVEL and leaves it so, which
    // `Kernel::run` checks; tokens are made here alone, one each time that a thread enters.
    unsafe { Irql::assume() }
}

fn version() -> [u16; 3] {
    let parts = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    // Cargo checks that these are numbers; one too large for the protocol is shown as 0.
    parts.map(|part| part.parse().unwrap_or(0))
}

impl From<Status> for TransportError {
    fn from(status: Status) -> Self {
        Self::Refused(NtStatus(status.into_raw()))
    }
}
