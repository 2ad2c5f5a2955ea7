//! What `wdk-sync` finds out of the driver's own locks, on the wire. Without its features there is
//! nothing to tell, and the answer says so.

#[cfg(feature = "lockdep")]
mod order;
#[cfg(any(feature = "lockdep", feature = "lock_stat"))]
mod record;
#[cfg(feature = "lock_stat")]
mod statistics;

#[cfg(feature = "lockdep")]
pub use order::{list_holders, list_orders, list_report_links, list_reports};
#[cfg(any(feature = "lockdep", feature = "lock_stat"))]
pub use record::list_classes;
#[cfg(feature = "lock_stat")]
pub use statistics::list_statistics;
use syncstress_protocol::LockWatch;
use wdk_sync::Status;
use zerocopy::FromZeros;

use crate::{dispatch::answer, message::Message};

/// Tells what is watched.
pub fn watch(message: Message<'_>) -> Result<usize, Status> {
    message.no_input()?;
    #[cfg_attr(
        not(any(feature = "lockdep", feature = "lock_stat")),
        expect(unused_mut, reason = "nothing is watched")
    )]
    let mut watch = LockWatch::new_zeroed();
    #[cfg(feature = "lockdep")]
    order::tell(&mut watch);
    #[cfg(feature = "lock_stat")]
    statistics::tell(&mut watch);
    answer(message, &watch)
}

/// The lists of features that the driver was built without.
macro_rules! not_supported {
    ($($condition:meta => $($name:ident)*;)*) => {
        $($(
            /// Refuses: the driver was built without.
            #[cfg(not($condition))]
            pub const fn $name(_message: Message<'_>) -> Result<usize, Status> {
                Err(Status::NOT_SUPPORTED)
            }
        )*)*
    };
}

not_supported! {
    any(feature = "lockdep", feature = "lock_stat") => list_classes;
    feature = "lockdep" => list_holders list_orders list_reports list_report_links;
    feature = "lock_stat" => list_statistics;
}
