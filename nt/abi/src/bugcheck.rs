//! Bug check codes (`bugcodes.h`) with their names.

macro_rules! codes {
    ($($name:ident = $value:literal;)*) => {
        $(pub const $name: u32 = $value;)*

        /// The symbolic name of a bug check code, where it is one of those listed here.
        #[must_use]
        pub const fn name(code: u32) -> Option<&'static str> {
            match code {
                $($name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

codes! {
    APC_INDEX_MISMATCH = 0x01;
    IRQL_NOT_LESS_OR_EQUAL = 0x0A;
    MAXIMUM_WAIT_OBJECTS_EXCEEDED = 0x0C;
    SPIN_LOCK_ALREADY_OWNED = 0x0F;
    SPIN_LOCK_NOT_OWNED = 0x10;
    THREAD_NOT_MUTEX_OWNER = 0x11;
    KMODE_EXCEPTION_NOT_HANDLED = 0x1E;
    SHARED_RESOURCE_CONV_ERROR = 0x1F;
    KERNEL_APC_PENDING_DURING_EXIT = 0x20;
    NO_MORE_IRP_STACK_LOCATIONS = 0x35;
    PFN_LIST_CORRUPT = 0x4E;
    PAGE_FAULT_IN_NONPAGED_AREA = 0x50;
    MULTIPLE_IRP_COMPLETE_REQUESTS = 0x44;
    IRQL_GT_ZERO_AT_SYSTEM_SERVICE = 0x4A;
    UNEXPECTED_KERNEL_MODE_TRAP = 0x7F;
    INVALID_KERNEL_HANDLE = 0x93;
    ATTEMPTED_SWITCH_FROM_DPC = 0xB8;
    ATTEMPTED_WRITE_TO_READONLY_MEMORY = 0xBE;
    MUTEX_ALREADY_OWNED = 0xBF;
    SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION = 0xC1;
    BAD_POOL_CALLER = 0xC2;
    DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4;
    TIMER_OR_DPC_INVALID = 0xC7;
    IRQL_UNEXPECTED_VALUE = 0xC8;
    DRIVER_VERIFIER_IOMANAGER_VIOLATION = 0xC9;
    DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS = 0xCE;
    DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1;
    WORKER_THREAD_RETURNED_AT_BAD_IRQL = 0xE1;
    MANUALLY_INITIATED_CRASH = 0xE2;
    RESOURCE_NOT_OWNED = 0xE3;
    WORKER_INVALID = 0xE4;
    ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY = 0xFC;
    WDF_VIOLATION = 0x10D;
    DPC_WATCHDOG_VIOLATION = 0x133;
    KERNEL_SECURITY_CHECK_FAILURE = 0x139;
    ERESOURCE_INVALID_RELEASE = 0x16E;
}
