//! Clients: the drivers that are bound to the framework.

use crate::abi::{WDF_DRIVER_GLOBALS, WDFOBJECT};
use crate::kernel::{Outcome, Ptr, SpinLock, sleep_milliseconds, try_box};
use crate::object::{self, ObjectRef};
use crate::violation;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use nt_abi::{DRIVER_OBJECT, STATUS_INSUFFICIENT_RESOURCES, UNICODE_STRING};

/// The pool tag of clients that name none.
const DEFAULT_TAG: u32 = u32::from_le_bytes(*b"FxDr");

/// A bound driver. The part that the driver sees comes first: `PWDF_DRIVER_GLOBALS` is the address of
/// the whole.
#[repr(C)]
pub struct Client {
    public: UnsafeCell<WDF_DRIVER_GLOBALS>,
    driver_object: Ptr<DRIVER_OBJECT>,
    /// Null-terminated, as `WdfDriverGetRegistryPath` returns it.
    registry_path: Vec<u16>,
    driver: AtomicUsize,
    tag: AtomicU32,
    objects: AtomicU32,
}

// SAFETY: The public part is written while the driver initialises, by its one thread; the rest is
// atomic or constant.
unsafe impl Sync for Client {}
// SAFETY: As above.
unsafe impl Send for Client {}

/// All bound clients.
static CLIENTS: SpinLock<Vec<&'static Client>> = SpinLock::new(Vec::new());

impl Client {
    /// Binds a driver.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn bind(driver_object: Ptr<DRIVER_OBJECT>, path: &[u16]) -> Outcome<&'static Self> {
        let mut registry_path = Vec::new();
        registry_path
            .try_reserve_exact(path.len() + 1)
            .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        registry_path.extend_from_slice(path);
        registry_path.push(0);
        let client = try_box(Self {
            public: UnsafeCell::new(WDF_DRIVER_GLOBALS {
                Driver: WDFOBJECT::NULL,
                DriverFlags: 0,
                DriverTag: DEFAULT_TAG,
                DriverName: service_name(path),
                DisplaceDriverUnload: 0,
            }),
            driver_object,
            registry_path,
            driver: AtomicUsize::new(0),
            tag: AtomicU32::new(DEFAULT_TAG),
            objects: AtomicU32::new(0),
        })?;
        CLIENTS.with(|clients| {
            clients
                .try_reserve(1)
                .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            let client: &'static Self = Box::leak(client);
            clients.push(client);
            Ok(client)
        })
    }

    /// Unbinds a driver whose code will not run any more: its objects are deleted, what it leaked
    /// is named, and its memory is freed if it leaked nothing. IRQL `PASSIVE_LEVEL`.
    pub fn unbind(&'static self) {
        if let Some(driver) = object::lookup_raw(self.driver()) {
            object::delete(&driver);
        }
        self.await_objects();
        let last = CLIENTS.with(|clients| {
            clients.retain(|client| !core::ptr::eq(*client, self));
            if clients.is_empty() {
                *clients = Vec::new();
            }
            clients.is_empty()
        });
        let leaked = self.objects.load(Ordering::Acquire);
        if leaked == 0 {
            let this = core::ptr::from_ref(self).cast_mut();
            // SAFETY: It was leaked from a box in `bind`; no object refers to it, and the driver is
            // past its last call.
            drop(unsafe { Box::from_raw(this) });
        } else {
            crate::kernel::print(
                c"WDFLDR: the driver unloads and leaves %Iu framework objects\n",
                leaked as usize,
            );
        }
        if last {
            object::reset();
        }
    }

    /// Lets threads that are on their way out of the framework let go of their last references.
    fn await_objects(&self) {
        for _ in 0..100 {
            if self.objects.load(Ordering::Acquire) == 0 {
                return;
            }
            sleep_milliseconds(10);
        }
    }

    /// The client behind the first parameter of every function of the framework.
    pub fn from_globals(globals: *mut WDF_DRIVER_GLOBALS) -> &'static Self {
        if globals.is_null() {
            violation::null_parameter(c"a framework function (DriverGlobals)");
        }
        // SAFETY: The client got this pointer when it was bound, as the address of the whole, and
        // stays bound while its code runs.
        unsafe { &*globals.cast_const().cast::<Self>() }
    }

    /// The client of a WDM driver object.
    pub fn of_driver_object(driver_object: *mut DRIVER_OBJECT) -> Option<&'static Self> {
        CLIENTS.with(|clients| {
            clients
                .iter()
                .copied()
                .find(|client| client.driver_object == Ptr(driver_object))
        })
    }

    /// What the driver sees of this.
    pub const fn globals(&'static self) -> *mut WDF_DRIVER_GLOBALS {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Changes the public part. Only while the driver initialises or unloads.
    pub fn update_public(&self, change: impl FnOnce(&mut WDF_DRIVER_GLOBALS)) {
        // SAFETY: `WdfDriverCreate` and the unload routine are the only callers, and the system
        // never runs them at the same time for one driver.
        change(unsafe { &mut *self.public.get() });
    }

    pub const fn driver_object(&self) -> Ptr<DRIVER_OBJECT> {
        self.driver_object
    }

    pub fn registry_path(&self) -> &[u16] {
        &self.registry_path
    }

    /// The handle of the driver object; null before `WdfDriverCreate`.
    pub fn driver(&self) -> WDFOBJECT {
        WDFOBJECT(self.driver.load(Ordering::Acquire))
    }

    pub fn set_driver(&self, driver: &ObjectRef) {
        self.driver.store(driver.handle().0, Ordering::Release);
    }

    pub fn tag(&self) -> u32 {
        self.tag.load(Ordering::Relaxed)
    }

    pub fn set_tag(&self, tag: u32) {
        self.tag.store(tag, Ordering::Relaxed);
    }

    pub fn object_created(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    pub fn object_destroyed(&self) {
        self.objects.fetch_sub(1, Ordering::Release);
    }
}

/// The last component of the registry path, as the ANSI name in the globals.
fn service_name(path: &[u16]) -> [i8; 32] {
    let mut name = [0; 32];
    let last = path
        .rsplit(|&unit| unit == u16::from(b'\\'))
        .next()
        .unwrap_or_default();
    for (place, &unit) in name[..31].iter_mut().zip(last) {
        *place = u8::try_from(unit).map_or(b'?', |byte| byte).cast_signed();
    }
    name
}

/// The characters of a counted string.
///
/// # Safety
/// `string` is null or a valid `UNICODE_STRING`, for as long as the slice is used.
pub unsafe fn characters<'a>(string: *const UNICODE_STRING) -> &'a [u16] {
    // SAFETY: By contract it is null or readable.
    let Some(string) = (unsafe { string.as_ref() }) else {
        return &[];
    };
    if string.Buffer.is_null() || string.Length < 2 {
        return &[];
    }
    // SAFETY: By contract `Length` bytes of characters are at `Buffer`.
    unsafe { core::slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) }
}
