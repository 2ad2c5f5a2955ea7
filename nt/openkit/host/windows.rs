//! The crate `windows` as wdk-build's host build sees it: a registry without keys. wdk-build then
//! goes by the environment variables alone.

pub mod core {
    pub use crate::__registry_name as s;

    #[derive(Clone, Copy)]
    pub struct PCSTR;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __registry_name {
    ($name:literal) => {
        $crate::core::PCSTR
    };
}

#[allow(non_snake_case)]
pub mod Win32 {
    pub mod System {
        pub mod Registry {
            use crate::core::PCSTR;
            use std::ffi::c_void;

            #[derive(Clone, Copy, Default)]
            pub struct HKEY;
            #[derive(Clone, Copy)]
            pub struct REG_SAM_FLAGS;
            #[derive(Clone, Copy)]
            pub struct REG_ROUTINE_FLAGS;

            pub const HKEY_LOCAL_MACHINE: HKEY = HKEY;
            pub const KEY_READ: REG_SAM_FLAGS = REG_SAM_FLAGS;
            pub const RRF_RT_REG_SZ: REG_ROUTINE_FLAGS = REG_ROUTINE_FLAGS;

            /// What wdk-build 0.6 passes, and what 0.5 does.
            pub trait Options {}
            impl Options for Option<u32> {}
            impl Options for u32 {}

            /// `ERROR_FILE_NOT_FOUND`, whatever the call.
            #[derive(Debug)]
            pub struct WIN32_ERROR;

            impl WIN32_ERROR {
                pub const fn is_ok(&self) -> bool {
                    false
                }

                pub const fn ok(self) -> Result<(), Self> {
                    Err(self)
                }
            }

            pub unsafe fn RegOpenKeyExA(
                _key: HKEY,
                _sub_key: PCSTR,
                _options: impl Options,
                _access: REG_SAM_FLAGS,
                _result: *mut HKEY,
            ) -> WIN32_ERROR {
                WIN32_ERROR
            }

            pub unsafe fn RegGetValueA(
                _key: HKEY,
                _sub_key: Option<PCSTR>,
                _value: PCSTR,
                _flags: REG_ROUTINE_FLAGS,
                _kind: Option<*mut u32>,
                _data: Option<*mut c_void>,
                _length: Option<*mut u32>,
            ) -> WIN32_ERROR {
                WIN32_ERROR
            }

            pub unsafe fn RegCloseKey(_key: HKEY) -> WIN32_ERROR {
                WIN32_ERROR
            }
        }
    }
}
