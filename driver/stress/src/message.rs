//! The buffer of a `METHOD_BUFFERED` request: input and output share it.

use wdk_sync::Status;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A request whose input has not been read yet.
pub struct Message<'a> {
    buffer: &'a mut [u8],
    input: usize,
    output: usize,
}

impl<'a> Message<'a> {
    /// A request of so many bytes of input that gives room for so many bytes of output.
    ///
    /// # Errors
    ///
    /// [`Status::INFO_LENGTH_MISMATCH`] if the buffer is smaller than one of them, which the I/O
    /// manager does not let happen.
    pub const fn new(buffer: &'a mut [u8], input: usize, output: usize) -> Result<Self, Status> {
        if input > buffer.len() || output > buffer.len() {
            return Err(Status::INFO_LENGTH_MISMATCH);
        }
        Ok(Self {
            buffer,
            input,
            output,
        })
    }

    /// Nothing is the input.
    ///
    /// # Errors
    ///
    /// [`Status::INFO_LENGTH_MISMATCH`] if there is something.
    pub fn no_input(&self) -> Result<(), Status> {
        self.input::<()>()
    }

    /// The input, all of it.
    ///
    /// # Errors
    ///
    /// [`Status::INFO_LENGTH_MISMATCH`] unless it has exactly the size of a `T`.
    pub fn input<T: FromBytes>(&self) -> Result<T, Status> {
        self.input_bytes()
            .and_then(|bytes| T::read_from_bytes(bytes).ok())
            .ok_or(Status::INFO_LENGTH_MISMATCH)
    }

    /// The input as a `T` and what follows it.
    ///
    /// # Errors
    ///
    /// [`Status::INFO_LENGTH_MISMATCH`] if it is smaller than a `T`.
    pub fn input_with_rest<T: FromBytes>(&self) -> Result<(T, &[u8]), Status> {
        self.input_bytes()
            .and_then(|bytes| T::read_from_prefix(bytes).ok())
            .ok_or(Status::INFO_LENGTH_MISMATCH)
    }

    /// Goes from input to output, if the output has room for so many bytes.
    ///
    /// # Errors
    ///
    /// [`Status::BUFFER_TOO_SMALL`] if it has not.
    pub fn reply(self, least: usize) -> Result<Reply<'a>, Status> {
        if self.output < least {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        let bytes = self
            .buffer
            .get_mut(..self.output)
            .ok_or(Status::BUFFER_TOO_SMALL)?;
        Ok(Reply { bytes, written: 0 })
    }

    /// Whether the output has room for a `T`, for requests that do something before they answer.
    ///
    /// # Errors
    ///
    /// [`Status::BUFFER_TOO_SMALL`] if it has not.
    pub const fn require_room_for<T>(&self) -> Result<(), Status> {
        if self.output < size_of::<T>() {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        Ok(())
    }

    fn input_bytes(&self) -> Option<&[u8]> {
        self.buffer.get(..self.input)
    }
}

/// The output of a request, from its beginning on.
pub struct Reply<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl Reply<'_> {
    /// Adds a value.
    ///
    /// # Errors
    ///
    /// [`Status::BUFFER_TOO_SMALL`] if it does not fit.
    pub fn put(&mut self, value: &(impl IntoBytes + Immutable + ?Sized)) -> Result<(), Status> {
        let value = value.as_bytes();
        let end = self.written.saturating_add(value.len());
        self.bytes
            .get_mut(self.written..end)
            .ok_or(Status::BUFFER_TOO_SMALL)?
            .copy_from_slice(value);
        self.written = end;
        Ok(())
    }

    /// How many bytes still fit.
    pub const fn room(&self) -> usize {
        self.bytes.len().saturating_sub(self.written)
    }

    /// How many bytes were added.
    pub const fn written(&self) -> usize {
        self.written
    }
}
