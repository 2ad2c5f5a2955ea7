/* What Wine's ntoskrnl.exe lacks and syncstress.sys cannot start without, in terms of what it has.
 *
 * The image that is made of this stands before Wine's own in the prefix of the tests. Whatever is not
 * here is forwarded to Wine's, so that the driver runs as it was built and signed.
 *
 * Here is only what follows from Wine's functions and its objects as they are. A lock or an IRQL of our
 * own would be tested in place of Wine's: those are gaps, and GAPS.md has them. No header of a kit is
 * used, because they have some of these functions inline. */

typedef unsigned char BOOLEAN, KIRQL;
typedef int LONG, NTSTATUS;
typedef unsigned int ULONG;
typedef long long LONGLONG;
typedef unsigned long long ULONGLONG, SIZE_T, ULONG_PTR;

#define FALSE 0
#define TRUE 1

/* The head of every object that can be waited for. */
typedef struct {
    ULONG Type;
    LONG SignalState;
} DISPATCHER_HEADER;

/* KGUARDED_MUTEX is the same to Wine. */
typedef struct {
    LONG Count;
} FAST_MUTEX;

/* A set of processors of a group. Wine has the first group alone. */
typedef struct {
    ULONG_PTR Mask;
    unsigned short Group, Reserved[3];
} GROUP_AFFINITY;

typedef struct {
    unsigned short Group;
    unsigned char Number, Reserved;
} PROCESSOR_NUMBER;

void *ExAllocatePoolWithTag(int PoolType, SIZE_T Bytes, ULONG Tag);
void ExAcquireFastMutexUnsafe(FAST_MUTEX *Mutex);
void ExReleaseFastMutexUnsafe(FAST_MUTEX *Mutex);
void KeEnterGuardedRegion(void);
void KeLeaveGuardedRegion(void);
ULONG KeQueryActiveProcessorCountEx(unsigned short Group);
void KeRevertToUserAffinityThreadEx(ULONG_PTR Affinity);
ULONG_PTR KeSetSystemAffinityThreadEx(ULONG_PTR Affinity);
KIRQL KfRaiseIrql(KIRQL Irql);
BOOLEAN KeSetTimerEx(void *Timer, LONGLONG DueTime, LONG Period, void *Dpc);
NTSTATUS NtQueryPerformanceCounter(LONGLONG *Counter, LONGLONG *Frequency);

BOOLEAN DllMain(void *Module, ULONG Reason, void *Reserved)
{
    (void)Module;
    (void)Reason;
    (void)Reserved;
    return TRUE;
}

void *ExAllocatePool2(ULONGLONG Flags, SIZE_T Bytes, ULONG Tag)
{
    enum { UNINITIALIZED = 0x2, PAGED = 0x100 };
    enum { PagedPool = 1, NonPagedPoolNx = 512 };
    char *Block = ExAllocatePoolWithTag(Flags & PAGED ? PagedPool : NonPagedPoolNx, Bytes, Tag);
    if (Block && !(Flags & UNINITIALIZED))
        for (SIZE_T At = 0; At < Bytes; At++)
            ((volatile char *)Block)[At] = 0;
    return Block;
}

/* Wine has no IRQL: what raises it leaves no trace. */
KIRQL KeGetCurrentIrql(void)
{
    return 0;
}

KIRQL KeRaiseIrqlToDpcLevel(void)
{
    return KfRaiseIrql(2);
}

LONGLONG KeQueryPerformanceCounter(LONGLONG *Frequency)
{
    LONGLONG Counter;
    NtQueryPerformanceCounter(&Counter, Frequency);
    return Counter;
}

NTSTATUS KeGetProcessorNumberFromIndex(ULONG Index, PROCESSOR_NUMBER *Number)
{
    enum { STATUS_INVALID_PARAMETER = (NTSTATUS)0xC000000D };
    if (Index >= KeQueryActiveProcessorCountEx(0))
        return STATUS_INVALID_PARAMETER;
    *Number = (PROCESSOR_NUMBER){ .Number = (unsigned char)Index };
    return 0;
}

void KeSetSystemGroupAffinityThread(const GROUP_AFFINITY *Affinity, GROUP_AFFINITY *Previous)
{
    ULONG_PTR Before = Affinity->Group ? 0 : KeSetSystemAffinityThreadEx(Affinity->Mask);
    if (Previous)
        *Previous = (GROUP_AFFINITY){ .Mask = Before };
}

void KeRevertToUserGroupAffinityThread(const GROUP_AFFINITY *Previous)
{
    if (!Previous->Group)
        KeRevertToUserAffinityThreadEx(Previous->Mask);
}

LONG KeReadStateMutex(const volatile DISPATCHER_HEADER *Mutex)
{
    return Mutex->SignalState;
}

LONG KeReadStateSemaphore(const volatile DISPATCHER_HEADER *Semaphore)
{
    return Semaphore->SignalState;
}

BOOLEAN KeReadStateTimer(const volatile DISPATCHER_HEADER *Timer)
{
    return Timer->SignalState != 0;
}

/* A delay that is tolerated need not be used. */
BOOLEAN KeSetCoalescableTimer(void *Timer, LONGLONG DueTime, ULONG Period, ULONG Delay, void *Dpc)
{
    (void)Delay;
    return KeSetTimerEx(Timer, DueTime, (LONG)Period, Dpc);
}

/* Wine's spin lock is 0, or 1 while it is held. */
BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(ULONG_PTR *Lock)
{
    return __sync_bool_compare_and_swap(Lock, 0, 1);
}

/* The count of Wine's fast mutex is 1 when it is free, and each who wants it takes 1 away. */
static BOOLEAN TryFastMutex(FAST_MUTEX *Mutex)
{
    return __sync_bool_compare_and_swap(&Mutex->Count, 1, 0);
}

BOOLEAN ExTryToAcquireFastMutex(FAST_MUTEX *Mutex)
{
    return TryFastMutex(Mutex);
}

void KeAcquireGuardedMutexUnsafe(FAST_MUTEX *Mutex)
{
    ExAcquireFastMutexUnsafe(Mutex);
}

void KeReleaseGuardedMutexUnsafe(FAST_MUTEX *Mutex)
{
    ExReleaseFastMutexUnsafe(Mutex);
}

void KeAcquireGuardedMutex(FAST_MUTEX *Mutex)
{
    KeEnterGuardedRegion();
    ExAcquireFastMutexUnsafe(Mutex);
}

void KeReleaseGuardedMutex(FAST_MUTEX *Mutex)
{
    ExReleaseFastMutexUnsafe(Mutex);
    KeLeaveGuardedRegion();
}

BOOLEAN KeTryToAcquireGuardedMutex(FAST_MUTEX *Mutex)
{
    KeEnterGuardedRegion();
    if (TryFastMutex(Mutex))
        return TRUE;
    KeLeaveGuardedRegion();
    return FALSE;
}
