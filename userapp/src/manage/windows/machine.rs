//! Facts of the machine.

use windows::{
    Wdk::System::{
        SystemInformation::{NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS},
        SystemServices::RtlGetVersion,
    },
    Win32::{
        Foundation::{CloseHandle, ERROR_FILE_NOT_FOUND, ERROR_SUCCESS, HANDLE},
        Security::{GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation},
        System::{
            Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW},
            SystemInformation::{IMAGE_FILE_MACHINE, IMAGE_FILE_MACHINE_ARM64, OSVERSIONINFOW},
            Threading::{GetCurrentProcess, IsWow64Process2, OpenProcessToken},
            WindowsProgramming::{
                CODEINTEGRITY_OPTION_HVCI_KMCI_ENABLED, CODEINTEGRITY_OPTION_TESTSIGN,
                SYSTEM_CODEINTEGRITY_INFORMATION,
            },
        },
    },
    core::w,
};

use super::{length, trying};
use crate::manage::system::{Arch, Machine, SystemError};

/// `SystemCodeIntegrityInformation`. Page: `NtQuerySystemInformation`.
const CODE_INTEGRITY: SYSTEM_INFORMATION_CLASS = SYSTEM_INFORMATION_CLASS(103);

/// Asks for all of them.
pub fn machine() -> Result<Machine, SystemError> {
    let integrity = code_integrity()?;
    Ok(Machine {
        build: build()?,
        arch: arch()?,
        elevated: is_elevated()?,
        test_signing: integrity & CODEINTEGRITY_OPTION_TESTSIGN != 0,
        secure_boot: secure_boot()?,
        memory_integrity: integrity & CODEINTEGRITY_OPTION_HVCI_KMCI_ENABLED != 0,
    })
}

fn code_integrity() -> Result<u32, SystemError> {
    let mut information = SYSTEM_CODEINTEGRITY_INFORMATION {
        Length: length::<SYSTEM_CODEINTEGRITY_INFORMATION>(),
        CodeIntegrityOptions: 0,
    };
    let mut written = 0;
    // SAFETY: The class writes this structure, whose length is passed; both live across the call.
    let status = unsafe {
        NtQuerySystemInformation(
            CODE_INTEGRITY,
            (&raw mut information).cast(),
            length::<SYSTEM_CODEINTEGRITY_INFORMATION>(),
            &raw mut written,
        )
    };
    status
        .ok()
        .map_err(trying("cannot ask for the code integrity options"))?;
    Ok(information.CodeIntegrityOptions)
}

fn build() -> Result<u32, SystemError> {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: length::<OSVERSIONINFOW>(),
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: The structure tells its own length and lives across the call.
    unsafe { RtlGetVersion(&raw mut version) }
        .ok()
        .map_err(trying("cannot ask for the version of Windows"))?;
    Ok(version.dwBuildNumber)
}

fn arch() -> Result<Arch, SystemError> {
    let mut process = IMAGE_FILE_MACHINE::default();
    let mut native = IMAGE_FILE_MACHINE::default();
    // SAFETY: It has no conditions; the handle is no real one and need not be closed.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: Both results live across the call.
    unsafe { IsWow64Process2(this, &raw mut process, Some(&raw mut native)) }
        .map_err(trying("cannot ask for the machine's processors"))?;
    Ok(if native == IMAGE_FILE_MACHINE_ARM64 {
        Arch::Arm64
    } else {
        Arch::Amd64
    })
}

fn is_elevated() -> Result<bool, SystemError> {
    let what = "cannot ask whether this process is elevated";
    let mut token = HANDLE::default();
    // SAFETY: It has no conditions; the handle is no real one and need not be closed.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: The handle's place lives across the call.
    unsafe { OpenProcessToken(this, TOKEN_QUERY, &raw mut token) }.map_err(trying(what))?;
    let mut elevation = TOKEN_ELEVATION::default();
    let mut written = 0;
    // SAFETY: The class writes this structure, whose length is passed; both live across the call.
    let asked = unsafe {
        GetTokenInformation(
            token,
            TokenElevation,
            Some((&raw mut elevation).cast()),
            length::<TOKEN_ELEVATION>(),
            &raw mut written,
        )
    };
    // SAFETY: The token was opened above, and nothing else closes it.
    let closed = unsafe { CloseHandle(token) };
    debug_assert!(closed.is_ok(), "a handle that is ours can be closed");
    asked.map_err(trying(what))?;
    Ok(elevation.TokenIsElevated != 0)
}

/// A machine without UEFI does not have the value.
fn secure_boot() -> Result<bool, SystemError> {
    let mut enabled = 0_u32;
    let mut bytes = length::<u32>();
    // SAFETY: The names are constants, and value and length live across the call.
    let result = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!(r"SYSTEM\CurrentControlSet\Control\SecureBoot\State"),
            w!("UEFISecureBootEnabled"),
            RRF_RT_REG_DWORD,
            None,
            Some((&raw mut enabled).cast()),
            Some(&raw mut bytes),
        )
    };
    match result {
        ERROR_SUCCESS => Ok(enabled != 0),
        ERROR_FILE_NOT_FOUND => Ok(false),
        error => Err(trying("cannot ask whether Secure Boot is on")(error.into())),
    }
}
