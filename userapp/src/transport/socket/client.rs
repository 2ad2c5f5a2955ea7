//! The side that has no kernel.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{super::Transport, Packet, gone};
use crate::transport::{Handle, HostDescription, Leak, TransportError};

/// The device that another process serves.
pub struct Served {
    socket: PathBuf,
    host: HostDescription,
}

impl Served {
    /// Finds out on what the driver runs.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] if nobody serves a device there.
    pub fn find(socket: &Path) -> Result<Self, TransportError> {
        let (_, host) = connect(socket)?;
        Ok(Self {
            socket: socket.to_owned(),
            host,
        })
    }
}

impl Transport for Served {
    fn host(&self) -> &HostDescription {
        &self.host
    }

    fn open(&self) -> Result<Box<dyn Handle>, TransportError> {
        let (stream, _) = connect(&self.socket)?;
        Ok(Box::new(Connection(Mutex::new(stream))))
    }

    fn unload(self: Box<Self>) -> Result<Option<Vec<Leak>>, TransportError> {
        // Whoever serves the device loaded the driver and keeps it.
        Ok(None)
    }
}

fn connect(socket: &Path) -> Result<(UnixStream, HostDescription), TransportError> {
    let cannot = |why: String| TransportError::Unreachable {
        what: format!("nobody serves a device at {}: {why}", socket.display()),
        hint: Some(format!(
            "`syncstress serve {}` does, in a process of its own",
            socket.display()
        )),
    };
    let mut stream = UnixStream::connect(socket).map_err(|error| cannot(error.to_string()))?;
    let greeting = Packet::read(&mut stream).map_err(|error| cannot(error.to_string()))?;
    let greeting = greeting.ok_or_else(|| cannot("it hung up".to_owned()))?;
    let host = serde_json::from_slice(&greeting.result()?);
    Ok((stream, host.map_err(|error| cannot(error.to_string()))?))
}

/// A handle. Requests of several threads take turns.
struct Connection(Mutex<UnixStream>);

impl Connection {
    fn exchange(&self, request: &Packet) -> std::io::Result<Option<Packet>> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        request.write(&mut *stream)?;
        Packet::read(&mut *stream)
    }
}

impl Handle for Connection {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        let room = u32::try_from(output.len())
            .map_err(|_| gone("more output than can be asked for".to_owned()))?;
        let request = Packet {
            kind: code,
            value: room,
            bytes: input.to_vec(),
        };
        let reply = self
            .exchange(&request)
            .map_err(|error| gone(format!("the process with the kernel is gone: {error}")))?
            .ok_or_else(|| gone("the process with the kernel is gone".to_owned()))?;
        let bytes = reply.result()?;
        let place = output
            .get_mut(..bytes.len())
            .ok_or_else(|| gone(format!("{} bytes of output", bytes.len())))?;
        place.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn close(self: Box<Self>) -> Result<(), TransportError> {
        // Dropping it hangs up.
        Ok(())
    }
}
