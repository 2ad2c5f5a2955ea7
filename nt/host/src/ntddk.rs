//! The kernel as a driver sees it: the types of `nt-abi` and the functions of this kernel, under the
//! names that `wdk_sys` and `wdk_sys::ntddk` use.
//!
//! The functions ask of their caller what the DDI page of the same name asks; what they check is
//! answered with a bug check.

pub use nt_abi::*;

pub use crate::{
    cm::ddk::*,
    ex::{
        callback::ddk::*, exception::ddk::*, fast_mutex::ddk::*, interlocked::ddk::*,
        lookaside::ddk::*, pool::ddk::*, push_lock::ddk::*, resource::ddk::*, rundown::ddk::*,
        shared_spinlock::ddk::*, slist::ddk::*, timer::ddk::*, work::ddk::*,
    },
    io::ddk::*,
    ke::{
        alert::ddk::*, apc::ddk::*, bugcheck::ddk::*, clock::ddk::*, dpc::ddk::*, event::ddk::*,
        interrupt::ddk::*, irql::ddk::*, mutex::ddk::*, processor::ddk::*, queued_spinlock::ddk::*,
        region::ddk::*, semaphore::ddk::*, spinlock::ddk::*, timer::ddk::*, wait::ddk::*,
    },
    mm::ddk::*,
    ob::ddk::*,
    ps::{PsThreadType, thread::ddk::*},
    rtl::ddk::*,
};
