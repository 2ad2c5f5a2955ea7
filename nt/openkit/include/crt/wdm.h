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
#include_next <wdm.h>
#undef KeGetCurrentIrql
#undef KeLowerIrql
#undef KfRaiseIrql
#undef KeRaiseIrqlToDpcLevel

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTKERNELAPI VOID NTAPI KeLowerIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);
NTKERNELAPI KIRQL NTAPI KeRaiseIrqlToDpcLevel(VOID);

#include "openkit.h"
#include "ntasserts.h"

#endif /* OPENKIT_WDM_H */
