//! The driver of an outsider, `tests/wdm/noticeboard`: a WDM driver on wdk-sync, in nthost with the
//! verifier on.
#![cfg(not(windows))]

#[path = "../wdm/noticeboard/src/interface.rs"]
mod interface;

use std::{
    env,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use interface::{AWAIT, COUNT, Counts, Notice, POST, READ, Wait};
use nthost::{
    File, Kernel, Stop,
    ntddk::{NTSTATUS, STATUS_CANCELLED},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const STATUS_INFO_LENGTH_MISMATCH: NTSTATUS = 0xC000_0004_u32.cast_signed();
const STATUS_INVALID_DEVICE_REQUEST: NTSTATUS = 0xC000_0010_u32.cast_signed();
const STATUS_BUFFER_TOO_SMALL: NTSTATUS = 0xC000_0023_u32.cast_signed();
const STATUS_QUOTA_EXCEEDED: NTSTATUS = 0xC000_0044_u32.cast_signed();
const STATUS_IO_TIMEOUT: NTSTATUS = 0xC000_00B5_u32.cast_signed();
const STATUS_NOT_FOUND: NTSTATUS = 0xC000_0225_u32.cast_signed();

/// The device.
const NAME: &str = r"\\.\Noticeboard";

/// Long enough that no test gets there unless something is wrong.
const LONG: u32 = 60_000;

/// An open board.
struct Board(File);

impl Board {
    fn open() -> Self {
        Self(Kernel::get().open(NAME).expect("the device opens"))
    }

    fn call<I, O>(&self, code: u32, input: &I) -> Result<O, NTSTATUS>
    where
        I: IntoBytes + Immutable + ?Sized,
        O: FromBytes + IntoBytes,
    {
        let mut output = O::new_zeroed();
        match self.0.ioctl(code, input.as_bytes(), output.as_mut_bytes()) {
            Ok(length) => {
                assert_eq!(length, size_of::<O>());
                Ok(output)
            }
            Err(Stop::Status(status)) => Err(status),
            Err(stop) => panic!("{stop}"),
        }
    }

    fn post(&self, topic: u32, lifetime: u32) -> Result<(), NTSTATUS> {
        self.call(POST, &notice(topic, lifetime))
    }

    fn read(&self, topic: u32) -> Result<Notice, NTSTATUS> {
        self.call(READ, &topic)
    }

    fn wait(&self, topic: u32, patience: u32) -> Result<Notice, NTSTATUS> {
        self.call(AWAIT, &Wait { topic, patience })
    }

    fn counts(&self) -> Counts {
        self.call(COUNT, &[0_u8; 0]).expect("it counts")
    }

    /// Waits until the counts are as they should be.
    fn until(&self, what: &str, is_so: impl Fn(Counts) -> bool) {
        let start = Instant::now();
        while !is_so(self.counts()) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "not in 20 s: {what}; {:?}",
                self.counts()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn notice(topic: u32, lifetime: u32) -> Notice {
    let mut text = [b'.'; 24];
    text[..4].copy_from_slice(&topic.to_le_bytes());
    Notice {
        topic,
        lifetime,
        text,
    }
}

/// Runs a test with the driver loaded; afterwards, nothing of it may be left. One at a time: the
/// kernel belongs to the process.
fn with_driver(test: impl FnOnce()) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let kernel = Kernel::get();
    assert!(kernel.config().verifier);
    let before = kernel.leaks();
    let image = env::var_os("NOTICEBOARD_SYS").expect("NOTICEBOARD_SYS");
    let driver = kernel.load(image).expect("it loads");
    assert_eq!(driver.missing_imports(), [""; 0]);
    test();
    driver.unload().expect("it unloads");
    assert_eq!(kernel.leaks(), before);
}

/// Defines tests that run with the driver loaded.
macro_rules! with_driver {
    ($(fn $name:ident() $body:block)*) => {
        $(#[test]
        #[cfg_attr(not(driver_images), ignore = "needs the driver's images: cargo xtask test")]
        fn $name() {
            with_driver(|| $body);
        })*
    };
}

with_driver! {
    fn a_notice_is_read_until_it_expires() {
        let board = Board::open();
        assert_eq!(board.read(1), Err(STATUS_NOT_FOUND));
        board.post(1, LONG).expect("there is room");
        board.post(2, 20).expect("there is room");
        assert_eq!(board.read(1), Ok(notice(1, LONG)));
        board.until("the timer has the second one taken down", |counts| counts.expired == 1);
        assert_eq!(board.read(2), Err(STATUS_NOT_FOUND));
        assert_eq!(board.counts(), Counts { up: 1, waiting: 0, expired: 1 });
    }

    fn who_waits_gets_the_next_notice_of_the_topic() {
        let board = Board::open();
        thread::scope(|scope| {
            let wait = |topic| move || Board::open().wait(topic, LONG);
            let readers: Vec<_> = (0..9).map(|index| scope.spawn(wait(index % 3))).collect();
            board.until("nine wait", |counts| counts.waiting == 9);
            for topic in [2, 0] {
                board.post(topic, LONG).expect("there is room");
            }
            board.until("six are answered", |counts| counts.waiting == 3);
            board.post(1, LONG).expect("there is room");
            for (topic, reader) in (0..3).cycle().zip(readers) {
                assert_eq!(reader.join().expect("no panic"), Ok(notice(topic, LONG)));
            }
        });
    }

    fn who_waits_in_vain_is_told_by_the_timer() {
        let board = Board::open();
        let start = Instant::now();
        assert_eq!(board.wait(1, 50), Err(STATUS_IO_TIMEOUT));
        assert!(start.elapsed() >= Duration::from_millis(40), "{:?}", start.elapsed());
    }

    fn cancelling_and_closing_end_the_waiting_of_one_file_alone() {
        let (board, other) = (Board::open(), Board::open());
        thread::scope(|scope| {
            for end in [File::cancel, File::close] {
                let waiting = [&board, &board, &other].map(|board| {
                    scope.spawn(move || board.wait(1, LONG))
                });
                other.until("three wait", |counts| counts.waiting == 3);
                end(&board.0).expect("the kernel is well");
                other.until("one waits", |counts| counts.waiting == 1);
                other.post(1, LONG).expect("there is room");
                let ends = waiting.map(|waiting| waiting.join().expect("no panic"));
                assert_eq!(
                    ends,
                    [Err(STATUS_CANCELLED), Err(STATUS_CANCELLED), Ok(notice(1, LONG))]
                );
            }
        });
    }

    fn what_is_full_says_so() {
        let board = Board::open();
        for topic in 0..32 {
            board.post(topic, LONG).expect("there is room");
        }
        assert_eq!(board.post(32, LONG), Err(STATUS_QUOTA_EXCEEDED));
        board.post(7, LONG).expect("it takes the place of its topic");

        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| board.wait(1000, LONG));
            }
            board.until("all wait", |counts| counts.waiting == 64);
            assert_eq!(board.wait(1000, LONG), Err(STATUS_QUOTA_EXCEEDED));
            board.0.cancel().expect("the kernel is well");
        });
    }

    fn what_is_no_request_is_refused() {
        let board = Board::open();
        assert_eq!(board.call::<_, ()>(POST, &1_u32), Err(STATUS_INFO_LENGTH_MISMATCH));
        assert_eq!(board.call::<_, ()>(AWAIT, &[0_u8; 0]), Err(STATUS_INFO_LENGTH_MISMATCH));
        assert_eq!(board.call::<_, u32>(COUNT, &0_u32), Err(STATUS_BUFFER_TOO_SMALL));
        assert_eq!(board.call::<_, ()>(POST + 0x100, &0_u32), Err(STATUS_INVALID_DEVICE_REQUEST));
        // One that waits finds out at the end that there is no place for the answer.
        thread::scope(|scope| {
            let wait = Wait { topic: 1, patience: LONG };
            let reader = scope.spawn(move || Board::open().call::<_, u8>(AWAIT, &wait));
            board.until("one waits", |counts| counts.waiting == 1);
            board.post(1, LONG).expect("there is room");
            assert_eq!(reader.join().expect("no panic"), Err(STATUS_BUFFER_TOO_SMALL));
        });
    }

    fn many_threads_at_once() {
        let end = Instant::now() + Duration::from_secs(1);
        thread::scope(|scope| {
            for seed in 0..8_u32 {
                scope.spawn(move || {
                    let mut board = Board::open();
                    for round in 0_u32.. {
                        if Instant::now() > end {
                            break;
                        }
                        let topic = (seed + round) % 5;
                        match (seed * 7 + round) % 4 {
                            0 => board.post(topic, round % 30).expect("there is room"),
                            1 => match board.read(topic) {
                                Ok(found) => assert_eq!(found.topic, topic),
                                Err(status) => assert_eq!(status, STATUS_NOT_FOUND),
                            },
                            2 => match board.wait(topic, round % 25) {
                                Ok(found) => assert_eq!(found.topic, topic),
                                Err(status) => assert_eq!(status, STATUS_IO_TIMEOUT),
                            },
                            _ => {
 cancel_from_aside(&board, topic);
 board = Board::open();
 }
                        }
                    }
                });
            }
        });
    }
}

/// Waits on a file that another thread cancels or closes at about the same time.
fn cancel_from_aside(board: &Board, topic: u32) {
    thread::scope(|scope| {
        let waiting = scope.spawn(|| board.wait(topic, 15));
        let end = [File::close, File::cancel][topic as usize % 2];
        end(&board.0).expect("the kernel is well");
        match waiting.join().expect("no panic") {
            Ok(found) => assert_eq!(found.topic, topic),
            Err(status) => assert_ne!(status, STATUS_NOT_FOUND),
        }
    });
}
