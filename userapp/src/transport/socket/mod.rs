//! A driver's device, offered by the process that has the kernel to other processes: what a device
//! of the system is to all of them anyway.
//!
//! A connection is a handle, and one that breaks is closed, as Windows closes the handles of a process
//! that ends. The server greets with a [`HostDescription`](super::HostDescription) as JSON, and answers
//! each request with a reply. Both begin with three little-endian numbers of 32 bits, the last of which
//! is the length of what follows.

mod client;
mod server;

use std::io::{self, Read, Write};

use super::{BugCheck, TransportError};
use crate::status::NtStatus;

pub use self::{client::Served, server::serve};

/// No request and no answer of the protocol is longer.
const MOST_BYTES: u32 = 128 << 20;

/// What a reply is.
const DONE: u32 = 0;
const REFUSED: u32 = 1;
const BUG_CHECK: u32 = 2;
const UNREACHABLE: u32 = 3;

/// Three numbers, and bytes.
struct Packet {
    /// A control code, or what sort of reply this is.
    kind: u32,
    /// The room for output, or a status.
    value: u32,
    bytes: Vec<u8>,
}

impl Packet {
    /// The reply to a request.
    fn reply(result: Result<Vec<u8>, TransportError>) -> Self {
        let (kind, value, bytes) = match result {
            Ok(bytes) => (DONE, 0, bytes),
            Err(TransportError::Refused(status)) => (REFUSED, status.0.cast_unsigned(), Vec::new()),
            Err(TransportError::BugCheck(bug_check)) => {
                // Text and JSON, which serialise.
                let text = serde_json::to_vec(&bug_check).unwrap_or_default();
                (BUG_CHECK, 0, text)
            }
            Err(TransportError::Unreachable { what, .. }) => (UNREACHABLE, 0, what.into_bytes()),
        };
        Self { kind, value, bytes }
    }

    /// What a reply says.
    fn result(self) -> Result<Vec<u8>, TransportError> {
        match self.kind {
            DONE => Ok(self.bytes),
            REFUSED => Err(TransportError::Refused(NtStatus(self.value.cast_signed()))),
            BUG_CHECK => Err(match serde_json::from_slice::<BugCheck>(&self.bytes) {
                Ok(bug_check) => TransportError::BugCheck(Box::new(bug_check)),
                Err(error) => gone(error.to_string()),
            }),
            _ => Err(gone(String::from_utf8_lossy(&self.bytes).into_owned())),
        }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let length = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        for number in [self.kind, self.value, length] {
            to.write_all(&number.to_le_bytes())?;
        }
        to.write_all(&self.bytes)
    }

    /// The next packet; none at the end.
    fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut header = [[0; 4]; 3];
        let bytes = header.as_flattened_mut();
        match from.read(bytes)? {
            0 => return Ok(None),
            some => from.read_exact(&mut bytes[some..])?,
        }
        let [kind, value, length] = header.map(u32::from_le_bytes);
        if length > MOST_BYTES {
            return Err(io::Error::other(format!("a packet of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes)?;
        Ok(Some(Self { kind, value, bytes }))
    }
}

const fn gone(what: String) -> TransportError {
    TransportError::Unreachable { what, hint: None }
}
