//! A case as bytes: what libFuzzer changes, and what the seeds are written in.
//!
//! A step is a byte that says what is done and to which handle, and, for a request, an index into the
//! protocol's codes (or a byte beyond them and a code), the room for output, the number of bytes of
//! input, and those. Any bytes are a case; a step that is cut short has zeros where bytes are missing.

use arbitrary::Unstructured;
use syncstress_protocol::ioctl;

use crate::requests::Request;

/// The most bytes of a case.
pub const LONGEST: usize = 2048;
/// How many handles there are.
pub const HANDLES: usize = 3;
/// More steps than that are not taken: a case is to be a short one.
const MOST_STEPS: usize = 24;
/// The most bytes of room for output, which is more than the longest list needs.
const MOST_ROOM: u16 = 0xC000;

/// One thing that is done.
#[derive(Debug)]
pub enum Step {
    /// A request is sent to a handle.
    Send(usize, Request),
    /// A handle is closed, and another one opened in its place.
    Close(usize),
    /// Nothing, for a moment: runs go on.
    Wait,
}

/// The steps that these bytes mean.
pub fn read(bytes: &[u8]) -> Vec<Step> {
    let mut bytes = Unstructured::new(bytes);
    let mut steps = Vec::new();
    while !bytes.is_empty() && steps.len() < MOST_STEPS {
        steps.extend(step(&mut bytes));
    }
    steps
}

fn step(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Step> {
    let what: u8 = bytes.arbitrary()?;
    let handle = usize::from(what >> 4) % HANDLES;
    Ok(match what & 0xF {
        0 => Step::Close(handle),
        1 => Step::Wait,
        _ => Step::Send(handle, request(bytes)?),
    })
}

fn request(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Request> {
    let index: u8 = bytes.arbitrary()?;
    let code = match ioctl::ALL.get(usize::from(index)) {
        Some(code) => *code,
        None => bytes.arbitrary()?,
    };
    let room: u16 = bytes.arbitrary()?;
    let length: u16 = bytes.arbitrary()?;
    let length = usize::from(length).min(bytes.len());
    Ok(Request {
        code,
        input: bytes.bytes(length)?.to_vec(),
        room: room.min(MOST_ROOM).into(),
    })
}

/// A request to a handle, as [`read`] reads it.
pub fn write(handle: usize, request: &Request) -> Vec<u8> {
    let what = u8::try_from(handle << 4 | 2).unwrap_or(2);
    let mut bytes = vec![what];
    let known = ioctl::ALL.iter().position(|code| *code == request.code);
    if let Some(index) = known.and_then(|index| u8::try_from(index).ok()) {
        bytes.push(index);
    } else {
        bytes.push(u8::MAX);
        bytes.extend(request.code.to_le_bytes());
    }
    for number in [request.room, request.input.len()] {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(&request.input);
    bytes
}
