/* mingw-w64's wdm.h, corrected where the x64 kernel differs and brought up to Windows 10. */
#ifndef OPENKIT_WDM_H
#define OPENKIT_WDM_H

#include <ntdef.h>

/* Aligned to a pool block, which pads its size to 0x150. */
struct DECLSPEC_ALIGN(MEMORY_ALLOCATION_ALIGNMENT) _DEVICE_OBJECT;

/* Inline in mingw-w64, exported by the kernel: the declarations below are to be the only ones. */
#define KeGetCurrentIrql OpenKitInlineKeGetCurrentIrql
#define KeLowerIrql OpenKitInlineKeLowerIrql
#define KfRaiseIrql OpenKitInlineKfRaiseIrql
#define KeRaiseIrqlToDpcLevel OpenKitInlineKeRaiseIrqlToDpcLevel

#if defined(_ARM64_)
/* mingw-w64 knows 32-bit Arm, for which it lets armddk.h speak, and packs IO_STACK_LOCATION to four
 * bytes unless the machine is x64 or Itanium. */
#define _M_ARM
#define _IA64_
#include_next <wdm.h>
#undef _IA64_
#else
#include_next <wdm.h>
#endif

#undef KeGetCurrentIrql
#undef KeLowerIrql
#undef KfRaiseIrql
#undef KeRaiseIrqlToDpcLevel

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KeRaiseIrqlToDpcLevel(VOID);

#if defined(_ARM64_)
/* mingw-w64 maps these to the functions of 32-bit Windows. */
#undef KeReleaseSpinLock
#undef KeAcquireSpinLockAtDpcLevel
#undef KeReleaseSpinLockFromDpcLevel
NTKERNELAPI VOID NTAPI KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql);
NTKERNELAPI VOID NTAPI KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock);
NTKERNELAPI VOID NTAPI KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock);
#endif

#include "openkit.h"
#include "ntasserts.h"

#endif /* OPENKIT_WDM_H */
