//! What a run of a hold pattern holds.

use syncstress_protocol::{HeldObject, MAX_HELD_THREADS, RunReference, ioctl};
use zerocopy::IntoBytes as _;

use super::{Client, ClientError};
use crate::status::NtStatus;

impl Client {
    /// What a run holds; none before its pattern is there and after it was released.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn held(&self, run: RunReference) -> Result<Option<HeldObject>, ClientError> {
        const NAME: &str = "QUERY_HELD";
        let held: HeldObject = match self.ask(NAME, ioctl::QUERY_HELD, run.as_bytes()) {
            Err(error) if error.refusal() == Some(NtStatus::INVALID_DEVICE_STATE) => {
                return Ok(None);
            }
            held => held?,
        };
        if held.thread_count > MAX_HELD_THREADS {
            let why = format!("{} threads", held.thread_count);
            return Err(ClientError::protocol(NAME, why));
        }
        Ok(Some(held))
    }
}
