//! Queues, requests and memory.

use super::{WDFCONTEXT, WDFDRIVER, WDFIOTARGET, WDFQUEUE, WDFREQUEST};
use nt_abi::{BOOLEAN, IO_STATUS_BLOCK, IRP, NTSTATUS, PVOID, UCHAR, ULONG, USHORT};

pub type PFN_WDF_IO_QUEUE_IO_REQUEST = Option<unsafe extern "win64" fn(WDFQUEUE, WDFREQUEST)>;
pub type PFN_WDF_IO_QUEUE_IO_STOP = Option<unsafe extern "win64" fn(WDFQUEUE, WDFREQUEST, ULONG)>;
pub type PFN_WDF_IO_QUEUE_IO_TRANSFER =
    Option<unsafe extern "win64" fn(WDFQUEUE, WDFREQUEST, Length: usize)>;
pub type PFN_WDF_IO_QUEUE_IO_CONTROL = Option<
    unsafe extern "win64" fn(
        WDFQUEUE,
        WDFREQUEST,
        OutputBufferLength: usize,
        InputBufferLength: usize,
        IoControlCode: ULONG,
    ),
>;
pub type PFN_WDF_IO_QUEUE_STATE = Option<unsafe extern "win64" fn(WDFQUEUE, WDFCONTEXT)>;
pub type PFN_WDF_REQUEST_CANCEL = Option<unsafe extern "win64" fn(WDFREQUEST)>;

/// `WDF_IO_QUEUE_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_IO_QUEUE_CONFIG {
    pub Size: ULONG,
    pub DispatchType: i32,
    pub PowerManaged: i32,
    pub AllowZeroLengthRequests: BOOLEAN,
    pub DefaultQueue: BOOLEAN,
    pub EvtIoDefault: PFN_WDF_IO_QUEUE_IO_REQUEST,
    pub EvtIoRead: PFN_WDF_IO_QUEUE_IO_TRANSFER,
    pub EvtIoWrite: PFN_WDF_IO_QUEUE_IO_TRANSFER,
    pub EvtIoDeviceControl: PFN_WDF_IO_QUEUE_IO_CONTROL,
    pub EvtIoInternalDeviceControl: PFN_WDF_IO_QUEUE_IO_CONTROL,
    pub EvtIoStop: PFN_WDF_IO_QUEUE_IO_STOP,
    pub EvtIoResume: PFN_WDF_IO_QUEUE_IO_REQUEST,
    pub EvtIoCanceledOnQueue: PFN_WDF_IO_QUEUE_IO_REQUEST,
    /// `Settings.Parallel.NumberOfPresentedRequests`.
    pub NumberOfPresentedRequests: ULONG,
    pub Driver: WDFDRIVER,
}
layout!(
    WDF_IO_QUEUE_CONFIG, 0x60, DispatchType: 4, PowerManaged: 8, AllowZeroLengthRequests: 0xC,
    DefaultQueue: 0xD, EvtIoDefault: 0x10, EvtIoDeviceControl: 0x28, EvtIoStop: 0x38,
    EvtIoCanceledOnQueue: 0x48, NumberOfPresentedRequests: 0x50, Driver: 0x58,
);

/// `WDF_IO_QUEUE_DISPATCH_TYPE`.
pub const WdfIoQueueDispatchSequential: i32 = 1;
pub const WdfIoQueueDispatchParallel: i32 = 2;
pub const WdfIoQueueDispatchManual: i32 = 3;

/// `WDF_IO_QUEUE_STATE`.
pub const WdfIoQueueAcceptRequests: i32 = 0x01;
pub const WdfIoQueueDispatchRequests: i32 = 0x02;
pub const WdfIoQueueNoRequests: i32 = 0x04;
pub const WdfIoQueueDriverNoRequests: i32 = 0x08;
pub const WdfIoQueuePnpHeld: i32 = 0x10;

/// `WDF_REQUEST_STOP_ACTION_FLAGS`.
pub const WdfRequestStopActionPurge: ULONG = 0x2;
pub const WdfRequestStopRequestCancelable: ULONG = 0x1000_0000;

/// `WDF_REQUEST_PARAMETERS`, its union kept as four pointer-sized words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_REQUEST_PARAMETERS {
    pub Size: USHORT,
    pub MinorFunction: UCHAR,
    pub Type: i32,
    /// `Create`: security context, options, attributes and share access, EA length. `Read` and
    /// `Write`: length, key, device offset. `DeviceIoControl`: output length, input length, code,
    /// type 3 buffer.
    pub Parameters: [usize; 4],
}
layout!(WDF_REQUEST_PARAMETERS, 0x28, MinorFunction: 2, Type: 4, Parameters: 8);

/// `WDF_REQUEST_FATAL_ERROR_INFORMATION_LENGTH_MISMATCH_DATA`.
#[repr(C)]
pub struct InformationLengthMismatch {
    pub Request: WDFREQUEST,
    pub Irp: PVOID,
    pub OutputBufferLength: ULONG,
    pub Information: u64,
    pub MajorFunction: UCHAR,
}
layout!(InformationLengthMismatch, 0x28, OutputBufferLength: 0x10, Information: 0x18);

pub type PFN_WDF_REQUEST_COMPLETION_ROUTINE = Option<
    unsafe extern "win64" fn(
        WDFREQUEST,
        WDFIOTARGET,
        *mut WDF_REQUEST_COMPLETION_PARAMS,
        WDFCONTEXT,
    ),
>;

/// `WDF_REQUEST_COMPLETION_PARAMS`, its union kept as words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_REQUEST_COMPLETION_PARAMS {
    pub Size: ULONG,
    pub Type: i32,
    pub IoStatus: IO_STATUS_BLOCK,
    pub Parameters: [usize; 6],
}
layout!(WDF_REQUEST_COMPLETION_PARAMS, 0x48, Type: 4, IoStatus: 8, Parameters: 0x18);

/// `WDF_REQUEST_SEND_OPTIONS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_REQUEST_SEND_OPTIONS {
    pub Size: ULONG,
    pub Flags: ULONG,
    /// 100 ns, negative for relative.
    pub Timeout: i64,
}
layout!(WDF_REQUEST_SEND_OPTIONS, 0x10, Flags: 4, Timeout: 8);

/// `WDF_REQUEST_SEND_OPTIONS_FLAGS`.
#[derive(Debug)]
pub struct SendFlags;

impl SendFlags {
    pub const TIMEOUT: ULONG = 0x1;
    pub const SYNCHRONOUS: ULONG = 0x2;
    pub const IGNORE_TARGET_STATE: ULONG = 0x4;
    pub const SEND_AND_FORGET: ULONG = 0x8;
}

/// `WDF_REQUEST_REUSE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_REQUEST_REUSE_PARAMS {
    pub Size: ULONG,
    pub Flags: ULONG,
    pub Status: NTSTATUS,
    pub NewIrp: *mut IRP,
}
layout!(WDF_REQUEST_REUSE_PARAMS, 0x18, Status: 8, NewIrp: 0x10);

/// `WDF_REQUEST_REUSE_FLAGS`.
pub const WDF_REQUEST_REUSE_SET_NEW_IRP: ULONG = 1;

/// `WDF_MEMORY_DESCRIPTOR`, its union kept as the two words that each member begins with: buffer and length,
/// MDL and length, memory and offset.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_MEMORY_DESCRIPTOR {
    pub Type: i32,
    pub First: PVOID,
    pub Second: usize,
}
layout!(WDF_MEMORY_DESCRIPTOR, 0x18, First: 8, Second: 0x10);

/// `WDF_MEMORY_DESCRIPTOR_TYPE`.
pub const WdfMemoryDescriptorTypeBuffer: i32 = 1;
pub const WdfMemoryDescriptorTypeMdl: i32 = 2;
pub const WdfMemoryDescriptorTypeHandle: i32 = 3;

/// `WDF_IO_TARGET_STATE`.
pub const WdfIoTargetStarted: i32 = 1;
pub const WdfIoTargetStopped: i32 = 2;
pub const WdfIoTargetClosedForQueryRemove: i32 = 3;
pub const WdfIoTargetClosed: i32 = 4;
pub const WdfIoTargetDeleted: i32 = 5;
pub const WdfIoTargetPurged: i32 = 6;

/// `WDF_IO_TARGET_SENT_IO_ACTION`; 2 is to wait without cancelling.
pub const WdfIoTargetCancelSentIo: i32 = 1;
pub const WdfIoTargetLeaveSentIoPending: i32 = 3;

/// `WDF_IO_TARGET_PURGE_IO_ACTION`; 1 is to wait as well.
pub const WdfIoTargetPurgeIo: i32 = 2;

/// `WDFMEMORY_OFFSET`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDFMEMORY_OFFSET {
    pub BufferOffset: usize,
    pub BufferLength: usize,
}
layout!(WDFMEMORY_OFFSET, 0x10);

/// `WDF_IO_TARGET_OPEN_TYPE`.
pub const WdfIoTargetOpenUseExistingDevice: i32 = 1;
pub const WdfIoTargetOpenByName: i32 = 2;
pub const WdfIoTargetOpenReopen: i32 = 3;

/// `WDF_IO_TARGET_OPEN_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_IO_TARGET_OPEN_PARAMS {
    pub Size: ULONG,
    pub Type: i32,
    pub EvtIoTargetQueryRemove: Option<unsafe extern "win64" fn(WDFIOTARGET) -> NTSTATUS>,
    pub EvtIoTargetRemoveCanceled: Option<unsafe extern "win64" fn(WDFIOTARGET)>,
    pub EvtIoTargetRemoveComplete: Option<unsafe extern "win64" fn(WDFIOTARGET)>,
    pub TargetDeviceObject: *mut nt_abi::DEVICE_OBJECT,
    pub TargetFileObject: *mut nt_abi::FILE_OBJECT,
    pub TargetDeviceName: nt_abi::UNICODE_STRING,
    pub DesiredAccess: ULONG,
    pub ShareAccess: ULONG,
    pub FileAttributes: ULONG,
    pub CreateDisposition: ULONG,
    pub CreateOptions: ULONG,
    pub EaBuffer: PVOID,
    pub EaBufferLength: ULONG,
    pub AllocationSize: *mut i64,
    pub FileInformation: ULONG,
    pub FileName: nt_abi::UNICODE_STRING,
}
layout!(
    WDF_IO_TARGET_OPEN_PARAMS, 0x88, EvtIoTargetQueryRemove: 8, TargetDeviceObject: 0x20, TargetDeviceName: 0x30,
    DesiredAccess: 0x40, CreateOptions: 0x50, EaBuffer: 0x58, AllocationSize: 0x68, FileInformation: 0x70,
    FileName: 0x78,
);
