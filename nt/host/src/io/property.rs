//! Properties of devices (`IoGetDeviceProperty`).

use nt_abi::{
    _DEVICE_REGISTRY_PROPERTY as property, ACCESS_MASK, NTSTATUS, PDEVICE_OBJECT, PHANDLE, PULONG,
    PVOID, STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER_2, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_SUCCESS, ULONG,
};

use super::pnp::{self, Node};
use crate::{cm, fault, irql::PASSIVE, rtl};

/// The control set that the system was started with.
const CURRENT: &str = r"\Registry\Machine\System\CurrentControlSet";
const PLUGPLAY_REGKEY_DEVICE: ULONG = 1;
const PLUGPLAY_REGKEY_DRIVER: ULONG = 2;
const PLUGPLAY_REGKEY_CURRENT_HWPROFILE: ULONG = 4;

fn text(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_ne_bytes)
        .collect()
}

/// A property of a device of the root bus, which has no firmware, no setup class and no setup
/// information: it is known by its name alone.
fn value(node: &Node, property: property::Type) -> Result<Vec<u8>, NTSTATUS> {
    let identifier = node
        .instance_path
        .rsplit_once('\\')
        .map_or("", |(id, _)| id);
    Ok(match property {
        property::DevicePropertyHardwareID => [text(identifier), text("")].concat(),
        property::DevicePropertyPhysicalDeviceObjectName => {
            text(node.pdo.kernel().name.as_deref().unwrap_or_default())
        }
        property::DevicePropertyEnumeratorName => text("ROOT"),
        property::DevicePropertyRemovalPolicy => 1_u32.to_ne_bytes().to_vec(),
        property::DevicePropertyInstallState => 0_u32.to_ne_bytes().to_vec(),
        0..property::MaxDeviceProperty => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
        _ => return Err(STATUS_INVALID_PARAMETER_2),
    })
}

/// Tells a property of a device. `PASSIVE_LEVEL`. DDI: `IoGetDeviceProperty`.
///
/// `STATUS_BUFFER_TOO_SMALL`, with the size needed, if the buffer is; `STATUS_OBJECT_NAME_NOT_FOUND`
/// if the device has no such property; `STATUS_INVALID_DEVICE_REQUEST` if it is no PDO.
///
/// # Safety
///
/// The pointers must be valid, the buffer for as many bytes as its length says.
pub unsafe extern "win64" fn IoGetDeviceProperty(
    DeviceObject: PDEVICE_OBJECT,
    DeviceProperty: property::Type,
    BufferLength: ULONG,
    PropertyBuffer: PVOID,
    ResultLength: PULONG,
) -> NTSTATUS {
    rtl::pageable!(PASSIVE, IoGetDeviceProperty);
    // SAFETY: Valid by the contract of this function.
    let device = unsafe { super::object::DeviceObject::new(DeviceObject) };
    let Some(node) = device.and_then(pnp::node) else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    let value = match value(&node, DeviceProperty) {
        Ok(value) => value,
        Err(status) => return status,
    };
    // SAFETY: As above. No property is longer than a ULONG can say.
    unsafe { ResultLength.write(value.len() as ULONG) };
    if value.len() > BufferLength as usize {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: The buffer has room for `BufferLength` bytes, no fewer than are copied.
    unsafe {
        PropertyBuffer
            .cast::<u8>()
            .copy_from_nonoverlapping(value.as_ptr(), value.len());
    };
    STATUS_SUCCESS
}

/// Opens the hardware or software key of a device, which is made if it is not there. `PASSIVE_LEVEL`. DDI:
/// `IoOpenDeviceRegistryKey`.
///
/// A device of the root bus has no setup class: its software key is under its driver's name in place of one.
/// `STATUS_INVALID_PARAMETER` if it is no PDO, or for another kind of key. `PLUGPLAY_REGKEY_CURRENT_HWPROFILE` beside
/// the kind asks for the key of the current hardware profile.
///
/// # Safety
///
/// The pointers must be valid.
pub unsafe extern "win64" fn IoOpenDeviceRegistryKey(
    DeviceObject: PDEVICE_OBJECT,
    DevInstKeyType: ULONG,
    _DesiredAccess: ACCESS_MASK,
    DeviceRegKey: PHANDLE,
) -> NTSTATUS {
    const NAME: &str = "IoOpenDeviceRegistryKey";
    rtl::pageable!(PASSIVE, IoOpenDeviceRegistryKey);
    // SAFETY: Valid by the contract of this function.
    let device = unsafe { super::object::DeviceObject::new(DeviceObject) };
    let Some(node) = device.and_then(pnp::node) else {
        return STATUS_INVALID_PARAMETER;
    };
    let instance = &node.instance_path;
    let root = if DevInstKeyType & PLUGPLAY_REGKEY_CURRENT_HWPROFILE == 0 {
        CURRENT.to_owned()
    } else {
        format!(r"{CURRENT}\Hardware Profiles\Current\System\CurrentControlSet")
    };
    let path = match DevInstKeyType & !PLUGPLAY_REGKEY_CURRENT_HWPROFILE {
        PLUGPLAY_REGKEY_DEVICE => format!(r"{root}\Enum\{instance}\Device Parameters"),
        PLUGPLAY_REGKEY_DRIVER => format!(r"{root}\Control\Class\{instance}"),
        _ => return STATUS_INVALID_PARAMETER,
    };
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    cm::create(&path);
    // SAFETY: As above.
    unsafe { DeviceRegKey.write(cm::key::open(path)) };
    STATUS_SUCCESS
}

crate::export::exports! { "ntoskrnl.exe"; IoGetDeviceProperty, IoOpenDeviceRegistryKey }
