//! Requests by chance: good ones, good ones that something was done to, and bytes without meaning.

use std::sync::Arc;

use fastrand::Rng;
use syncstress_protocol::{
    HistogramRequest, ItemDescriptor, ListReply, ListRequest, PageRequest, ParameterDescriptor,
    ParameterValue, RunReference, StartRequest, ioctl,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// What the driver says that it can run, asked for once.
pub struct Catalog(pub Vec<(ItemDescriptor, Vec<ParameterDescriptor>)>);

impl Catalog {
    /// Asks the driver.
    pub fn ask(file: &nthost::File) -> Arc<Self> {
        let mut output = vec![0; 1 << 20];
        let mut list = |code, item| {
            let request = ListRequest { item, first: 0 };
            let written = file.ioctl(code, request.as_bytes(), &mut output);
            output[..written.expect("a list")].to_vec()
        };
        let items = list(ioctl::LIST_ITEMS, 0);
        let items: Vec<ItemDescriptor> = entries(&items);
        let with_parameters = |item: ItemDescriptor| {
            let parameters = entries(&list(ioctl::LIST_PARAMETERS, item.id));
            (item, parameters)
        };
        Arc::new(Self(items.into_iter().map(with_parameters).collect()))
    }

    /// The parameters of an item.
    pub fn parameters(&self, id: u32) -> Option<&[ParameterDescriptor]> {
        let found = self.0.iter().find(|(item, _)| item.id == id);
        found.map(|(_, parameters)| &parameters[..])
    }
}

fn entries<T: zerocopy::FromBytes + zerocopy::KnownLayout + zerocopy::Immutable>(
    list: &[u8],
) -> Vec<T> {
    let (reply, rest) = ListReply::read_from_prefix(list).expect("a reply");
    assert_eq!(reply.returned, reply.total, "all of it fits");
    let entries = rest.chunks_exact(size_of::<T>());
    let entries = entries.map(|entry| T::read_from_bytes(entry).expect("an entry"));
    entries.collect()
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub code: u32,
    pub input: Vec<u8>,
    /// Bytes of room for output.
    pub room: usize,
}

/// A request: one in two is a good one, as far as that can be told beforehand.
pub fn by_chance(random: &mut Rng, catalog: &Catalog, runs: &[u64]) -> Request {
    let code = ioctl::ALL[random.usize(..ioctl::ALL.len())];
    let mut request = Request {
        code,
        input: good_input(random, catalog, runs, code),
        room: room(random),
    };
    match random.u8(..12) {
        0 => request.input.truncate(random.usize(..=request.input.len())),
        1 => request.input.extend(garbage(random, 40)),
        2 => flip(random, &mut request.input),
        3 => request.input = garbage(random, 300),
        4 => request.code = odd_code(random),
        5 => request.room = random.usize(..64),
        _ => {}
    }
    request
}

/// Mostly room enough for everything but the longest lists.
fn room(random: &mut Rng) -> usize {
    match random.u16(..1000) {
        0 => 1 << 20,
        1..300 => random.usize(..600),
        _ => 4096,
    }
}

fn good_input(random: &mut Rng, catalog: &Catalog, runs: &[u64], code: u32) -> Vec<u8> {
    let run = random
        .choice(runs)
        .copied()
        .unwrap_or_else(|| random.u64(..64));
    let first = if random.bool() { 0 } else { random.u32(..40) };
    match code {
        ioctl::QUERY_VERSION | ioctl::QUERY_LOCK_WATCH => Vec::new(),
        ioctl::START => start(random, catalog),
        ioctl::PROGRESS | ioctl::STOP | ioctl::COLLECT | ioctl::QUERY_HELD => {
            RunReference { run }.as_bytes().to_vec()
        }
        ioctl::WORKERS | ioctl::METRICS => {
            let reserved = u32::from(random.u8(..16) == 0);
            let request = PageRequest {
                run,
                first,
                reserved,
            };
            request.as_bytes().to_vec()
        }
        ioctl::HISTOGRAM => {
            let request = HistogramRequest {
                run,
                worker: random.u32(..6),
                kind: random.u32(..5),
                first: if random.bool() { 0 } else { random.u32(..1000) },
                reserved: 0,
            };
            request.as_bytes().to_vec()
        }
        ioctl::LIST_PARAMETERS => {
            let item = random.choice(&catalog.0).map_or(0, |(item, _)| item.id);
            ListRequest { item, first }.as_bytes().to_vec()
        }
        _ => {
            let item = u32::from(random.u8(..16) == 0);
            ListRequest { item, first }.as_bytes().to_vec()
        }
    }
}

/// A run with a few of its parameters, so small that thousands of them fit into a campaign.
fn start(random: &mut Rng, catalog: &Catalog) -> Vec<u8> {
    let Some((item, parameters)) = random.choice(&catalog.0) else {
        return Vec::new();
    };
    let value = |parameter: &ParameterDescriptor, wanted: u64| ParameterValue {
        id: parameter.id,
        reserved: 0,
        value: wanted.clamp(parameter.minimum, parameter.maximum),
    };
    let mut values = Vec::new();
    for parameter in parameters {
        let value = match parameter.name.as_str() {
            "seconds" | "milliseconds" => value(parameter, 1),
            "threads" | "readers" => value(parameter, random.u64(..4)),
            "limit" => value(parameter, 1 + random.u64(..100)),
            "timers" => value(parameter, 1 + random.u64(..8)),
            _ if random.u8(..8) != 0 => continue,
            _ => value(parameter, any_number(random)),
        };
        values.push(value);
    }
    random.shuffle(&mut values);
    let request = StartRequest {
        item: item.id,
        parameters: u32::try_from(values.len()).expect("few"),
    };
    [request.as_bytes(), values.as_bytes()].concat()
}

/// Numbers of every size, and those near to what ranges end at.
fn any_number(random: &mut Rng) -> u64 {
    match random.u8(..4) {
        0 => 0,
        1 => u64::MAX,
        2 => random.u64(..=10),
        _ => random.u64(..) >> random.u32(..64),
    }
}

fn garbage(random: &mut Rng, most: usize) -> Vec<u8> {
    let largest = if random.bool() { 7 } else { u8::MAX };
    let count = random.usize(..=most);
    (0..count).map(|_| random.u8(..=largest)).collect()
}

fn flip(random: &mut Rng, bytes: &mut [u8]) {
    for _ in 0..=random.u8(..3) {
        if !bytes.is_empty() {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
        }
    }
}

/// A code near to one of the protocol: another method, other access, the next function; or any.
fn odd_code(random: &mut Rng) -> u32 {
    let code = ioctl::ALL[random.usize(..ioctl::ALL.len())];
    match random.u8(..4) {
        0 => code | 3,
        1 => code & !0xC000,
        2 => code.wrapping_add(4 * random.u32(..32)),
        _ => random.u32(..),
    }
}
