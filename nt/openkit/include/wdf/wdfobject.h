/* Objects: attributes, typed contexts, references; memory, strings, collections, registry keys. */
#ifndef OPENKIT_WDFOBJECT_H
#define OPENKIT_WDFOBJECT_H

#include "wdftypes.h"

typedef enum _WDF_EXECUTION_LEVEL {
    WdfExecutionLevelInvalid = 0,
    WdfExecutionLevelInheritFromParent = 1,
    WdfExecutionLevelPassive = 2,
    WdfExecutionLevelDispatch = 3,
} WDF_EXECUTION_LEVEL;

typedef enum _WDF_SYNCHRONIZATION_SCOPE {
    WdfSynchronizationScopeInvalid = 0,
    WdfSynchronizationScopeInheritFromParent = 1,
    WdfSynchronizationScopeDevice = 2,
    WdfSynchronizationScopeQueue = 3,
    WdfSynchronizationScopeNone = 4,
} WDF_SYNCHRONIZATION_SCOPE;

typedef VOID EVT_WDF_OBJECT_CONTEXT_CLEANUP(WDFOBJECT Object);
typedef EVT_WDF_OBJECT_CONTEXT_CLEANUP *PFN_WDF_OBJECT_CONTEXT_CLEANUP;
typedef VOID EVT_WDF_OBJECT_CONTEXT_DESTROY(WDFOBJECT Object);
typedef EVT_WDF_OBJECT_CONTEXT_DESTROY *PFN_WDF_OBJECT_CONTEXT_DESTROY;
typedef PCWDF_OBJECT_CONTEXT_TYPE_INFO (*PFN_GET_UNIQUE_CONTEXT_TYPE)(VOID);

typedef struct _WDF_OBJECT_ATTRIBUTES {
    ULONG Size;
    PFN_WDF_OBJECT_CONTEXT_CLEANUP EvtCleanupCallback;
    PFN_WDF_OBJECT_CONTEXT_DESTROY EvtDestroyCallback;
    WDF_EXECUTION_LEVEL ExecutionLevel;
    WDF_SYNCHRONIZATION_SCOPE SynchronizationScope;
    WDFOBJECT ParentObject;
    size_t ContextSizeOverride;
    PCWDF_OBJECT_CONTEXT_TYPE_INFO ContextTypeInfo;
} WDF_OBJECT_ATTRIBUTES;

/* Identifies a type of context by the address of the structure that UniqueType points to. */
typedef struct _WDF_OBJECT_CONTEXT_TYPE_INFO {
    ULONG Size;
    PCCH ContextName;
    size_t ContextSize;
    PCWDF_OBJECT_CONTEXT_TYPE_INFO UniqueType;
    PFN_GET_UNIQUE_CONTEXT_TYPE EvtDriverGetUniqueContextType;
} WDF_OBJECT_CONTEXT_TYPE_INFO, *PWDF_OBJECT_CONTEXT_TYPE_INFO;

typedef PVOID (*PFN_WDFOBJECTGETTYPEDCONTEXTWORKER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFOBJECT Handle, PCWDF_OBJECT_CONTEXT_TYPE_INFO TypeInfo);
typedef WDFOBJECT (*PFN_WDFOBJECTCONTEXTGETOBJECT)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PVOID ContextPointer);
typedef NTSTATUS (*PFN_WDFOBJECTALLOCATECONTEXT)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFOBJECT Handle, PWDF_OBJECT_ATTRIBUTES ContextAttributes,
    PVOID *Context);
typedef VOID (*PFN_WDFOBJECTREFERENCEACTUAL)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFOBJECT Handle, PVOID Tag, LONG Line, PCCH File);
typedef VOID (*PFN_WDFOBJECTDEREFERENCEACTUAL)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFOBJECT Handle, PVOID Tag, LONG Line, PCCH File);
typedef NTSTATUS (*PFN_WDFOBJECTCREATE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PWDF_OBJECT_ATTRIBUTES Attributes, WDFOBJECT *Object);
typedef VOID (*PFN_WDFOBJECTDELETE)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFOBJECT Object);
typedef NTSTATUS (*PFN_WDFOBJECTQUERY)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFOBJECT Object, CONST GUID *Guid, ULONG QueryBufferLength,
    PVOID QueryBuffer);
typedef NTSTATUS (*PFN_WDFMEMORYCREATE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PWDF_OBJECT_ATTRIBUTES Attributes, POOL_TYPE PoolType,
    ULONG PoolTag, size_t BufferSize, WDFMEMORY *Memory, PVOID *Buffer);
typedef NTSTATUS (*PFN_WDFMEMORYCREATEPREALLOCATED)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PWDF_OBJECT_ATTRIBUTES Attributes, PVOID Buffer,
    size_t BufferSize, WDFMEMORY *Memory);
typedef PVOID (*PFN_WDFMEMORYGETBUFFER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFMEMORY Memory, size_t *BufferSize);
typedef NTSTATUS (*PFN_WDFMEMORYASSIGNBUFFER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFMEMORY Memory, PVOID Buffer, size_t BufferSize);
typedef NTSTATUS (*PFN_WDFMEMORYCOPYTOBUFFER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFMEMORY SourceMemory, size_t SourceOffset, PVOID Buffer,
    size_t NumBytesToCopyTo);
typedef NTSTATUS (*PFN_WDFMEMORYCOPYFROMBUFFER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFMEMORY DestinationMemory, size_t DestinationOffset,
    PVOID Buffer, size_t NumBytesToCopyFrom);
typedef NTSTATUS (*PFN_WDFLOOKASIDELISTCREATE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PWDF_OBJECT_ATTRIBUTES LookasideAttributes,
    size_t BufferSize, POOL_TYPE PoolType, PWDF_OBJECT_ATTRIBUTES MemoryAttributes, ULONG PoolTag,
    WDFLOOKASIDE *Lookaside);
typedef NTSTATUS (*PFN_WDFMEMORYCREATEFROMLOOKASIDE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFLOOKASIDE Lookaside, WDFMEMORY *Memory);
typedef NTSTATUS (*PFN_WDFSTRINGCREATE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PCUNICODE_STRING UnicodeString,
    PWDF_OBJECT_ATTRIBUTES StringAttributes, WDFSTRING *String);
typedef VOID (*PFN_WDFSTRINGGETUNICODESTRING)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFSTRING String, PUNICODE_STRING UnicodeString);
typedef NTSTATUS (*PFN_WDFCOLLECTIONCREATE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, PWDF_OBJECT_ATTRIBUTES CollectionAttributes,
    WDFCOLLECTION *Collection);
typedef ULONG (*PFN_WDFCOLLECTIONGETCOUNT)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection);
typedef NTSTATUS (*PFN_WDFCOLLECTIONADD)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection, WDFOBJECT Object);
typedef VOID (*PFN_WDFCOLLECTIONREMOVE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection, WDFOBJECT Item);
typedef VOID (*PFN_WDFCOLLECTIONREMOVEITEM)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection, ULONG Index);
typedef WDFOBJECT (*PFN_WDFCOLLECTIONGETITEM)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection, ULONG Index);
typedef WDFOBJECT (*PFN_WDFCOLLECTIONGETFIRSTITEM)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection);
typedef WDFOBJECT (*PFN_WDFCOLLECTIONGETLASTITEM)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFCOLLECTION Collection);
typedef VOID (*PFN_WDFREGISTRYCLOSE)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFKEY Key);
typedef NTSTATUS (*PFN_WDFREGISTRYQUERYULONG)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFKEY Key, PCUNICODE_STRING ValueName, PULONG Value);
typedef NTSTATUS (*PFN_WDFREGISTRYASSIGNULONG)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFKEY Key, PCUNICODE_STRING ValueName, ULONG Value);

#endif /* OPENKIT_WDFOBJECT_H */
