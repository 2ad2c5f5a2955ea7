//! Sending the requests, from one thread or from many at once.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    thread,
};

use nthost::{File, Kernel, Stop, ntddk};
use serde::Serialize;

use crate::arguments::{Request, Run};

/// What became of a request. All numbers but `information` are hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Answer {
    code: String,
    status: String,
    status_name: Option<&'static str>,
    /// How many bytes the driver says that it has written.
    information: usize,
    output: String,
    #[serde(skip)]
    failed: bool,
}

/// What became of all requests: each result, and how often there was one like it.
#[derive(Default)]
pub struct Answers(pub BTreeMap<(usize, Answer), u64>);

impl Answers {
    /// Whether the driver has refused one.
    pub fn has_failure(&self) -> bool {
        self.0.keys().any(|(_, answer)| answer.failed)
    }

    fn add(&mut self, key: (usize, Answer), times: u64) {
        *self.0.entry(key).or_default() += times;
    }

    fn merge(&mut self, other: Self) {
        for (key, times) in other.0 {
            self.add(key, times);
        }
    }
}

/// Sends the requests to the device that `name` leads to.
pub fn send(kernel: Kernel, run: &Run, name: &str) -> (Answers, Result<(), Stop>) {
    let mut answers = Answers::default();
    let mut result = Ok(());
    let turns: Vec<_> = (0..run.threads).map(|_| kernel.turn()).collect();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, turn) in (1..).zip(&turns) {
            let builder = thread::Builder::new().name(format!("request {number}"));
            threads.push(builder.spawn_scoped(scope, || {
                turn.begin();
                send_all(kernel, run, name)
            }));
        }
        kernel.wait_for(&turns);
        for thread in threads {
            let joined = thread.map(|thread| kernel.stand_by(|| thread.join()));
            let (part, end) = match joined {
                Ok(end) => end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(error) => (Answers::default(), Err(error.into())),
            };
            answers.merge(part);
            if result.is_ok() {
                result = end;
            }
        }
    });
    (answers, result)
}

/// What one thread does.
fn send_all(kernel: Kernel, run: &Run, name: &str) -> (Answers, Result<(), Stop>) {
    let mut answers = Answers::default();
    let send_all = |answers: &mut Answers| {
        let file = kernel.open(name)?;
        for _ in 0..run.repeat {
            for (index, request) in run.requests.iter().enumerate() {
                answers.add((index, send_one(&file, request)?), 1);
            }
        }
        file.close()
    };
    let result = send_all(&mut answers);
    (answers, result)
}

fn send_one(file: &File, request: &Request) -> Result<Answer, Stop> {
    let mut output = vec![0; request.size];
    let (status, information) = match file.ioctl(request.code, &request.input, &mut output) {
        Ok(length) => (0, length),
        Err(Stop::Status(status)) => (status, 0),
        Err(stop) => return Err(stop),
    };
    output.truncate(information);
    Ok(Answer {
        code: format!("0x{:08X}", request.code),
        status: format!("0x{status:08X}"),
        status_name: ntddk::status_name(status),
        information,
        output: hex(&output),
        failed: status < 0,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.status_name.unwrap_or("status"))?;
        if self.failed || self.status_name.is_none() {
            write!(f, " ({})", self.status)?;
        } else {
            write!(f, ", {} bytes", self.information)?;
        }
        if !self.output.is_empty() {
            write!(f, ": {}", self.output)?;
        }
        Ok(())
    }
}
