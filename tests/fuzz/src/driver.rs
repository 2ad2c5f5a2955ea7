//! The driver without its device: the engine and its sessions, as the KMDF shell has them.

use std::{sync::OnceLock, thread::sleep, time::Duration};

use nthost::{Kernel, Leaks};
use syncstress_protocol::{ItemDescriptor, ListReply, ListRequest, ioctl};
use syncstress_stress::{Device, Engine, Session};
use wdk_sync::{Irql, Passive, Status};
use zerocopy::{FromBytes, Immutable, IntoBytes as _, KnownLayout};

use crate::{
    case::{HANDLES, Step},
    oracle::{self, FILL, Runs},
    reached,
    requests::{Catalog, Request},
};

/// A handle, and what is known of its runs.
struct Handle {
    session: Session,
    runs: Runs,
}

impl Handle {
    fn open(engine: &Engine) -> Self {
        // SAFETY: nthost takes null for no device.
        let device = unsafe { Device::new(std::ptr::null_mut()) };
        Self {
            session: engine.open(device).expect("there is memory"),
            runs: Runs::default(),
        }
    }

    fn close(self, irql: &mut Irql<'_, Passive>) {
        self.session.close(irql);
        self.runs.settle();
    }

    /// Sends a request, as `METHOD_BUFFERED` does: input and output share a buffer.
    fn send(
        &self,
        irql: &mut Irql<'_, Passive>,
        request: &Request,
    ) -> (Result<usize, Status>, Vec<u8>) {
        let Request { code, input, room } = request;
        let mut buffer = vec![FILL; input.len().max(*room)];
        buffer[..input.len()].copy_from_slice(input);
        let answer = self
            .session
            .dispatch(irql, *code, &mut buffer, input.len(), *room);
        let mut output = vec![FILL; *room];
        if let Ok(written) = answer {
            output[..written].copy_from_slice(&buffer[..written]);
        }
        (answer, output)
    }
}

/// Loads the driver, takes the steps, unloads it.
///
/// # Panics
/// If an answer is wrong, or anything is left behind.
pub fn carry_out(irql: &mut Irql<'_, Passive>, steps: &[Step]) {
    let catalog = catalog(irql);
    let before = left_behind();
    let engine = Engine::new([0, 1, 0]).expect("there is memory");
    let mut handles: [Handle; HANDLES] = std::array::from_fn(|_| Handle::open(&engine));
    for step in steps {
        match step {
            Step::Send(index, request) => ask(irql, &handles[*index], request, catalog),
            Step::Close(index) => {
                let old = std::mem::replace(&mut handles[*index], Handle::open(&engine));
                old.close(irql);
            }
            Step::Wait => sleep(Duration::from_millis(1)),
        }
    }
    for handle in handles {
        handle.close(irql);
    }
    drop(engine);
    let after = left_behind();
    assert_eq!(after, before, "left behind: {after}");
}

fn left_behind() -> Leaks {
    Kernel::get().leaks()
}

fn ask(irql: &mut Irql<'_, Passive>, handle: &Handle, request: &Request, catalog: &Catalog) {
    let (answer, output) = handle.send(irql, request);
    let answer = answer.map_err(Status::into_raw);
    reached::answered(request, answer);
    if let Err(what) = oracle::check(request, answer, &output, catalog, &handle.runs) {
        panic!("{request:?}, {answer:X?}: {what}");
    }
    if let Err(status) = answer {
        let is_start = request.code == ioctl::START;
        assert!(
            !is_start || !oracle::may_start(&request.input, catalog) || may_refuse(request, status),
            "a good request is refused with {status:X}: {request:?}"
        );
    }
}

/// Whether a start whose parameters are right may be refused like this: there is one already, there
/// are too many, or there is no room for the answer.
fn may_refuse(request: &Request, status: i32) -> bool {
    let busy = [Status::DEVICE_BUSY, Status::QUOTA_EXCEEDED];
    let small = status == Status::BUFFER_TOO_SMALL.into_raw();
    busy.map(Status::into_raw).contains(&status) || small && request.room < 8
}

/// What the driver says that it can run, asked of one that is loaded for it, once.
pub fn catalog(irql: &mut Irql<'_, Passive>) -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let engine = Engine::new([0, 1, 0]).expect("there is memory");
        let handle = Handle::open(&engine);
        let items: Vec<ItemDescriptor> = list(irql, &handle, ioctl::LIST_ITEMS, 0);
        let with_parameters = |item: ItemDescriptor| {
            let parameters = list(irql, &handle, ioctl::LIST_PARAMETERS, item.id);
            (item, parameters)
        };
        let entries = items.into_iter().map(with_parameters).collect();
        handle.close(irql);
        Catalog(entries)
    })
}

fn list<T: FromBytes + Immutable + KnownLayout>(
    irql: &mut Irql<'_, Passive>,
    handle: &Handle,
    code: u32,
    item: u32,
) -> Vec<T> {
    let request = Request {
        code,
        input: ListRequest { item, first: 0 }.as_bytes().to_vec(),
        room: 1 << 20,
    };
    let (answer, output) = handle.send(irql, &request);
    let output = &output[..answer.expect("a list")];
    let (_, rest) = ListReply::read_from_prefix(output).expect("a reply");
    let entries = rest.chunks_exact(size_of::<T>());
    entries
        .map(|entry| T::read_from_bytes(entry).expect("an entry"))
        .collect()
}
