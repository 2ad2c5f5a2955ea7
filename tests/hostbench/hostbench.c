/* Locks as a driver in C takes them, timed: `cargo xtask bench host` loads this image in nthost and in Wine.
 *
 * The one request holds a RUN and is answered with an OUTCOME. */
#include <ntddk.h>

#define TAG 'bHSC'
#define REQUEST CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define MOST_THREADS 4096
#define INLINE static inline __attribute__((always_inline))

/* What to measure. */
typedef struct {
    ULONG Subject;
    ULONG Threads;      /* 0: on the thread that asks */
    ULONG Passes;       /* of each thread; 0: as many as come to pass in this time: */
    ULONG Milliseconds;
} RUN;

/* What came of it. */
typedef struct {
    ULONGLONG Nanoseconds; /* for the passes */
    ULONGLONG Passes;      /* of all threads */
    ULONGLONG Creation;    /* nanoseconds for the creation of the threads */
} OUTCOME;

static PDEVICE_OBJECT Device;
static KSPIN_LOCK SpinLock;
static FAST_MUTEX FastMutex;
static ERESOURCE Resource;
static KEVENT Event, Turns[2];
static KTIMER Timer;
static ULONGLONG Counter;

/* Starts all workers at once, and ends them. */
static KEVENT Go;
static volatile BOOLEAN Stop;

typedef VOID PASS(ULONG Index);
typedef ULONGLONG LOOP(ULONG Index, ULONG Passes);

INLINE VOID SpinLockPass(ULONG Index)
{
    KIRQL Old;
    UNREFERENCED_PARAMETER(Index);
    KeAcquireSpinLock(&SpinLock, &Old);
    Counter += 1;
    KeReleaseSpinLock(&SpinLock, Old);
}

INLINE VOID FastMutexPass(ULONG Index)
{
    UNREFERENCED_PARAMETER(Index);
    ExAcquireFastMutex(&FastMutex);
    Counter += 1;
    ExReleaseFastMutex(&FastMutex);
}

INLINE VOID ResourcePass(ULONG Index)
{
    UNREFERENCED_PARAMETER(Index);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    Counter += 1;
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

/* One thread alone sets the event that it waits for. */
INLINE VOID EventPass(ULONG Index)
{
    UNREFERENCED_PARAMETER(Index);
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
}

/* Two threads wake each other in turn. */
INLINE VOID PingPongPass(ULONG Index)
{
    if (Index == 0)
        KeSetEvent(&Turns[1], IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&Turns[Index], Executive, KernelMode, FALSE, NULL);
    if (Index == 1)
        KeSetEvent(&Turns[0], IO_NO_INCREMENT, FALSE);
}

INLINE VOID TimerPass(ULONG Index)
{
    LARGE_INTEGER Due = { .QuadPart = -10000000 };
    UNREFERENCED_PARAMETER(Index);
    KeSetTimer(&Timer, Due, NULL);
    KeCancelTimer(&Timer);
}

INLINE ULONGLONG Repeat(PASS *Pass, ULONG Index, ULONG Passes)
{
    ULONGLONG Done = 0;
    if (Passes != 0) {
        for (; Done < Passes; Done++)
            Pass(Index);
    } else {
        for (; !Stop; Done++)
            Pass(Index);
    }
    return Done;
}

static ULONGLONG SpinLockLoop(ULONG Index, ULONG Passes) { return Repeat(SpinLockPass, Index, Passes); }
static ULONGLONG FastMutexLoop(ULONG Index, ULONG Passes) { return Repeat(FastMutexPass, Index, Passes); }
static ULONGLONG ResourceLoop(ULONG Index, ULONG Passes) { return Repeat(ResourcePass, Index, Passes); }
static ULONGLONG EventLoop(ULONG Index, ULONG Passes) { return Repeat(EventPass, Index, Passes); }
static ULONGLONG TimerLoop(ULONG Index, ULONG Passes) { return Repeat(TimerPass, Index, Passes); }

static ULONGLONG PingPongLoop(ULONG Index, ULONG Passes)
{
    ULONGLONG Done = Repeat(PingPongPass, Index, Passes);
    KeSetEvent(&Turns[1 - Index], IO_NO_INCREMENT, FALSE);
    return Done;
}

/* As many locks as there are passes, each acquired once: alone, or every second one under another. */
INLINE ULONGLONG VisitMany(ULONG Count, BOOLEAN Nested)
{
    KIRQL Old;
    ULONG At;
    KSPIN_LOCK *Locks = ExAllocatePoolWithTag(NonPagedPoolNx, Count * sizeof(KSPIN_LOCK), TAG);
    if (Locks == NULL)
        return 0;
    for (At = 0; At < Count; At++)
        KeInitializeSpinLock(&Locks[At]);
    for (At = 0; At + 1 < Count; At += 2) {
        KeAcquireSpinLock(&Locks[At], &Old);
        if (Nested) {
            KeAcquireSpinLockAtDpcLevel(&Locks[At + 1]);
            KeReleaseSpinLockFromDpcLevel(&Locks[At + 1]);
        }
        KeReleaseSpinLock(&Locks[At], Old);
        if (!Nested) {
            KeAcquireSpinLock(&Locks[At + 1], &Old);
            KeReleaseSpinLock(&Locks[At + 1], Old);
        }
    }
    ExFreePoolWithTag(Locks, TAG);
    return Count;
}

static ULONGLONG LocksApartLoop(ULONG Index, ULONG Passes) { return VisitMany(Passes, Index != 0); }
static ULONGLONG LocksInOrderLoop(ULONG Index, ULONG Passes) { return VisitMany(Passes, Index == 0); }

static LOOP *const Subjects[] = {
    SpinLockLoop, FastMutexLoop, ResourceLoop, EventLoop, PingPongLoop, TimerLoop, LocksApartLoop, LocksInOrderLoop,
};

static ULONGLONG Nanoseconds(void)
{
    LARGE_INTEGER Frequency, Now = KeQueryPerformanceCounter(&Frequency);
    ULONGLONG Second = Frequency.QuadPart, Ticks = Now.QuadPart;
    return Ticks / Second * 1000000000 + Ticks % Second * 1000000000 / Second;
}

typedef struct {
    PVOID Thread;
    LOOP *Loop;
    ULONG Index;
    ULONG Passes;
    ULONGLONG Done;
} WORKER;

static VOID NTAPI Work(PVOID Context)
{
    WORKER *Worker = Context;
    KeWaitForSingleObject(&Go, Executive, KernelMode, FALSE, NULL);
    Worker->Done = Worker->Loop(Worker->Index, Worker->Passes);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS StartWorker(WORKER *Worker)
{
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Work, Worker);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Worker->Thread, NULL);
    ZwClose(Handle);
    return Status;
}

static NTSTATUS RunWorkers(const RUN *Run, LOOP *Loop, WORKER *Workers, OUTCOME *Outcome)
{
    ULONG At, Started;
    LARGE_INTEGER Time = { .QuadPart = -10000LL * Run->Milliseconds };
    NTSTATUS Status = STATUS_SUCCESS;
    ULONGLONG Start = Nanoseconds();
    KeClearEvent(&Go);
    KeClearEvent(&Turns[0]);
    KeClearEvent(&Turns[1]);
    Stop = FALSE;
    for (Started = 0; Started < Run->Threads && NT_SUCCESS(Status); Started++) {
        Workers[Started] = (WORKER){ .Loop = Loop, .Index = Started, .Passes = Run->Passes };
        Status = StartWorker(&Workers[Started]);
    }
    if (!NT_SUCCESS(Status)) {
        Started--;
        Stop = TRUE;
    }
    Outcome->Creation = Nanoseconds() - Start;
    Start = Nanoseconds();
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    if (Run->Passes == 0 && NT_SUCCESS(Status))
        KeDelayExecutionThread(KernelMode, FALSE, &Time);
    Stop = TRUE;
    for (At = 0; At < Started; At++) {
        KeWaitForSingleObject(Workers[At].Thread, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Workers[At].Thread);
        Outcome->Passes += Workers[At].Done;
    }
    Outcome->Nanoseconds = Nanoseconds() - Start;
    return Status;
}

static NTSTATUS RunThreads(const RUN *Run, LOOP *Loop, OUTCOME *Outcome)
{
    NTSTATUS Status;
    WORKER *Workers = ExAllocatePoolWithTag(NonPagedPoolNx, Run->Threads * sizeof(WORKER), TAG);
    if (Workers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Status = RunWorkers(Run, Loop, Workers, Outcome);
    ExFreePoolWithTag(Workers, TAG);
    return Status;
}

static NTSTATUS Measure(const RUN *Run, OUTCOME *Outcome)
{
    ULONGLONG Start;
    LOOP *Loop;
    if (Run->Subject >= RTL_NUMBER_OF(Subjects) || Run->Threads > MOST_THREADS)
        return STATUS_INVALID_PARAMETER;
    Loop = Subjects[Run->Subject];
    if (Run->Threads != 0)
        return RunThreads(Run, Loop, Outcome);
    if (Run->Passes == 0)
        return STATUS_INVALID_PARAMETER;
    Start = Nanoseconds();
    Outcome->Passes = Loop(0, Run->Passes);
    Outcome->Nanoseconds = Nanoseconds() - Start;
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
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    OUTCOME Outcome = { 0 };
    NTSTATUS Status;
    RUN Run;
    UNREFERENCED_PARAMETER(Target);
    if (Stack->Parameters.DeviceIoControl.IoControlCode != REQUEST)
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(Run)
        || Stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(Outcome))
        return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    RtlCopyMemory(&Run, Buffer, sizeof(Run));
    Status = Measure(&Run, &Outcome);
    if (!NT_SUCCESS(Status))
        return Complete(Irp, Status, 0);
    RtlCopyMemory(Buffer, &Outcome, sizeof(Outcome));
    return Complete(Irp, Status, sizeof(Outcome));
}

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT Target, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Target);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNICODE_STRING Link = RTL_CONSTANT_STRING(L"\\DosDevices\\Hostbench");
    UNREFERENCED_PARAMETER(Driver);
    ExDeleteResourceLite(&Resource);
    IoDeleteSymbolicLink(&Link);
    IoDeleteDevice(Device);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\Hostbench");
    UNICODE_STRING Link = RTL_CONSTANT_STRING(L"\\DosDevices\\Hostbench");
    NTSTATUS Status = IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = IoCreateSymbolicLink(&Link, &Name);
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    KeInitializeSpinLock(&SpinLock);
    ExInitializeFastMutex(&FastMutex);
    ExInitializeResourceLite(&Resource);
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Turns[0], SynchronizationEvent, FALSE);
    KeInitializeEvent(&Turns[1], SynchronizationEvent, FALSE);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KeInitializeTimer(&Timer);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    return STATUS_SUCCESS;
}
