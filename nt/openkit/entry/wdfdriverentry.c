/* WdfDriverEntry.lib: the image's entry point, which binds the driver to the KMDF runtime before
 * DriverEntry and unbinds it after unload. The structures are those of the WDF loader interface
 * (microsoft/Windows-Driver-Frameworks, fxldr.h); the order of the steps is that of KMDF. */
#include <ntddk.h>

/* WdfMinimumVersionRequired is the driver's to define, so that it decides. */
#define WDF_STUB
#include <wdf.h>

typedef struct _WDF_VERSION {
    ULONG Major;
    ULONG Minor;
    ULONG Build;
} WDF_VERSION;

typedef struct _WDF_BIND_INFO {
    ULONG Size;
    PWCHAR Component;
    WDF_VERSION Version;
    ULONG FuncCount;
    const WDFFUNC **FuncTable; /* the loader stores the table's address there */
    PVOID Module;              /* the loader's own */
} WDF_BIND_INFO, *PWDF_BIND_INFO;

/* Version 2: a driver may be newer than the runtime, down to MinimumVersionRequired. */
typedef struct _WDF_BIND_INFO2 {
    WDF_BIND_INFO V1;
    PULONG MinimumVersionRequired;
    PBOOLEAN ClientVersionHigherThanFramework;
    PULONG FuncCountPtr;
    PULONG StructCountPtr;
    WDF_STRUCT_INFO *StructTable;
} WDF_BIND_INFO2;

C_ASSERT(sizeof(WDF_BIND_INFO) == 0x30);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO, Component) == 0x08);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO, Version) == 0x10);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO, FuncCount) == 0x1c);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO, FuncTable) == 0x20);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO, Module) == 0x28);
C_ASSERT(sizeof(WDF_BIND_INFO2) == 0x58);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO2, MinimumVersionRequired) == 0x30);
C_ASSERT(FIELD_OFFSET(WDF_BIND_INFO2, StructTable) == 0x50);

DECLSPEC_IMPORT NTSTATUS NTAPI WdfVersionBind(
    PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath, PWDF_BIND_INFO BindInfo,
    PWDF_DRIVER_GLOBALS *ComponentGlobals);
DECLSPEC_IMPORT NTSTATUS NTAPI WdfVersionUnbind(
    PUNICODE_STRING RegistryPath, PWDF_BIND_INFO BindInfo, PWDF_DRIVER_GLOBALS ComponentGlobals);

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* What wdf.h declares, and the driver reads. */
extern ULONG WdfMinimumVersionRequired;
const WDFFUNC *WdfFunctions = NULL;
PWDF_DRIVER_GLOBALS WdfDriverGlobals = NULL;
BOOLEAN WdfClientVersionHigherThanFramework = FALSE;
ULONG WdfFunctionCount = 0;
ULONG WdfStructureCount = 0;
WDF_STRUCT_INFO WdfStructures = NULL;

#define REGISTRY_PATH_LENGTH 260
static WCHAR RegistryPathBuffer[REGISTRY_PATH_LENGTH];
static UNICODE_STRING SavedRegistryPath;
static WCHAR ComponentName[] = L"KmdfLibrary";
static PDRIVER_UNLOAD DisplacedUnload = NULL;

static WDF_BIND_INFO2 BindInfo = {
    .V1 = {
        .Size = sizeof(WDF_BIND_INFO2),
        .Component = ComponentName,
        .Version = { KMDF_VERSION_MAJOR, KMDF_VERSION_MINOR, 0 },
        .FuncCount = WdfFunctionTableNumEntries,
        .FuncTable = &WdfFunctions,
    },
    .MinimumVersionRequired = &WdfMinimumVersionRequired,
    .ClientVersionHigherThanFramework = &WdfClientVersionHigherThanFramework,
    .FuncCountPtr = &WdfFunctionCount,
    .StructCountPtr = &WdfStructureCount,
    .StructTable = &WdfStructures,
};

static VOID Unbind(VOID)
{
    WdfVersionUnbind(&SavedRegistryPath, &BindInfo.V1, WdfDriverGlobals);
}

static VOID NTAPI UnloadAndUnbind(PDRIVER_OBJECT DriverObject)
{
    if (DisplacedUnload != NULL) {
        DisplacedUnload(DriverObject);
    }
    Unbind();
}

NTSTATUS NTAPI FxDriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status;

    /* Without a driver object the image was loaded as a library: no framework for it. */
    if (DriverObject == NULL) {
        return DriverEntry(DriverObject, RegistryPath);
    }

    /* The caller's string is gone by the time of the unload. */
    SavedRegistryPath.Length = 0;
    SavedRegistryPath.MaximumLength = sizeof(RegistryPathBuffer);
    SavedRegistryPath.Buffer = RegistryPathBuffer;
    RtlCopyUnicodeString(&SavedRegistryPath, RegistryPath);

    status = WdfVersionBind(DriverObject, &SavedRegistryPath, &BindInfo.V1, &WdfDriverGlobals);
    if (!NT_SUCCESS(status)) {
        return status;
    }

    status = DriverEntry(DriverObject, RegistryPath);
    if (!NT_SUCCESS(status)) {
        Unbind();
        return status;
    }

    /* False only for a driver that asked KMDF to leave its dispatch table alone and has no
     * EvtDriverUnload: it keeps its own unload routine, or none. */
    if (WdfDriverGlobals->DisplaceDriverUnload) {
        DisplacedUnload = DriverObject->DriverUnload;
        DriverObject->DriverUnload = UnloadAndUnbind;
    }
    return status;
}
