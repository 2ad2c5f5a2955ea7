//! Framework handles: opaque values, never addresses.

/// Any framework handle. A client only stores and passes it; what it stands for is looked up in the
/// handle table, so a stale or invented value is found out rather than followed.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WDFOBJECT(pub usize);

impl WDFOBJECT {
    /// The null handle.
    pub const NULL: Self = Self(0);
}

pub type WDFDRIVER = WDFOBJECT;
pub type WDFDEVICE = WDFOBJECT;
pub type WDFQUEUE = WDFOBJECT;
pub type WDFREQUEST = WDFOBJECT;
pub type WDFFILEOBJECT = WDFOBJECT;
pub type WDFIOTARGET = WDFOBJECT;
pub type WDFMEMORY = WDFOBJECT;
pub type WDFLOOKASIDE = WDFOBJECT;
pub type WDFSPINLOCK = WDFOBJECT;
pub type WDFWAITLOCK = WDFOBJECT;
pub type WDFTIMER = WDFOBJECT;
pub type WDFDPC = WDFOBJECT;
pub type WDFWORKITEM = WDFOBJECT;
pub type WDFSTRING = WDFOBJECT;
pub type WDFCOLLECTION = WDFOBJECT;
pub type WDFINTERRUPT = WDFOBJECT;
pub type WDFKEY = WDFOBJECT;
pub type WDFCMRESLIST = WDFOBJECT;
pub type WDFCONTEXT = *mut core::ffi::c_void;
