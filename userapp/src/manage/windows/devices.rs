//! Devices and packages: `SetupAPI`, newdev and the configuration manager.

use std::path::Path;

use windows::{
    Win32::Devices::{
        DeviceAndDriverInstallation::{
            CM_DEVNODE_STATUS_FLAGS, CM_DISABLE_PERSIST, CM_DISABLE_UI_NOT_OK, CM_Disable_DevNode,
            CM_Enable_DevNode, CM_Get_DevNode_PropertyW, CM_Get_DevNode_Status, CM_PROB, CONFIGRET,
            CR_SUCCESS, DI_NEEDREBOOT, DI_NEEDRESTART, DICD_GENERATE_ID, DIF_REGISTERDEVICE,
            DIF_REMOVE, DIGCF_ALLCLASSES, DN_HAS_PROBLEM, DN_STARTED, GUID_DEVCLASS_SYSTEM,
            HDEVINFO, INSTALLFLAG_FORCE, SP_DEVINFO_DATA, SP_DEVINSTALL_PARAMS_W, SPDRP_HARDWAREID,
            SUOI_FORCEDELETE, SetupDiCallClassInstaller, SetupDiCreateDeviceInfoList,
            SetupDiCreateDeviceInfoW, SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInfo,
            SetupDiGetClassDevsW, SetupDiGetDeviceInstallParamsW, SetupDiGetDeviceInstanceIdW,
            SetupDiGetDeviceRegistryPropertyW, SetupDiSetDeviceRegistryPropertyW,
            SetupUninstallOEMInfW, UpdateDriverForPlugAndPlayDevicesW,
        },
        Properties::{DEVPKEY_Device_DriverInfPath, DEVPROPTYPE},
    },
    core::{BOOL, PCWSTR, w},
};

use super::{length, text, trying, wide};
use crate::manage::system::{Device, SystemError};

/// A set of devices; destroyed when it is dropped.
struct Set(HDEVINFO);

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: The set was made for this one, and nothing else destroys it.
        let destroyed = unsafe { SetupDiDestroyDeviceInfoList(self.0) };
        debug_assert!(destroyed.is_ok(), "a set that is ours can be destroyed");
    }
}

impl Set {
    /// The root-enumerated devices of all classes, present or not.
    fn of_root_devices() -> Result<Self, SystemError> {
        // SAFETY: The enumerator's name is a constant.
        unsafe { SetupDiGetClassDevsW(None, w!("ROOT"), None, DIGCF_ALLCLASSES) }
            .map(Self)
            .map_err(trying("cannot list the devices"))
    }

    /// The elements with this hardware id.
    fn with_id(&self, hardware_id: &str) -> Vec<SP_DEVINFO_DATA> {
        let mut found = Vec::new();
        let mut element = element();
        for index in 0.. {
            // SAFETY: The set lives, and the element tells its own length.
            let listed = unsafe { SetupDiEnumDeviceInfo(self.0, index, &raw mut element) };
            if listed.is_err() {
                break;
            }
            let ids = self.hardware_ids(&element);
            if ids.iter().any(|id| id.eq_ignore_ascii_case(hardware_id)) {
                found.push(element);
            }
        }
        found
    }

    fn hardware_ids(&self, element: &SP_DEVINFO_DATA) -> Vec<String> {
        let mut bytes = [0; 2048];
        // SAFETY: The element is of this set, and the slice carries its length.
        let read = unsafe {
            SetupDiGetDeviceRegistryPropertyW(
                self.0,
                element,
                SPDRP_HARDWAREID,
                None,
                Some(&mut bytes),
                None,
            )
        };
        if read.is_err() {
            return Vec::new();
        }
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let ids = units
            .split(|&unit| unit == 0)
            .take_while(|id| !id.is_empty());
        ids.map(text).collect()
    }

    fn instance(&self, element: &SP_DEVINFO_DATA) -> String {
        let mut instance = [0; 256];
        // SAFETY: The element is of this set, and the slice carries its length.
        let read =
            unsafe { SetupDiGetDeviceInstanceIdW(self.0, element, Some(&mut instance), None) };
        read.map_or_else(|_| String::new(), |()| text(&instance))
    }

    /// The element of this instance id.
    fn element(&self, instance: &str) -> Result<SP_DEVINFO_DATA, SystemError> {
        let mut element = element();
        for index in 0.. {
            // SAFETY: The set lives, and the element tells its own length.
            unsafe { SetupDiEnumDeviceInfo(self.0, index, &raw mut element) }
                .map_err(trying(format!("cannot find the device {instance}")))?;
            if self.instance(&element) == instance {
                break;
            }
        }
        Ok(element)
    }
}

fn element() -> SP_DEVINFO_DATA {
    SP_DEVINFO_DATA {
        cbSize: length::<SP_DEVINFO_DATA>(),
        ..SP_DEVINFO_DATA::default()
    }
}

/// The devices with this hardware id.
pub fn list(hardware_id: &str) -> Result<Vec<Device>, SystemError> {
    let set = Set::of_root_devices()?;
    let elements = set.with_id(hardware_id);
    let device = |element: &SP_DEVINFO_DATA| {
        let (started, problem) = state(element.DevInst);
        Device {
            instance: set.instance(element),
            started,
            problem,
            package: package(element.DevInst),
        }
    };
    Ok(elements.iter().map(device).collect())
}

/// Whether the device is started, and its problem.
fn state(node: u32) -> (bool, Option<u32>) {
    let mut flags = CM_DEVNODE_STATUS_FLAGS::default();
    let mut problem = CM_PROB::default();
    // SAFETY: Both results live across the call.
    let asked = unsafe { CM_Get_DevNode_Status(&raw mut flags, &raw mut problem, node, 0) };
    if asked != CR_SUCCESS {
        // It is remembered and not there.
        return (false, None);
    }
    let has_problem = flags.contains(DN_HAS_PROBLEM);
    (flags.contains(DN_STARTED), has_problem.then_some(problem.0))
}

/// The name of the device's package in the driver store.
fn package(node: u32) -> Option<String> {
    let mut kind = DEVPROPTYPE::default();
    let mut name = [0_u16; 260];
    let mut bytes = length::<[u16; 260]>();
    // SAFETY: The buffer is as long as said; key and results live across the call.
    let asked = unsafe {
        CM_Get_DevNode_PropertyW(
            node,
            &DEVPKEY_Device_DriverInfPath,
            &raw mut kind,
            Some(name.as_mut_ptr().cast()),
            &raw mut bytes,
            0,
        )
    };
    (asked == CR_SUCCESS).then(|| text(&name))
}

/// Creates a root-enumerated device, by the steps of `devcon install`. Page:
/// `SetupDiCreateDeviceInfoW`.
pub fn create(hardware_id: &str) -> Result<(), SystemError> {
    let what = format!("cannot create a device {hardware_id}");
    // SAFETY: The class lives across the call.
    let set = unsafe { SetupDiCreateDeviceInfoList(Some(&GUID_DEVCLASS_SYSTEM), None) }
        .map(Set)
        .map_err(trying(what.as_str()))?;
    let mut element = element();
    // SAFETY: The set lives, the name is a constant, the element tells its own length.
    unsafe {
        SetupDiCreateDeviceInfoW(
            set.0,
            w!("System"),
            &GUID_DEVCLASS_SYSTEM,
            PCWSTR::null(),
            None,
            DICD_GENERATE_ID,
            Some(&raw mut element),
        )
    }
    .map_err(trying(what.as_str()))?;
    // A list of one: each entry ends with a zero, and the list with another.
    let units = wide(hardware_id).into_iter().chain([0]);
    let ids: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    // SAFETY: The element is of this set, and the slice carries its length.
    unsafe {
        SetupDiSetDeviceRegistryPropertyW(set.0, &raw mut element, SPDRP_HARDWAREID, Some(&ids))
    }
    .map_err(trying(what.as_str()))?;
    // SAFETY: The element is of this set.
    unsafe { SetupDiCallClassInstaller(DIF_REGISTERDEVICE, set.0, Some(&raw const element)) }
        .map_err(trying(what))
}

/// Takes the package into the driver store and installs it on the devices with the hardware id, be it
/// newer than what they have or not.
pub fn install(hardware_id: &str, inf: &Path) -> Result<bool, SystemError> {
    let id = wide(hardware_id);
    let path = wide(inf);
    let mut restart = BOOL::default();
    // SAFETY: Both names end with a zero and live across the call, as does the answer.
    unsafe {
        UpdateDriverForPlugAndPlayDevicesW(
            None,
            PCWSTR(id.as_ptr()),
            PCWSTR(path.as_ptr()),
            INSTALLFLAG_FORCE,
            Some(&raw mut restart),
        )
    }
    .map_err(trying(format!("cannot install {}", inf.display())))?;
    Ok(restart.as_bool())
}

/// Removes a device, by the request that `devcon remove` makes. Page: `DIF_REMOVE`.
pub fn remove(instance: &str) -> Result<bool, SystemError> {
    let what = format!("cannot remove the device {instance}");
    let set = Set::of_root_devices()?;
    let element = set.element(instance)?;
    // Without parameters of its own it is removed from the system as a whole.
    // SAFETY: The element is of this set.
    unsafe { SetupDiCallClassInstaller(DIF_REMOVE, set.0, Some(&raw const element)) }
        .map_err(trying(what))?;
    let mut outcome = SP_DEVINSTALL_PARAMS_W {
        cbSize: length::<SP_DEVINSTALL_PARAMS_W>(),
        ..SP_DEVINSTALL_PARAMS_W::default()
    };
    // SAFETY: The element is of this set, and the result tells its own length.
    let told = unsafe {
        SetupDiGetDeviceInstallParamsW(set.0, Some(&raw const element), &raw mut outcome)
    };
    // The device is gone by now, and need not have parameters any more.
    let restart = |flag| told.is_ok() && outcome.Flags.contains(flag);
    Ok(restart(DI_NEEDREBOOT) || restart(DI_NEEDRESTART))
}

/// Removes a package from the driver store, even if some device that is not there uses it.
pub fn remove_package(name: &str) -> Result<(), SystemError> {
    let wide_name = wide(name);
    // SAFETY: The name ends with a zero and lives across the call.
    unsafe { SetupUninstallOEMInfW(PCWSTR(wide_name.as_ptr()), SUOI_FORCEDELETE, None) }
        .ok()
        .map_err(trying(format!("cannot remove the package {name}")))
}

/// Enables or disables a device, and it stays so.
pub fn enable(instance: &str, enable: bool) -> Result<(), SystemError> {
    let set = Set::of_root_devices()?;
    let node = set.element(instance)?.DevInst;
    let result = if enable {
        // SAFETY: The node is that of a device in the set, which lives.
        unsafe { CM_Enable_DevNode(node, 0) }
    } else {
        // SAFETY: As above.
        unsafe { CM_Disable_DevNode(node, CM_DISABLE_UI_NOT_OK | CM_DISABLE_PERSIST) }
    };
    match result {
        CR_SUCCESS => Ok(()),
        CONFIGRET(code) => Err(SystemError {
            what: format!("cannot switch the device {instance}"),
            why: format!("the configuration manager answers {code:#x}"),
        }),
    }
}
