/* A WDM driver as mingw-w64 builds it: what its headers keep inline runs here as they wrote it.
 *
 * Each control request is one function below. The output of those that have one is in ULONGLONGs. */
#include <ntddk.h>

#define TAG 'pmSC'
#define REQUEST(function) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (function), METHOD_BUFFERED, FILE_ANY_ACCESS)
#define OUT_OF_LINE __attribute__((noinline))

static PDEVICE_OBJECT Device;
static KSPIN_LOCK SpinLock;
static KMUTEX MutexA, MutexB;
static FAST_MUTEX FastMutex;
static ERESOURCE Resource;
static ULONGLONG Counter;

/* One request: what came with it and what goes back. */
typedef struct {
    ULONGLONG *Data;
    ULONG OutputCount;
    ULONG_PTR Written;
} REQUEST_DATA;

static void Put(REQUEST_DATA *Request, ULONGLONG Value)
{
    if (Request->Written < Request->OutputCount)
        Request->Data[Request->Written++] = Value;
}

/* 0: the IRQL, as the inline functions of the headers read and write it in CR8. */
static NTSTATUS ReadIrql(REQUEST_DATA *Request)
{
    KIRQL Old;
    Put(Request, KeGetCurrentIrql());
    KeRaiseIrql(APC_LEVEL, &Old);
    Put(Request, KeGetCurrentIrql());
    KeLowerIrql(Old);
    Old = KeRaiseIrqlToDpcLevel();
    Put(Request, KeGetCurrentIrql());
    KeLowerIrql(Old);
    Put(Request, KeGetCurrentIrql());
    return STATUS_SUCCESS;
}

/* 1: the thread and the processor, which lie behind GS. */
static NTSTATUS ReadProcessor(REQUEST_DATA *Request)
{
    KIRQL Old;
    PKTHREAD Thread = KeGetCurrentThread();
    Put(Request, (PVOID)Thread == (PVOID)PsGetCurrentThread());
    KeAcquireSpinLock(&SpinLock, &Old);
    Put(Request, __readgsdword(0x1A4) == KeGetCurrentProcessorNumberEx(NULL));
    Put(Request, KeGetCurrentThread() == Thread);
    KeReleaseSpinLock(&SpinLock, Old);
    return STATUS_SUCCESS;
}

/* 2: the clocks that lie in KUSER_SHARED_DATA, beside what the functions say. */
static NTSTATUS ReadSharedData(REQUEST_DATA *Request)
{
    LARGE_INTEGER Ticks, Time;
    KeQueryTickCount(&Ticks);
    Put(Request, Ticks.QuadPart);
    do {
        Time.HighPart = SharedUserData->InterruptTime.High1Time;
        Time.LowPart = SharedUserData->InterruptTime.LowPart;
    } while (Time.HighPart != SharedUserData->InterruptTime.High2Time);
    Put(Request, Time.QuadPart);
    Put(Request, KeQueryInterruptTime());
    Put(Request, SharedUserData->NtMajorVersion);
    Put(Request, *(volatile ULONG *)0xFFFFF78000000004ULL); /* TickCountMultiplier, by its address */
    return STATUS_SUCCESS;
}

/* 3: every kind of lock around one counter. */
static NTSTATUS TakeLocks(REQUEST_DATA *Request)
{
    KIRQL Old;
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    KeWaitForSingleObject(&MutexA, Executive, KernelMode, FALSE, NULL);
    ExAcquireFastMutex(&FastMutex);
    KeAcquireSpinLock(&SpinLock, &Old);
    Counter += 1;
    Put(Request, Counter);
    KeReleaseSpinLock(&SpinLock, Old);
    ExReleaseFastMutex(&FastMutex);
    KeReleaseMutex(&MutexA, FALSE);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
    return STATUS_SUCCESS;
}

/* A timer with its DPC, in pool. */
typedef struct {
    KTIMER Timer;
    KDPC Dpc;
    KEVENT Done;
    KIRQL Irql;
} ALARM;

static VOID NTAPI Ring(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    ALARM *Alarm = Context;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Alarm->Irql = KeGetCurrentIrql();
    KeSetEvent(&Alarm->Done, IO_NO_INCREMENT, FALSE);
}

/* 4: a timer rings after five milliseconds. */
static NTSTATUS SetAlarm(REQUEST_DATA *Request)
{
    LARGE_INTEGER Due = { .QuadPart = -50000 };
    ALARM *Alarm = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ALARM), TAG);
    NTSTATUS Status;
    if (Alarm == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeEvent(&Alarm->Done, NotificationEvent, FALSE);
    KeInitializeTimer(&Alarm->Timer);
    KeInitializeDpc(&Alarm->Dpc, Ring, Alarm);
    KeSetTimer(&Alarm->Timer, Due, &Alarm->Dpc);
    Status = KeWaitForSingleObject(&Alarm->Done, Executive, KernelMode, FALSE, NULL);
    Put(Request, Alarm->Irql);
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(Alarm, TAG);
    return Status;
}

static void Stall(LONG Milliseconds)
{
    LARGE_INTEGER Interval = { .QuadPart = -10000LL * Milliseconds };
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

OUT_OF_LINE static void TakeBoth(PKMUTEX First, PKMUTEX Second)
{
    KeWaitForSingleObject(First, Executive, KernelMode, FALSE, NULL);
    Stall(50);
    KeWaitForSingleObject(Second, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(Second, FALSE);
    KeReleaseMutex(First, FALSE);
}

/* 5: two mutexes, in an order that every other request turns round. */
static NTSTATUS Deadlock(void)
{
    static LONG Requests;
    if (InterlockedIncrement(&Requests) % 2)
        TakeBoth(&MutexA, &MutexB);
    else
        TakeBoth(&MutexB, &MutexA);
    return STATUS_SUCCESS;
}

/* 6: the resource is acquired and kept. */
static NTSTATUS KeepResource(void)
{
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    return STATUS_SUCCESS;
}

/* 7: a field of KUSER_SHARED_DATA that nobody has filled. */
static NTSTATUS ReadUnknown(REQUEST_DATA *Request)
{
    Put(Request, SharedUserData->ActiveConsoleId);
    return STATUS_SUCCESS;
}

/* Planted bugs: each needs two requests at once, in an order that comes seldom. */

static LONG Requests;

/* 8: a lost wake-up. Who looks before the flag is set, and is seen waiting too late, waits for ever. */
static NTSTATUS LoseWakeUp(void)
{
    static volatile LONG Ready, Waiting;
    static KEVENT Event;
    if (InterlockedIncrement(&Requests) == 1) {
        KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
        if (!Ready) {
            KeQueryPerformanceCounter(NULL);
            Waiting = TRUE;
            KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        }
    } else {
        Ready = TRUE;
        if (Waiting)
            KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_SUCCESS;
}

/* 9: two mutexes, in either order. */
static NTSTATUS TakeInEitherOrder(void)
{
    BOOLEAN First = InterlockedIncrement(&Requests) == 1;
    PKMUTEX One = First ? &MutexA : &MutexB, Other = First ? &MutexB : &MutexA;
    KeWaitForSingleObject(One, Executive, KernelMode, FALSE, NULL);
    KeWaitForSingleObject(Other, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(Other, FALSE);
    KeReleaseMutex(One, FALSE);
    return STATUS_SUCCESS;
}

/* 10: no rundown. Who frees the object does not wait for who uses it. */
static NTSTATUS FreeInUse(void)
{
    struct { ULONGLONG Padding[8]; KSPIN_LOCK Lock; } *Object, *volatile *Shared;
    static PVOID volatile Pointer;
    KIRQL Old;
    Shared = (PVOID)&Pointer;
    if (InterlockedIncrement(&Requests) == 1) {
        Object = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Object), TAG);
        if (Object == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
        KeInitializeSpinLock(&Object->Lock);
        *Shared = Object;
        KeQueryPerformanceCounter(NULL);
        *Shared = NULL;
        ExFreePoolWithTag(Object, TAG);
    } else {
        Object = *Shared;
        if (Object != NULL) {
            KeAcquireSpinLock(&Object->Lock, &Old);
            KeReleaseSpinLock(&Object->Lock, Old);
        }
    }
    return STATUS_SUCCESS;
}

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT Target, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    REQUEST_DATA Request = {
        .Data = Irp->AssociatedIrp.SystemBuffer,
        .OutputCount = Stack->Parameters.DeviceIoControl.OutputBufferLength / sizeof(ULONGLONG),
    };
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;
    UNREFERENCED_PARAMETER(Target);
    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case REQUEST(0): Status = ReadIrql(&Request); break;
    case REQUEST(1): Status = ReadProcessor(&Request); break;
    case REQUEST(2): Status = ReadSharedData(&Request); break;
    case REQUEST(3): Status = TakeLocks(&Request); break;
    case REQUEST(4): Status = SetAlarm(&Request); break;
    case REQUEST(5): Status = Deadlock(); break;
    case REQUEST(6): Status = KeepResource(); break;
    case REQUEST(7): Status = ReadUnknown(&Request); break;
    case REQUEST(8): Status = LoseWakeUp(); break;
    case REQUEST(9): Status = TakeInEitherOrder(); break;
    case REQUEST(10): Status = FreeInUse(); break;
    }
    return Complete(Irp, Status, NT_SUCCESS(Status) ? Request.Written * sizeof(ULONGLONG) : 0);
}

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT Target, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Target);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNICODE_STRING Link = RTL_CONSTANT_STRING(L"\\DosDevices\\CSample");
    UNREFERENCED_PARAMETER(Driver);
    ExDeleteResourceLite(&Resource);
    IoDeleteSymbolicLink(&Link);
    IoDeleteDevice(Device);
    DbgPrint("csample: unloaded\n");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\CSample");
    UNICODE_STRING Link = RTL_CONSTANT_STRING(L"\\DosDevices\\CSample");
    NTSTATUS Status = IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = IoCreateSymbolicLink(&Link, &Name);
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    KeInitializeSpinLock(&SpinLock);
    KeInitializeMutex(&MutexA, 0);
    KeInitializeMutex(&MutexB, 0);
    ExInitializeFastMutex(&FastMutex);
    ExInitializeResourceLite(&Resource);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    DbgPrint("csample: loaded as %wZ\n", RegistryPath);
    return STATUS_SUCCESS;
}
