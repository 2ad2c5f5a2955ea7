//! Device interfaces: devices found by a class GUID.

use nt_abi::{
    BOOLEAN, GUID, NTSTATUS, PCGUID, PDEVICE_OBJECT, PUNICODE_STRING,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_OBJECT_NAME_EXISTS, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_SUCCESS,
};
use parking_lot::Mutex;

use super::{
    namespace,
    object::DeviceObject,
    pnp,
    rules::{Rule, passive_level},
};
use crate::rtl::{self, guid};

/// An instance of an interface class.
#[derive(Clone, Debug)]
struct Interface {
    class: GUID,
    link: String,
    device: DeviceObject,
    target: String,
    enabled: bool,
}

static INTERFACES: Mutex<Vec<Interface>> = Mutex::new(Vec::new());

/// The symbolic links of the enabled instances of a class.
pub fn enabled(class: &GUID) -> Vec<String> {
    INTERFACES
        .lock()
        .iter()
        .filter(|interface| interface.enabled && interface.class == *class)
        .map(|interface| interface.link.clone())
        .collect()
}

/// Forgets the instances of a device that is removed; those that are enabled are disabled.
pub fn forget(device: DeviceObject) {
    let gone: Vec<_> = INTERFACES
        .lock()
        .extract_if(.., |i| i.device == device)
        .collect();
    for interface in gone.iter().filter(|interface| interface.enabled) {
        // The link of an enabled instance exists, unless the driver deleted it itself.
        let _ = namespace::remove_link(&interface.link);
    }
}

fn register(
    pdo: DeviceObject,
    class: GUID,
    reference: &str,
) -> Result<(String, NTSTATUS), NTSTATUS> {
    let node = pnp::node(pdo).ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    let target = pdo
        .kernel()
        .name
        .clone()
        .ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    if reference.contains(['\\', '/']) {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    let path = node.instance_path.replace('\\', "#");
    let separator = if reference.is_empty() { "" } else { "\\" };
    let link = format!(r"\??\{path}#{}{separator}{reference}", guid::format(&class));
    let mut interfaces = INTERFACES.lock();
    if interfaces.iter().any(|interface| interface.link == link) {
        return Ok((link, STATUS_OBJECT_NAME_EXISTS));
    }
    let target = format!("{target}{separator}{reference}");
    interfaces.push(Interface {
        class,
        link: link.clone(),
        device: pdo,
        target,
        enabled: false,
    });
    drop(interfaces);
    Ok((link, STATUS_SUCCESS))
}

/// Registers an instance of an interface class for a device; its name is to be freed with
/// `RtlFreeUnicodeString`. `PASSIVE_LEVEL`. DDI: `IoRegisterDeviceInterface`.
///
/// `STATUS_OBJECT_NAME_EXISTS`, a success, if it is registered already;
/// `STATUS_INVALID_DEVICE_REQUEST` if the device is no PDO or the reference string has a path
/// separator.
///
/// # Safety
///
/// All pointers must be valid; `ReferenceString` may be null.
pub unsafe extern "win64" fn IoRegisterDeviceInterface(
    PhysicalDeviceObject: PDEVICE_OBJECT,
    InterfaceClassGuid: PCGUID,
    ReferenceString: PUNICODE_STRING,
    SymbolicLinkName: PUNICODE_STRING,
) -> NTSTATUS {
    passive_level(Rule::IO_PASSIVE_3, "IoRegisterDeviceInterface");
    // SAFETY: Valid by the contract of this function.
    let Some(pdo) = (unsafe { DeviceObject::new(PhysicalDeviceObject) }) else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    // SAFETY: As above.
    let class = unsafe { InterfaceClassGuid.read() };
    // SAFETY: As above.
    let reference = unsafe { rtl::to_string(ReferenceString) };
    match register(pdo, class, &reference) {
        Err(status) => status,
        Ok((link, status)) => {
            // SAFETY: As above.
            let stored = unsafe { rtl::unicode::allocate(SymbolicLinkName, &link) };
            if stored == STATUS_SUCCESS {
                status
            } else {
                stored
            }
        }
    }
}

/// Enables or disables an instance of an interface class. `PASSIVE_LEVEL`. DDI:
/// `IoSetDeviceInterfaceState`.
///
/// `STATUS_OBJECT_NAME_EXISTS`, a success, if it is enabled already; `STATUS_OBJECT_NAME_NOT_FOUND` if
/// it is not registered, or to be disabled and not enabled.
///
/// # Safety
///
/// The string must be valid.
pub unsafe extern "win64" fn IoSetDeviceInterfaceState(
    SymbolicLinkName: PUNICODE_STRING,
    Enable: BOOLEAN,
) -> NTSTATUS {
    passive_level(Rule::IO_PASSIVE_1, "IoSetDeviceInterfaceState");
    // SAFETY: Valid by the contract of this function.
    let link = unsafe { rtl::to_string(SymbolicLinkName) };
    INTERFACES
        .lock()
        .iter_mut()
        .find(|interface| interface.link.eq_ignore_ascii_case(&link))
        .map_or(STATUS_OBJECT_NAME_NOT_FOUND, |interface| {
            set_state(interface, Enable != 0)
        })
}

fn set_state(interface: &mut Interface, enable: bool) -> NTSTATUS {
    let result = match (interface.enabled, enable) {
        (true, true) => return STATUS_OBJECT_NAME_EXISTS,
        (false, false) => return STATUS_OBJECT_NAME_NOT_FOUND,
        (false, true) => namespace::insert_link(&interface.link, &interface.target),
        (true, false) => namespace::remove_link(&interface.link),
    };
    if result.is_ok() {
        interface.enabled = enable;
    }
    result.err().unwrap_or(STATUS_SUCCESS)
}

crate::export::exports! {
    "ntoskrnl.exe"; IoRegisterDeviceInterface, IoSetDeviceInterfaceState
}
