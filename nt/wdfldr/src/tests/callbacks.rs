//! Defining drivers and their events briefly.

/// Defines a `DriverEntry` whose device is set up by `$add(init)`, which returns a status.
macro_rules! driver {
    ($add:expr) => {{
        unsafe extern "win64" fn device_add(
            _: $crate::abi::WDFDRIVER,
            init: $crate::abi::PWDFDEVICE_INIT,
        ) -> nt_abi::NTSTATUS {
            let add: fn($crate::abi::PWDFDEVICE_INIT) -> nt_abi::NTSTATUS = $add;
            add(init)
        }
        unsafe extern "win64" fn entry(
            driver: *mut nt_abi::DRIVER_OBJECT,
            path: nt_abi::PUNICODE_STRING,
        ) -> nt_abi::NTSTATUS {
            let config = $crate::tests::harness::driver_config(device_add);
            // SAFETY: The arguments are the I/O manager's.
            unsafe { $crate::tests::harness::enter(driver, path, config) }
        }
        entry as nthost::DriverEntry
    }};
}

/// Defines an event of the framework's calling convention around a function.
macro_rules! event {
    (|$($name:ident: $ty:ty),*| $body:expr) => {{
        unsafe extern "win64" fn event($($name: $ty),*) { $body }
        event
    }};
    (|$($name:ident: $ty:ty),*| -> $ret:ty $body:block) => {{
        unsafe extern "win64" fn event($($name: $ty),*) -> $ret { $body }
        event
    }};
}

/// Calls a function of the framework with the driver's globals.
macro_rules! wdf {
    ($module:ident :: $name:ident ( $($argument:expr),* $(,)? )) => {
        // SAFETY: The tests pass what the function's page asks for.
        unsafe { $crate::$module::$name($crate::tests::harness::globals(), $($argument),*) }
    };
}

pub(super) use {driver, event, wdf};
