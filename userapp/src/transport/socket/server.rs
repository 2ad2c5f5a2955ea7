//! The side that has the kernel.

use std::{
    fs, io,
    net::Shutdown,
    os::unix::{
        fs::FileTypeExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{MOST_BYTES, Packet};
use crate::{
    error::Error,
    interrupt::Interrupt,
    transport::{BugCheck, Handle, HostDescription, Transport, TransportError},
};

/// New connections are seen within this.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves the device of `transport` at `socket` until an interrupt, or a bug check, and calls `ready`
/// when it can be reached. When this returns, every handle is closed.
///
/// # Errors
/// A socket that cannot be there; a bug check.
pub fn serve(
    transport: &dyn Transport,
    socket: &Path,
    interrupt: &Interrupt,
    ready: impl FnOnce(),
) -> Result<(), Error> {
    let file_error = |error: io::Error| Error::File {
        path: socket.to_owned(),
        why: error.to_string(),
    };
    let listener = listen(socket).map_err(file_error)?;
    ready();
    let dead = Dead::default();
    let ended = accept_all(transport, &listener, interrupt, &dead);
    // The name alone is left, and would only be in the way.
    let _ = fs::remove_file(socket);
    ended.map_err(file_error)?;
    let bug_check = dead.lock().take();
    bug_check.map_or(Ok(()), |bug_check| {
        Err(TransportError::BugCheck(bug_check).into())
    })
}

/// A socket, in place of one that nobody listens at any more.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The bug check that ended the kernel.
#[derive(Default)]
struct Dead(Mutex<Option<Box<BugCheck>>>);

impl Dead {
    fn lock(&self) -> MutexGuard<'_, Option<Box<BugCheck>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a bug check.
    fn note(&self, error: &TransportError) {
        if let TransportError::BugCheck(bug_check) = error {
            *self.lock() = Some(bug_check.clone());
        }
    }
}

fn accept_all(
    transport: &dyn Transport,
    listener: &UnixListener,
    interrupt: &Interrupt,
    dead: &Dead,
) -> io::Result<()> {
    let host = transport.host();
    let mut streams: Vec<UnixStream> = Vec::new();
    thread::scope(|scope| {
        let ended = loop {
            if interrupt.is_requested() || dead.lock().is_some() {
                break Ok(());
            }
            match listener.accept() {
                Ok((stream, _)) => {
                    // Those that have gone are forgotten.
                    streams.retain(|stream| stream.peer_addr().is_ok());
                    streams.extend(stream.try_clone());
                    let handle = transport.open();
                    scope.spawn(move || Attendant { stream, dead }.attend(host, handle));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => interrupt.sleep(PAUSE),
                Err(error) => break Err(error),
            }
        };
        for stream in &streams {
            // One that has gone cannot be shut down, and need not be.
            let _ = stream.shutdown(Shutdown::Both);
        }
        ended
    })
}

/// Attends to one connection.
struct Attendant<'a> {
    stream: UnixStream,
    dead: &'a Dead,
}

impl Attendant<'_> {
    /// Greets, answers requests until the other side hangs up, and closes the handle.
    fn attend(mut self, host: &HostDescription, handle: Result<Box<dyn Handle>, TransportError>) {
        let (greeting, handle) = match handle {
            // Text, numbers and lists, which serialise.
            Ok(handle) => (Ok(serde_json::to_vec(host).unwrap_or_default()), Ok(handle)),
            Err(error) => (Err(error), Err(())),
        };
        let greeted = self.reply(greeting);
        let Ok(handle) = handle else {
            return;
        };
        if greeted.is_ok() {
            // A tool that is gone, or does not keep to the protocol, gets no more answers.
            let _ = self.answer_all(&*handle);
        }
        if let Err(error) = handle.close() {
            self.dead.note(&error);
        }
    }

    fn answer_all(&mut self, handle: &dyn Handle) -> io::Result<()> {
        while let Some(request) = Packet::read(&mut self.stream)? {
            if request.value > MOST_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut output = vec![0; request.value as usize];
            let answer = handle.ioctl(request.kind, &request.bytes, &mut output);
            self.reply(answer.map(|written| {
                output.truncate(written);
                output
            }))?;
        }
        Ok(())
    }

    fn reply(&mut self, result: Result<Vec<u8>, TransportError>) -> io::Result<()> {
        if let Err(error) = &result {
            self.dead.note(error);
        }
        Packet::reply(result).write(&mut self.stream)
    }
}
