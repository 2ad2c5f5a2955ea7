//! A driver of a device that comes and goes: `AddDevice`, start, a device interface, removal.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicPtr, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use nthost::{
    Device, Driver, InterruptResource, Kernel, RegistryData, Stop, ntddk::*,
    testing::expect_bug_check,
};
use support::{
    driver::{Text, complete, forward, load_entry, object, stack, text},
    nt,
};

const CLASS: GUID = GUID {
    Data1: 0x8C4E_A2C0,
    Data2: 0x7B6D,
    Data3: 0x4B8F,
    Data4: [1, 2, 3, 4, 5, 6, 7, 8],
};

/// `PLUGPLAY_REGKEY_DEVICE`.
const HARDWARE_KEY: u32 = 1;

/// What the driver keeps of its device.
#[repr(C)]
struct Extension {
    lower: PDEVICE_OBJECT,
    interface: UNICODE_STRING,
}

fn extension<'a>(device: PDEVICE_OBJECT) -> &'a mut Extension {
    // SAFETY: The kernel passes a device of this driver.
    let place = unsafe { (*device).DeviceExtension };
    // SAFETY: The driver has made its devices with this extension.
    unsafe { &mut *place.cast() }
}

/// The minor codes of the Plug and Play IRPs that arrived.
static MINORS: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// The physical device, and what the driver says of the device's state.
static PDO: AtomicPtr<DEVICE_OBJECT> = AtomicPtr::new(ptr::null_mut());
static STATE: AtomicU32 = AtomicU32::new(0);
/// The interrupts that the device was started with.
static INTERRUPTS: Mutex<Vec<CM_INTERRUPT_DESCRIPTOR>> = Mutex::new(Vec::new());

unsafe extern "win64" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    let mut device = ptr::null_mut();
    let size = u32::try_from(size_of::<Extension>()).expect("small");
    let nobody = ptr::null_mut();
    let status = nt!(IoCreateDevice(
        driver,
        size,
        nobody,
        FILE_DEVICE_UNKNOWN,
        0,
        FALSE,
        &raw mut device
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let extension = extension(device);
    extension.lower = nt!(IoAttachDeviceToDeviceStack(device, pdo));
    assert_eq!(extension.lower, pdo);
    PDO.store(pdo, Ordering::Release);
    look_up(pdo);
    ask_for_relations(pdo);
    let status = nt!(IoRegisterDeviceInterface(
        pdo,
        &CLASS,
        nobody.cast(),
        &raw mut extension.interface
    ));
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: The device was made above.
    unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
    STATUS_SUCCESS
}

/// What the driver finds about its device: a property, and the key that an installation fills.
fn look_up(pdo: PDEVICE_OBJECT) {
    let property = |buffer: &mut [u16]| {
        let size = u32::try_from(size_of_val(buffer)).expect("small");
        let mut needed = 0;
        let status = nt!(IoGetDeviceProperty(
            pdo,
            _DEVICE_REGISTRY_PROPERTY::DevicePropertyEnumeratorName,
            size,
            buffer.as_mut_ptr().cast(),
            &raw mut needed
        ));
        (status, needed)
    };
    let mut name = [0; 5];
    assert_eq!(property(&mut name[..4]), (STATUS_BUFFER_TOO_SMALL, 10));
    assert_eq!(property(&mut name), (STATUS_SUCCESS, 10));
    assert!(name.into_iter().eq("ROOT\0".encode_utf16()));
    let mut key = ptr::null_mut();
    let open = |kind, place| nt!(IoOpenDeviceRegistryKey(pdo, kind, 0, place));
    assert_eq!(open(9, &raw mut key), STATUS_INVALID_PARAMETER);
    let none = ptr::null_mut();
    let of_no_pdo = nt!(IoOpenDeviceRegistryKey(none, HARDWARE_KEY, 0, &raw mut key));
    assert_eq!(of_no_pdo, STATUS_INVALID_PARAMETER);
    assert_eq!(open(HARDWARE_KEY | 4, &raw mut key), STATUS_SUCCESS);
    assert_eq!(nt!(ZwClose(key)), STATUS_SUCCESS, "of the hardware profile");
    assert_eq!(open(HARDWARE_KEY, &raw mut key), STATUS_SUCCESS);
    let (value, mut data) = (Text::new("Depth"), 7_u32);
    let set = nt!(ZwSetValueKey(
        key,
        &mut value.counted(),
        0,
        4,
        (&raw mut data).cast(),
        4
    ));
    assert_eq!(set, STATUS_SUCCESS);
    nt!(ZwClose(key));
}

const unsafe extern "win64" fn keep(_: PDEVICE_OBJECT, _: PIRP, _: PVOID) -> NTSTATUS {
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The bus names the physical device to who asks for that relation, with a reference, and has no others.
fn ask_for_relations(pdo: PDEVICE_OBJECT) {
    for (kind, expected) in [
        (TargetDeviceRelation, STATUS_SUCCESS),
        (0, STATUS_NOT_SUPPORTED),
    ] {
        let irp = nt!(IoAllocateIrp(1, FALSE));
        // SAFETY: The IRP is this driver's.
        let packet = unsafe { &mut *irp };
        packet.IoStatus.Status = STATUS_NOT_SUPPORTED;
        // SAFETY: An IRP of one location has it below the current one.
        let next = unsafe { &mut *packet.CurrentStackLocation.wrapping_sub(1) };
        next.MajorFunction = IRP_MJ_PNP.to_le_bytes()[0];
        next.MinorFunction = IRP_MN_QUERY_DEVICE_RELATIONS.to_le_bytes()[0];
        next.Parameters.Others = [ptr::null_mut(); 4];
        // SAFETY: As above; the members of the union are plain values.
        unsafe { next.Parameters.Others[0] = ptr::without_provenance_mut(kind) };
        next.CompletionRoutine = Some(keep);
        next.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR;
        assert_eq!(nt!(IofCallDriver(pdo, irp)), expected);
        let relations = ptr::with_exposed_provenance_mut::<DEVICE_RELATIONS>(
            usize::try_from(packet.IoStatus.Information).expect("an address"),
        );
        nt!(IoFreeIrp(irp));
        // SAFETY: An answer is null or the bus's block.
        let Some(answer) = (unsafe { relations.as_ref() }) else {
            assert_eq!(expected, STATUS_NOT_SUPPORTED);
            continue;
        };
        assert_eq!((answer.Count, answer.Objects), (1, [pdo]));
        nt!(ObfDereferenceObject(pdo.cast()));
        nt!(ExFreePool(relations.cast()));
    }
}

unsafe extern "win64" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let minor = stack(irp).MinorFunction;
    MINORS.lock().expect("a lock").push(minor);
    let extension = extension(device);
    match u32::from(minor) {
        IRP_MN_START_DEVICE => {
            *INTERRUPTS.lock().expect("a lock") = interrupts(irp);
            let status = nt!(IoSetDeviceInterfaceState(
                &raw mut extension.interface,
                TRUE
            ));
            assert_eq!(status, STATUS_SUCCESS);
        }
        IRP_MN_STOP_DEVICE => {
            let link = &raw mut extension.interface;
            let status = nt!(IoSetDeviceInterfaceState(link, FALSE));
            assert_eq!(status, STATUS_SUCCESS);
        }
        IRP_MN_REMOVE_DEVICE => return remove(device, irp),
        IRP_MN_QUERY_PNP_DEVICE_STATE => {
            // SAFETY: The driver owns the IRP.
            unsafe { (*irp).IoStatus.Information = STATE.load(Ordering::Acquire).into() };
        }
        _ => {}
    }
    // SAFETY: The driver owns the IRP.
    unsafe { (*irp).IoStatus.Status = STATUS_SUCCESS };
    forward(extension.lower, irp)
}

/// The interrupts in the resources of an IRP that starts a device.
fn interrupts(irp: PIRP) -> Vec<CM_INTERRUPT_DESCRIPTOR> {
    // SAFETY: Every member of the union is words.
    let [raw, translated, ..] = unsafe { stack(irp).Parameters.Others };
    assert_eq!(raw, translated);
    let header = translated.cast::<CM_RESOURCE_LIST_HEADER>();
    // SAFETY: It is null or a resource list, which starts with its header.
    let Some(list) = (unsafe { header.as_ref() }) else {
        return Vec::new();
    };
    assert_eq!(list.Count, 1);
    let first = header.wrapping_add(1).cast::<CM_INTERRUPT_DESCRIPTOR>();
    let count = usize::try_from(list.PartialCount).expect("small");
    // SAFETY: The header says how many descriptors follow it.
    let read = |index| unsafe { first.wrapping_add(index).read() };
    (0..count).map(read).collect()
}

fn remove(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let extension = extension(device);
    nt!(IoSetDeviceInterfaceState(
        &raw mut extension.interface,
        FALSE
    ));
    nt!(RtlFreeUnicodeString(&raw mut extension.interface));
    let lower = extension.lower;
    // SAFETY: The driver owns the IRP.
    unsafe { (*irp).IoStatus.Status = STATUS_SUCCESS };
    let status = forward(lower, irp);
    nt!(IoDetachDevice(lower));
    nt!(IoDeleteDevice(device));
    status
}

unsafe extern "win64" fn succeed(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn refuse_removal(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    if u32::from(stack(irp).MinorFunction) == IRP_MN_QUERY_REMOVE_DEVICE {
        return complete(irp, STATUS_UNSUCCESSFUL, 0);
    }
    // SAFETY: The contract is the same.
    unsafe { pnp(device, irp) }
}

unsafe extern "win64" fn leaves_device(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, STATUS_SUCCESS, 0)
}

static OBJECT: AtomicPtr<DRIVER_OBJECT> = AtomicPtr::new(ptr::null_mut());

unsafe extern "win64" fn entry(driver: PDRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
    OBJECT.store(driver, Ordering::Release);
    assert!(text(path).ends_with(r"\Services\plug"), "{}", text(path));
    let object = object(driver);
    object.DriverUnload = Some(unload);
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        object.MajorFunction[major as usize] = Some(succeed);
    }
    object.MajorFunction[IRP_MJ_PNP as usize] = Some(pnp);
    // SAFETY: A driver object has an extension.
    unsafe { (*object.DriverExtension).AddDevice = Some(add_device) };
    STATUS_SUCCESS
}

const unsafe extern "win64" fn unload(_driver: PDRIVER_OBJECT) {}

fn load() -> Driver {
    load_entry("plug", entry).expect("a driver")
}

fn set_pnp(routine: unsafe extern "win64" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS) {
    object(OBJECT.load(Ordering::Acquire)).MajorFunction[IRP_MJ_PNP as usize] = Some(routine);
}

/// The life of a device, in one test: the driver and what it counts are one of a kind.
#[test]
fn a_device_comes_and_goes() -> Result<(), Stop> {
    let kernel = Kernel::get();
    let driver = load();
    let device = driver.add_device()?;
    assert_eq!(device.instance_path(), r"ROOT\PLUG\0000");
    assert_eq!(kernel.interfaces(CLASS).len(), 1);
    let parameters = format!(
        r"\Registry\Machine\System\CurrentControlSet\Enum\{}\Device Parameters",
        device.instance_path()
    );
    let depth = kernel.registry_value(&parameters, "Depth");
    assert_eq!(depth, Some(RegistryData::Dword(7)));

    device.stop()?;
    device.start()?;

    let file = kernel.open(CLASS)?;
    let busy = device.remove().err().and_then(|stop| stop.status());
    assert_eq!(busy, Some(STATUS_DEVICE_BUSY));
    drop(file);

    set_pnp(refuse_removal);
    let refused = device.remove().err().and_then(|stop| stop.status());
    assert_eq!(refused, Some(STATUS_UNSUCCESSFUL));
    let refused = driver.unload();
    assert!(matches!(refused, Err(Stop::InUse { .. })), "{refused:?}");

    set_pnp(pnp);
    device.remove()?;
    let again = device.remove().err().and_then(|stop| stop.status());
    assert_eq!(again, Some(STATUS_NO_SUCH_DEVICE));
    assert!(kernel.interfaces(CLASS).is_empty());
    let minors = [
        IRP_MN_START_DEVICE,
        IRP_MN_QUERY_PNP_DEVICE_STATE,
        IRP_MN_QUERY_STOP_DEVICE,
        IRP_MN_STOP_DEVICE,
        IRP_MN_START_DEVICE,
        IRP_MN_CANCEL_REMOVE_DEVICE,
        IRP_MN_QUERY_REMOVE_DEVICE,
        IRP_MN_REMOVE_DEVICE,
    ];
    let arrived: Vec<u32> = MINORS
        .lock()
        .expect("a lock")
        .iter()
        .copied()
        .map(u32::from)
        .collect();
    assert_eq!(arrived, minors);
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    Ok(())
}

#[test]
fn a_device_that_is_gone_is_removed_when_its_last_file_is_closed() {
    // In a process of its own, because the driver and what it counts are one of a kind.
    let report = expect_bug_check(|| {
        let kernel = Kernel::get();
        let driver = load();
        let device = driver.add_device().expect("a device");
        let file = kernel.open(CLASS).expect("a file");
        device.surprise_remove().expect("a removal");
        assert!(kernel.open(CLASS).is_err());
        let removed =
            |minors: &[u8]| minors.last().copied().map(u32::from) == Some(IRP_MN_REMOVE_DEVICE);
        assert!(!removed(&MINORS.lock().expect("a lock")));
        drop(file);
        assert!(removed(&MINORS.lock().expect("a lock")));
        driver.unload().expect("nothing is left");
        assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
        nt!(KeBugCheckEx(0x600D, 0, 0, 0, 0));
    });
    assert_eq!(report.code, 0x600D);
}

/// Has the driver say that its device is in another state, and waits until that has come about: the state, or
/// `None` once the device is gone.
fn change(device: &Device, state: u32, expected: Option<u32>) {
    STATE.store(state, Ordering::Release);
    nt!(IoInvalidateDeviceState(PDO.load(Ordering::Acquire)));
    let deadline = Instant::now() + Duration::from_secs(10);
    while device.state().ok() != expected {
        assert!(Instant::now() < deadline, "{:?}", device.state());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn last_minor() -> Option<u32> {
    MINORS
        .lock()
        .expect("a lock")
        .last()
        .copied()
        .map(u32::from)
}

#[test]
fn a_device_that_has_failed_is_taken_away() {
    let report = expect_bug_check(|| {
        let kernel = Kernel::get();
        let driver = load();
        let device = driver.add_device().expect("a device");
        assert_eq!(device.state().ok(), Some(0));
        let disabled = PNP_DEVICE_NOT_DISABLEABLE | PNP_DEVICE_DISABLED;
        change(&device, disabled, Some(disabled));
        let vetoed = device.remove().err().and_then(|stop| stop.status());
        assert_eq!(vetoed, Some(STATUS_PLUGPLAY_QUERY_VETOED));
        let anew = PNP_DEVICE_FAILED | PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED;
        change(&device, anew, Some(anew));
        let file = kernel.open(CLASS).expect("a device that is not disabled");
        change(&device, PNP_DEVICE_FAILED, None);
        assert_eq!(last_minor(), Some(IRP_MN_SURPRISE_REMOVAL));
        let gone = device.remove().err().and_then(|stop| stop.status());
        assert_eq!(gone, Some(STATUS_NO_SUCH_DEVICE));
        drop(file);
        assert_eq!(last_minor(), Some(IRP_MN_REMOVE_DEVICE));
        STATE.store(PNP_DEVICE_REMOVED, Ordering::Release);
        let device = driver.add_device().expect("it starts");
        let gone = device.state().err().and_then(|stop| stop.status());
        assert_eq!(gone, Some(STATUS_NO_SUCH_DEVICE), "and is asked at once");
        driver.unload().expect("nothing is left");
        assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
        nt!(KeBugCheckEx(0x600D, 0, 0, 0, 0));
    });
    assert_eq!(report.code, 0x600D);
}

unsafe extern "win64" fn count(_interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: It is connected with such a context.
    let counter = unsafe { &*context.cast::<AtomicU32>() };
    counter.fetch_add(1, Ordering::Relaxed);
    assert_eq!(nt!(KeGetCurrentIrql()), LINE.irql);
    TRUE
}

const LINE: InterruptResource = InterruptResource {
    vector: 0x51,
    irql: 6,
    latched: true,
    shared: false,
    processors: 1,
};

/// Connects the device's interrupt, raises it, and disconnects it.
fn connect_and_fire(mut parameters: IO_CONNECT_INTERRUPT_PARAMETERS, place: *const PKINTERRUPT) {
    let connected = nt!(IoConnectInterruptEx(&raw mut parameters));
    assert_eq!(connected, STATUS_SUCCESS);
    assert_eq!(parameters.Version, CONNECT_LINE_BASED);
    assert_eq!(Kernel::get().interrupt(LINE.vector, 0).ok(), Some(true));
    // SAFETY: The place is the one that the interrupt was connected with.
    let interrupt = unsafe { place.read() };
    let mut disconnect = IO_DISCONNECT_INTERRUPT_PARAMETERS {
        Version: parameters.Version,
        ConnectionContext: _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            InterruptObject: interrupt,
        },
    };
    nt!(IoDisconnectInterruptEx(&raw mut disconnect));
}

#[test]
fn a_device_is_started_with_its_interrupts() {
    let report = expect_bug_check(|| {
        let driver = load();
        let device = driver.add_interrupting_device(&[LINE]).expect("a device");
        let found = INTERRUPTS.lock().expect("a lock").clone();
        let [found] = found.try_into().unwrap_or_else(|_| panic!("one interrupt"));
        assert_eq!((found.Type, found.ShareDisposition), (2, 1));
        let (level, vector, affinity) = (found.Level, found.Vector, found.Affinity);
        assert_eq!((level, vector, affinity), (6, 0x51, 1));
        let flags = found.Flags;
        assert_eq!(flags, CM_RESOURCE_INTERRUPT_LATCHED);

        let runs = AtomicU32::new(0);
        let (pdo, mut interrupt) = (PDO.load(Ordering::Acquire), ptr::null_mut());
        let context = ptr::from_ref(&runs).cast_mut().cast();
        let line = _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            LineBased: IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS {
                PhysicalDeviceObject: pdo,
                InterruptObject: &raw mut interrupt,
                ServiceRoutine: Some(count),
                ServiceContext: context,
                ..Default::default()
            },
        };
        let message = _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            MessageBased: IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS {
                PhysicalDeviceObject: pdo,
                ConnectionContext: (&raw mut interrupt).cast(),
                FallBackServiceRoutine: Some(count),
                ServiceContext: context,
                ..Default::default()
            },
        };
        for (version, specified) in [(CONNECT_LINE_BASED, line), (CONNECT_MESSAGE_BASED, message)] {
            let parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
                Version: version,
                __bindgen_anon_1: specified,
            };
            connect_and_fire(parameters, &raw const interrupt);
        }
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        device.remove().expect("a removal");
        driver.unload().expect("nothing is left");
        nt!(KeBugCheckEx(0x600D, 0, 0, 0, 0));
    });
    assert_eq!(report.code, 0x600D);
}

#[test]
fn the_state_of_a_device_that_is_on_no_bus() {
    let report = expect_bug_check(|| {
        let _device = load().add_device().expect("a device");
        // SAFETY: The device is started, and has this driver's device on it.
        let upper = unsafe { (*PDO.load(Ordering::Acquire)).AttachedDevice };
        nt!(IoInvalidateDeviceState(upper));
    });
    assert_eq!(report.code, bugcheck::PNP_DETECTED_FATAL_ERROR);
    assert_eq!(report.parameters[0], 2);
}

#[test]
fn a_device_that_stays_attached_after_its_removal() {
    let report = expect_bug_check(|| {
        let device = load().add_device().expect("a device");
        set_pnp(leaves_device);
        assert!(device.remove().is_err());
        nt!(KeGetCurrentIrql());
    });
    assert_eq!(report.code, bugcheck::DRIVER_VERIFIER_IOMANAGER_VIOLATION);
    assert_eq!(report.parameters[0], 0x21D);
}
