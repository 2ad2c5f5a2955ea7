/* Requests. */
#ifndef OPENKIT_WDFREQUEST_H
#define OPENKIT_WDFREQUEST_H

#include "wdfobject.h"

typedef enum _WDF_REQUEST_TYPE {
    WdfRequestTypeCreate = 0x00,
    WdfRequestTypeCreateNamedPipe = 0x01,
    WdfRequestTypeClose = 0x02,
    WdfRequestTypeRead = 0x03,
    WdfRequestTypeWrite = 0x04,
    WdfRequestTypeQueryInformation = 0x05,
    WdfRequestTypeSetInformation = 0x06,
    WdfRequestTypeQueryEA = 0x07,
    WdfRequestTypeSetEA = 0x08,
    WdfRequestTypeFlushBuffers = 0x09,
    WdfRequestTypeQueryVolumeInformation = 0x0a,
    WdfRequestTypeSetVolumeInformation = 0x0b,
    WdfRequestTypeDirectoryControl = 0x0c,
    WdfRequestTypeFileSystemControl = 0x0d,
    WdfRequestTypeDeviceControl = 0x0e,
    WdfRequestTypeDeviceControlInternal = 0x0f,
    WdfRequestTypeShutdown = 0x10,
    WdfRequestTypeLockControl = 0x11,
    WdfRequestTypeCleanup = 0x12,
    WdfRequestTypeCreateMailSlot = 0x13,
    WdfRequestTypeQuerySecurity = 0x14,
    WdfRequestTypeSetSecurity = 0x15,
    WdfRequestTypePower = 0x16,
    WdfRequestTypeSystemControl = 0x17,
    WdfRequestTypeDeviceChange = 0x18,
    WdfRequestTypeQueryQuota = 0x19,
    WdfRequestTypeSetQuota = 0x1a,
    WdfRequestTypePnp = 0x1b,
    WdfRequestTypeOther = 0x1c,
    WdfRequestTypeUsb = 0x40,
    WdfRequestTypeNoFormat = 0xff,
    WdfRequestTypeMax = 0x100,
} WDF_REQUEST_TYPE;

typedef enum _WDF_REQUEST_STOP_ACTION_FLAGS {
    WdfRequestStopActionInvalid = 0,
    WdfRequestStopActionSuspend = 0x01,
    WdfRequestStopActionPurge = 0x02,
    WdfRequestStopRequestCancelable = 0x10000000,
} WDF_REQUEST_STOP_ACTION_FLAGS;

typedef struct _WDF_REQUEST_PARAMETERS {
    USHORT Size;
    UCHAR MinorFunction;
    WDF_REQUEST_TYPE Type;
    union {
        struct {
            PIO_SECURITY_CONTEXT SecurityContext;
            ULONG Options;
            USHORT POINTER_ALIGNMENT FileAttributes;
            USHORT ShareAccess;
            ULONG POINTER_ALIGNMENT EaLength;
        } Create;
        struct {
            size_t Length;
            ULONG POINTER_ALIGNMENT Key;
            LONGLONG DeviceOffset;
        } Read;
        struct {
            size_t Length;
            ULONG POINTER_ALIGNMENT Key;
            LONGLONG DeviceOffset;
        } Write;
        struct {
            size_t OutputBufferLength;
            size_t POINTER_ALIGNMENT InputBufferLength;
            ULONG POINTER_ALIGNMENT IoControlCode;
            PVOID Type3InputBuffer;
        } DeviceIoControl;
        struct {
            PVOID Arg1;
            PVOID Arg2;
            ULONG POINTER_ALIGNMENT IoControlCode;
            PVOID Arg4;
        } Others;
    } Parameters;
} WDF_REQUEST_PARAMETERS, *PWDF_REQUEST_PARAMETERS;

typedef VOID EVT_WDF_REQUEST_CANCEL(WDFREQUEST Request);
typedef EVT_WDF_REQUEST_CANCEL *PFN_WDF_REQUEST_CANCEL;

typedef VOID (*PFN_WDFREQUESTCOMPLETE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, NTSTATUS Status);
typedef VOID (*PFN_WDFREQUESTCOMPLETEWITHINFORMATION)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, NTSTATUS Status, ULONG_PTR Information);
typedef VOID (*PFN_WDFREQUESTCOMPLETEWITHPRIORITYBOOST)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, NTSTATUS Status, CCHAR PriorityBoost);
typedef VOID (*PFN_WDFREQUESTSETINFORMATION)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, ULONG_PTR Information);
typedef ULONG_PTR (*PFN_WDFREQUESTGETINFORMATION)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef NTSTATUS (*PFN_WDFREQUESTGETSTATUS)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef VOID (*PFN_WDFREQUESTGETPARAMETERS)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, PWDF_REQUEST_PARAMETERS Parameters);
typedef NTSTATUS (*PFN_WDFREQUESTRETRIEVEINPUTBUFFER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, size_t MinimumRequiredLength,
    PVOID *Buffer, size_t *Length);
typedef NTSTATUS (*PFN_WDFREQUESTRETRIEVEOUTPUTBUFFER)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, size_t MinimumRequiredSize,
    PVOID *Buffer, size_t *Length);
typedef NTSTATUS (*PFN_WDFREQUESTRETRIEVEINPUTMEMORY)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, WDFMEMORY *Memory);
typedef NTSTATUS (*PFN_WDFREQUESTRETRIEVEOUTPUTMEMORY)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, WDFMEMORY *Memory);
typedef VOID (*PFN_WDFREQUESTMARKCANCELABLE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, PFN_WDF_REQUEST_CANCEL EvtRequestCancel);
typedef NTSTATUS (*PFN_WDFREQUESTMARKCANCELABLEEX)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, PFN_WDF_REQUEST_CANCEL EvtRequestCancel);
typedef NTSTATUS (*PFN_WDFREQUESTUNMARKCANCELABLE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef BOOLEAN (*PFN_WDFREQUESTISCANCELED)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef WDFFILEOBJECT (*PFN_WDFREQUESTGETFILEOBJECT)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef WDFQUEUE (*PFN_WDFREQUESTGETIOQUEUE)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef KPROCESSOR_MODE (*PFN_WDFREQUESTGETREQUESTORMODE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef ULONG (*PFN_WDFREQUESTGETREQUESTORPROCESSID)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef NTSTATUS (*PFN_WDFREQUESTFORWARDTOIOQUEUE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, WDFQUEUE DestinationQueue);
typedef NTSTATUS (*PFN_WDFREQUESTREQUEUE)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef VOID (*PFN_WDFREQUESTSTOPACKNOWLEDGE)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request, BOOLEAN Requeue);
typedef BOOLEAN (*PFN_WDFREQUESTISFROM32BITPROCESS)(
    PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);
typedef PIRP (*PFN_WDFREQUESTWDMGETIRP)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFREQUEST Request);

#endif /* OPENKIT_WDFREQUEST_H */
