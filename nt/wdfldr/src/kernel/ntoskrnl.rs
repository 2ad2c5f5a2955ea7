//! The functions of the kernel that the framework calls: imported from `ntoskrnl.exe` in the image,
//! and from nthost's kernel in the tests of this crate, which run on Linux.
//!
//! Only functions that the real kernel exports, and of those none that Wine 8 lacks on a path that
//! it can reach.
#[cfg(not(windows))]
pub use nthost::ntddk::{
    DbgPrint, ExAcquireFastMutexUnsafe, ExAllocatePoolWithTag, ExFreePool, ExFreePoolWithTag,
    ExReleaseFastMutexUnsafe, IoAllocateIrp, IoAllocateMdl, IoAllocateWorkItem,
    IoAttachDeviceToDeviceStack, IoCancelIrp, IoConnectInterruptEx, IoCreateDevice,
    IoCreateSymbolicLink, IoDeleteDevice, IoDeleteSymbolicLink, IoDetachDevice,
    IoDisconnectInterruptEx, IoFreeIrp, IoFreeMdl, IoFreeWorkItem, IoGetAttachedDeviceReference,
    IoGetDeviceProperty, IoGetRelatedDeviceObject, IoInvalidateDeviceState,
    IoOpenDeviceRegistryKey, IoQueueWorkItem, IoRegisterDeviceInterface, IoReleaseCancelSpinLock,
    IoReuseIrp, IoSetDeviceInterfaceState, IofCallDriver, IofCompleteRequest,
    KeAcquireInterruptSpinLock, KeAcquireSpinLockRaiseToDpc, KeBugCheckEx, KeCancelTimer,
    KeDelayExecutionThread, KeEnterCriticalRegion, KeFlushQueuedDpcs, KeInitializeDpc,
    KeInitializeEvent, KeInitializeTimerEx, KeInsertQueueDpc, KeLeaveCriticalRegion,
    KeReleaseInterruptSpinLock, KeReleaseSpinLock, KeRemoveQueueDpc, KeSetEvent, KeSetTimerEx,
    KeSynchronizeExecution, KeWaitForSingleObject, MmMapLockedPagesSpecifyCache,
    MmProbeAndLockPages, MmUnlockPages, ObReferenceObjectByHandle, ObfDereferenceObject,
    ObfReferenceObject, PoCallDriver, PoStartNextPowerIrp, PsGetCurrentThread,
    RtlFreeUnicodeString, ZwClose, ZwCreateFile, ZwCreateKey, ZwDeleteKey, ZwDeleteValueKey,
    ZwOpenKey, ZwQueryValueKey, ZwSetValueKey,
};

#[cfg(windows)]
use core::ffi::c_char;
use nt_abi::CCHAR;
#[cfg(windows)]
use nt_abi::{
    ACCESS_MASK, BOOLEAN, HANDLE, IRP, KIRQL, KPRIORITY, KPROCESSOR_MODE, KSPIN_LOCK,
    LARGE_INTEGER, LONG, NTSTATUS, OBJECT_ATTRIBUTES, PCGUID, PDEVICE_OBJECT, PDRIVER_OBJECT,
    PFAST_MUTEX, PHANDLE, PIO_CONNECT_INTERRUPT_PARAMETERS, PIO_DISCONNECT_INTERRUPT_PARAMETERS,
    PIO_WORKITEM_ROUTINE, PKDEFERRED_ROUTINE, PKDPC, PKEVENT, PKINTERRUPT, PKSYNCHRONIZE_ROUTINE,
    PKTIMER, PULONG, PUNICODE_STRING, PVOID, SIZE_T, ULONG, ULONG_PTR,
};

#[cfg(windows)]
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "win64" {
    pub fn DbgPrint(Format: *const c_char, Argument: usize) -> ULONG;
    pub fn ExAcquireFastMutexUnsafe(FastMutex: PFAST_MUTEX);
    pub fn ExAllocatePoolWithTag(PoolType: i32, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID;
    pub fn ExFreePool(P: PVOID);
    pub fn ExFreePoolWithTag(P: PVOID, Tag: ULONG);
    pub fn ExReleaseFastMutexUnsafe(FastMutex: PFAST_MUTEX);
    pub fn IoAllocateIrp(StackSize: CCHAR, ChargeQuota: BOOLEAN) -> *mut IRP;
    pub fn IoAllocateMdl(
        VirtualAddress: PVOID,
        Length: ULONG,
        SecondaryBuffer: BOOLEAN,
        ChargeQuota: BOOLEAN,
        Irp: *mut IRP,
    ) -> *mut nt_abi::MDL;
    pub fn IoAllocateWorkItem(DeviceObject: PDEVICE_OBJECT) -> PVOID;
    pub fn IoAttachDeviceToDeviceStack(
        SourceDevice: PDEVICE_OBJECT,
        TargetDevice: PDEVICE_OBJECT,
    ) -> PDEVICE_OBJECT;
    pub fn IoCancelIrp(Irp: *mut IRP) -> BOOLEAN;
    pub fn IoConnectInterruptEx(Parameters: PIO_CONNECT_INTERRUPT_PARAMETERS) -> NTSTATUS;
    pub fn IoCreateDevice(
        DriverObject: PDRIVER_OBJECT,
        DeviceExtensionSize: ULONG,
        DeviceName: PUNICODE_STRING,
        DeviceType: ULONG,
        DeviceCharacteristics: ULONG,
        Exclusive: BOOLEAN,
        DeviceObject: *mut PDEVICE_OBJECT,
    ) -> NTSTATUS;
    pub fn IoCreateSymbolicLink(
        SymbolicLinkName: PUNICODE_STRING,
        DeviceName: PUNICODE_STRING,
    ) -> NTSTATUS;
    pub fn IoDeleteDevice(DeviceObject: PDEVICE_OBJECT);
    pub fn IoDeleteSymbolicLink(SymbolicLinkName: PUNICODE_STRING) -> NTSTATUS;
    pub fn IoDetachDevice(TargetDevice: PDEVICE_OBJECT);
    pub fn IoDisconnectInterruptEx(Parameters: PIO_DISCONNECT_INTERRUPT_PARAMETERS);
    pub fn IoFreeIrp(Irp: *mut IRP);
    pub fn IoFreeMdl(Mdl: *mut nt_abi::MDL);
    pub fn IoFreeWorkItem(IoWorkItem: PVOID);
    pub fn IoGetAttachedDeviceReference(DeviceObject: PDEVICE_OBJECT) -> PDEVICE_OBJECT;
    pub fn IoGetDeviceProperty(
        DeviceObject: PDEVICE_OBJECT,
        DeviceProperty: i32,
        BufferLength: ULONG,
        PropertyBuffer: PVOID,
        ResultLength: PULONG,
    ) -> NTSTATUS;
    pub fn IoGetRelatedDeviceObject(FileObject: *mut nt_abi::FILE_OBJECT) -> PDEVICE_OBJECT;
    pub fn IoInvalidateDeviceState(PhysicalDeviceObject: PDEVICE_OBJECT);
    pub fn IoOpenDeviceRegistryKey(
        DeviceObject: PDEVICE_OBJECT,
        DevInstKeyType: ULONG,
        DesiredAccess: ACCESS_MASK,
        DeviceRegKey: PHANDLE,
    ) -> NTSTATUS;
    pub fn IoQueueWorkItem(
        IoWorkItem: PVOID,
        WorkerRoutine: PIO_WORKITEM_ROUTINE,
        QueueType: i32,
        Context: PVOID,
    );
    pub fn IoRegisterDeviceInterface(
        PhysicalDeviceObject: PDEVICE_OBJECT,
        InterfaceClassGuid: PCGUID,
        ReferenceString: PUNICODE_STRING,
        SymbolicLinkName: PUNICODE_STRING,
    ) -> NTSTATUS;
    pub fn IoReleaseCancelSpinLock(Irql: KIRQL);
    pub fn IoReuseIrp(Irp: *mut IRP, Iostatus: NTSTATUS);
    pub fn IoSetDeviceInterfaceState(
        SymbolicLinkName: PUNICODE_STRING,
        Enable: BOOLEAN,
    ) -> NTSTATUS;
    pub fn IofCallDriver(DeviceObject: PDEVICE_OBJECT, Irp: *mut IRP) -> NTSTATUS;
    pub fn IofCompleteRequest(Irp: *mut IRP, PriorityBoost: CCHAR);
    pub fn KeAcquireInterruptSpinLock(Interrupt: PKINTERRUPT) -> KIRQL;
    pub fn KeAcquireSpinLockRaiseToDpc(SpinLock: *mut KSPIN_LOCK) -> KIRQL;
    pub fn KeBugCheckEx(
        BugCheckCode: ULONG,
        BugCheckParameter1: ULONG_PTR,
        BugCheckParameter2: ULONG_PTR,
        BugCheckParameter3: ULONG_PTR,
        BugCheckParameter4: ULONG_PTR,
    ) -> !;
    pub fn KeCancelTimer(Timer: PKTIMER) -> BOOLEAN;
    pub fn KeDelayExecutionThread(
        WaitMode: KPROCESSOR_MODE,
        Alertable: BOOLEAN,
        Interval: *mut LARGE_INTEGER,
    ) -> NTSTATUS;
    pub fn KeEnterCriticalRegion();
    pub fn KeFlushQueuedDpcs();
    pub fn KeInitializeDpc(Dpc: PKDPC, DeferredRoutine: PKDEFERRED_ROUTINE, Context: PVOID);
    pub fn KeInitializeEvent(Event: PKEVENT, Type: i32, State: BOOLEAN);
    pub fn KeInitializeTimerEx(Timer: PKTIMER, Type: i32);
    pub fn KeInsertQueueDpc(Dpc: PKDPC, Argument1: PVOID, Argument2: PVOID) -> BOOLEAN;
    pub fn KeLeaveCriticalRegion();
    pub fn KeReleaseInterruptSpinLock(Interrupt: PKINTERRUPT, OldIrql: KIRQL);
    pub fn KeReleaseSpinLock(SpinLock: *mut KSPIN_LOCK, NewIrql: KIRQL);
    pub fn KeRemoveQueueDpc(Dpc: PKDPC) -> BOOLEAN;
    pub fn KeSetEvent(Event: PKEVENT, Increment: KPRIORITY, Wait: BOOLEAN) -> LONG;
    pub fn KeSetTimerEx(
        Timer: PKTIMER,
        DueTime: LARGE_INTEGER,
        Period: LONG,
        Dpc: PKDPC,
    ) -> BOOLEAN;
    pub fn KeSynchronizeExecution(
        Interrupt: PKINTERRUPT,
        SynchronizeRoutine: PKSYNCHRONIZE_ROUTINE,
        SynchronizeContext: PVOID,
    ) -> BOOLEAN;
    pub fn KeWaitForSingleObject(
        Object: PVOID,
        WaitReason: i32,
        WaitMode: KPROCESSOR_MODE,
        Alertable: BOOLEAN,
        Timeout: *mut LARGE_INTEGER,
    ) -> NTSTATUS;
    pub fn MmMapLockedPagesSpecifyCache(
        MemoryDescriptorList: *mut nt_abi::MDL,
        AccessMode: KPROCESSOR_MODE,
        CacheType: i32,
        RequestedAddress: PVOID,
        BugCheckOnFailure: ULONG,
        Priority: ULONG,
    ) -> PVOID;
    pub fn MmProbeAndLockPages(
        MemoryDescriptorList: *mut nt_abi::MDL,
        AccessMode: KPROCESSOR_MODE,
        Operation: i32,
    );
    pub fn MmUnlockPages(MemoryDescriptorList: *mut nt_abi::MDL);
    pub fn ObReferenceObjectByHandle(
        Handle: HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectType: PVOID,
        AccessMode: KPROCESSOR_MODE,
        Object: *mut PVOID,
        HandleInformation: PVOID,
    ) -> NTSTATUS;
    pub fn ObfDereferenceObject(Object: PVOID) -> i64;
    pub fn ObfReferenceObject(Object: PVOID) -> i64;
    pub fn PoCallDriver(DeviceObject: PDEVICE_OBJECT, Irp: *mut IRP) -> NTSTATUS;
    pub fn PoStartNextPowerIrp(Irp: *mut IRP);
    pub fn PsGetCurrentThread() -> PVOID;
    pub fn RtlFreeUnicodeString(UnicodeString: PUNICODE_STRING);
    pub fn ZwClose(Handle: HANDLE) -> NTSTATUS;
    pub fn ZwCreateFile(
        FileHandle: PHANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: *mut OBJECT_ATTRIBUTES,
        IoStatusBlock: *mut nt_abi::IO_STATUS_BLOCK,
        AllocationSize: *mut LARGE_INTEGER,
        FileAttributes: ULONG,
        ShareAccess: ULONG,
        CreateDisposition: ULONG,
        CreateOptions: ULONG,
        EaBuffer: PVOID,
        EaLength: ULONG,
    ) -> NTSTATUS;
    pub fn ZwCreateKey(
        KeyHandle: PHANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: *mut OBJECT_ATTRIBUTES,
        TitleIndex: ULONG,
        Class: PUNICODE_STRING,
        CreateOptions: ULONG,
        Disposition: PULONG,
    ) -> NTSTATUS;
    pub fn ZwDeleteKey(KeyHandle: HANDLE) -> NTSTATUS;
    pub fn ZwDeleteValueKey(KeyHandle: HANDLE, ValueName: PUNICODE_STRING) -> NTSTATUS;
    pub fn ZwOpenKey(
        KeyHandle: PHANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: *mut OBJECT_ATTRIBUTES,
    ) -> NTSTATUS;
    pub fn ZwQueryValueKey(
        KeyHandle: HANDLE,
        ValueName: PUNICODE_STRING,
        KeyValueInformationClass: i32,
        KeyValueInformation: PVOID,
        Length: ULONG,
        ResultLength: PULONG,
    ) -> NTSTATUS;
    pub fn ZwSetValueKey(
        KeyHandle: HANDLE,
        ValueName: PUNICODE_STRING,
        TitleIndex: ULONG,
        Type: ULONG,
        Data: PVOID,
        DataSize: ULONG,
    ) -> NTSTATUS;
}

/// `IO_NO_INCREMENT`: completion without a priority boost.
pub const IO_NO_INCREMENT: CCHAR = 0;
