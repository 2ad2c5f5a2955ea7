//! A driver made of a closure, for tests of what speaks to one.

use std::sync::Arc;

use super::{Handle, HostDescription, Leak, Transport, TransportError};

type Answer = dyn Fn(u32, &[u8], &mut [u8]) -> Result<usize, TransportError> + Send + Sync;

/// Answers every control code with its closure.
#[derive(Clone)]
pub struct Fake {
    answer: Arc<Answer>,
    leaks: Vec<Leak>,
    host: HostDescription,
}

impl Fake {
    /// A fake driver that answers with `answer(code, input, output)`.
    pub fn new(
        answer: impl Fn(u32, &[u8], &mut [u8]) -> Result<usize, TransportError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            leaks: Vec::new(),
            host: HostDescription {
                name: "fake".into(),
                phrase: "a fake driver".into(),
                is_windows: false,
                driver: None,
                missing_imports: Vec::new(),
            },
        }
    }
}

impl Fake {
    /// The same driver, which leaves something behind when it is unloaded.
    #[must_use]
    pub fn leaving(mut self, leak: Leak) -> Self {
        self.leaks.push(leak);
        self
    }
}

impl Transport for Fake {
    fn host(&self) -> &HostDescription {
        &self.host
    }

    fn open(&self) -> Result<Box<dyn Handle>, TransportError> {
        Ok(Box::new(self.clone()))
    }

    fn unload(self: Box<Self>) -> Result<Option<Vec<Leak>>, TransportError> {
        Ok(Some(self.leaks))
    }
}

impl Handle for Fake {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        (self.answer)(code, input, output)
    }

    fn close(self: Box<Self>) -> Result<(), TransportError> {
        Ok(())
    }
}
