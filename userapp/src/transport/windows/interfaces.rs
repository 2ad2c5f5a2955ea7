//! The device interfaces of the driver that are there. Pages: `SetupDiGetClassDevsW`,
//! `SetupDiEnumDeviceInterfaces`, `SetupDiGetDeviceInterfaceDetailW`.

use std::mem::size_of;

use syncstress_protocol::DEVICE_INTERFACE_GUID;
use windows::{
    Win32::Devices::DeviceAndDriverInstallation::{
        DIGCF_DEVICEINTERFACE, DIGCF_PRESENT, HDEVINFO, SP_DEVICE_INTERFACE_DATA,
        SP_DEVICE_INTERFACE_DETAIL_DATA_W, SetupDiDestroyDeviceInfoList,
        SetupDiEnumDeviceInterfaces, SetupDiGetClassDevsW, SetupDiGetDeviceInterfaceDetailW,
    },
    core::{GUID, PCWSTR},
};

static INTERFACE: GUID = {
    let (data1, data2, data3, data4) = DEVICE_INTERFACE_GUID;
    GUID {
        data1,
        data2,
        data3,
        data4,
    }
};

/// No path of a device is longer, in units of UTF-16: that of a registry key is not.
const MOST_UNITS: usize = 1024;

/// `SP_DEVICE_INTERFACE_DETAIL_DATA_W` with room for the path that it ends in.
#[repr(C)]
struct Detail {
    fixed_bytes: u32,
    path: [u16; MOST_UNITS],
}

/// A set of devices; destroyed when it is dropped.
struct Set(HDEVINFO);

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: The set was made for this one, and nothing else destroys it.
        let destroyed = unsafe { SetupDiDestroyDeviceInfoList(self.0) };
        debug_assert!(destroyed.is_ok(), "a set that is ours can be destroyed");
    }
}

/// The paths of the device interfaces that are there now, each with its terminating zero.
#[must_use]
pub fn device_interfaces() -> Vec<Vec<u16>> {
    let wanted = DIGCF_DEVICEINTERFACE | DIGCF_PRESENT;
    // SAFETY: The GUID lives across the call, and no enumerator is named.
    let set =
        unsafe { SetupDiGetClassDevsW(Some(&raw const INTERFACE), PCWSTR::null(), None, wanted) };
    let Ok(set) = set.map(Set) else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    for index in 0.. {
        let mut interface = SP_DEVICE_INTERFACE_DATA {
            cbSize: length::<SP_DEVICE_INTERFACE_DATA>(),
            ..SP_DEVICE_INTERFACE_DATA::default()
        };
        // SAFETY: The set and the GUID live across the call, and the entry tells its own length.
        let listed = unsafe {
            SetupDiEnumDeviceInterfaces(
                set.0,
                None,
                &raw const INTERFACE,
                index,
                &raw mut interface,
            )
        };
        if listed.is_err() {
            break;
        }
        paths.extend(path(&set, &interface));
    }
    paths
}

fn path(set: &Set, interface: &SP_DEVICE_INTERFACE_DATA) -> Option<Vec<u16>> {
    let mut detail = Detail {
        fixed_bytes: length::<SP_DEVICE_INTERFACE_DETAIL_DATA_W>(),
        path: [0; MOST_UNITS],
    };
    // SAFETY: The interface is of this set, and the detail is as long as said; as documented it tells
    // the length of its fixed part.
    unsafe {
        SetupDiGetDeviceInterfaceDetailW(
            set.0,
            interface,
            Some((&raw mut detail).cast()),
            length::<Detail>(),
            None,
            None,
        )
    }
    .ok()?;
    let units = detail.path.iter().copied();
    let mut path: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    path.push(0);
    Some(path)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "structures of the system are small"
)]
const fn length<T>() -> u32 {
    size_of::<T>() as u32
}
