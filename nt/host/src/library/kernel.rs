//! The kernel of this process.

use std::{fs, path::Path, sync::Arc};

use nt_abi::{GUID, STATUS_OBJECT_NAME_NOT_FOUND};

use super::{
    Driver, DriverEntry, File, Leaks, Library, Prepared, Stop, driver::Code, leaks, service,
};
use crate::{
    BootError, Config,
    bugcheck::{self, BugCheckReport},
    ex,
    exceptions::debugger,
    explore::{self, Policy},
    fault, hang,
    inspect::{self, MemoryImage, View},
    io,
    ke::interrupt,
    kernel,
    loader::ImageError,
    thread,
};

/// The kernel of this process. All values of this type are the same.
#[derive(Clone, Copy, Debug)]
pub struct Kernel(());

/// The turn of a thread in a schedule; nothing if threads run freely.
#[derive(Clone, Copy, Debug)]
pub struct Turn(Option<usize>);

impl Turn {
    /// Waits for the turn of the calling thread, which has not used the kernel yet.
    pub fn begin(self) {
        if let Some(place) = self.0 {
            explore::begin(place);
        } else {
            thread::attached();
            hang::meet_thread();
        }
    }
}

/// What [`Kernel::open`] opens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Target<'a> {
    /// A name: `\Device\X`, `\??\X`, `\\.\X`, or a symbolic link of a device interface.
    Name(&'a str),
    /// The first enabled device interface of a class.
    Interface(GUID),
}

impl<'a> From<&'a str> for Target<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for Target<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<GUID> for Target<'_> {
    fn from(class: GUID) -> Self {
        Self::Interface(class)
    }
}

impl Kernel {
    /// Boots the kernel of this process.
    ///
    /// # Errors
    ///
    /// [`BootError`] if it runs already with another configuration, or if `config` is not possible.
    pub fn boot(config: Config) -> Result<Self, BootError> {
        kernel::boot(config).map(|()| Self(()))
    }

    /// The kernel, which boots with the default configuration if it does not run.
    #[must_use]
    pub fn get() -> Self {
        kernel::config();
        Self(())
    }

    /// How the kernel was made.
    #[must_use]
    pub fn config(self) -> Config {
        kernel::config()
    }

    /// The report of the bug check that has stopped the kernel.
    #[must_use]
    pub fn bug_check(self) -> Option<Arc<BugCheckReport>> {
        bugcheck::report()
    }

    /// Attaches a kernel debugger that lets everything go on: from now on a break instruction, which is
    /// bug check 0x1E without a debugger, prints where it is and is passed over.
    ///
    /// A driver that is built with debug assertions breaks before it panics.
    pub fn attach_debugger(self) {
        debugger::attach();
    }

    /// Loads a driver from its file and calls its `DriverEntry`.
    ///
    /// # Errors
    ///
    /// [`Stop::Image`] if it is no driver that can be loaded, [`Stop::Status`] with what `DriverEntry`
    /// returned, [`Stop::BugCheck`].
    pub fn load(self, path: impl AsRef<Path>) -> Result<Driver, Stop> {
        self.prepare(path)?.start()
    }

    /// Loads a driver's image and binds its imports, and runs nothing of it yet.
    ///
    /// # Errors
    ///
    /// [`Stop::Image`] if it is no driver that can be loaded.
    pub fn prepare(self, path: impl AsRef<Path>) -> Result<Prepared, Stop> {
        let (name, file) = read(path.as_ref())?;
        Prepared::load(&name, Some(path.as_ref()), &file)
    }

    /// As [`load`](Self::load), from the contents of the file `name`.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn load_image(self, name: &str, file: &[u8]) -> Result<Driver, Stop> {
        Prepared::load(name, None, file)?.start()
    }

    /// Loads an image that drivers import from, such as `WDFLDR.SYS`.
    ///
    /// # Errors
    ///
    /// [`Stop::Image`] if it cannot be loaded, [`Stop::Status`] and [`Stop::BugCheck`] of its
    /// `DllInitialize`, if it has one.
    pub fn load_library(self, path: impl AsRef<Path>) -> Result<Library, Stop> {
        let (name, file) = read(path.as_ref())?;
        Library::load(&name, Some(path.as_ref()), &file)
    }

    /// As [`load_library`](Self::load_library), from the contents of the file `name`.
    ///
    /// # Errors
    ///
    /// As for [`load_library`](Self::load_library).
    pub fn load_library_image(self, name: &str, file: &[u8]) -> Result<Library, Stop> {
        Library::load(name, None, file)
    }

    /// Loads a driver that is part of this program: calls its `DriverEntry`.
    ///
    /// Everything else is as for a driver from a file, so its logic can be debugged, measured for
    /// coverage and run under sanitizers like any other code.
    ///
    /// # Safety
    ///
    /// `entry` must be a `DriverEntry` routine: it, and every routine that it registers with the
    /// kernel, must be what the kernel takes it for.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] with what `DriverEntry` returned, [`Stop::BugCheck`].
    ///
    /// # Examples
    ///
    /// ```
    /// use nthost::{Kernel, ntddk::*};
    ///
    /// unsafe extern "win64" fn driver_entry(
    ///     driver: *mut DRIVER_OBJECT,
    ///     _registry_path: PUNICODE_STRING,
    /// ) -> NTSTATUS {
    ///     // SAFETY: The kernel passes a driver object.
    ///     unsafe { (*driver).DriverUnload = Some(unload) };
    ///     STATUS_SUCCESS
    /// }
    ///
    /// unsafe extern "win64" fn unload(_driver: *mut DRIVER_OBJECT) {}
    ///
    /// // SAFETY: Both routines are of the types that the kernel calls them by.
    /// let driver = unsafe { Kernel::get().load_in_process("sample", driver_entry) }?;
    /// driver.unload()?;
    /// # Ok::<(), nthost::Stop>(())
    /// ```
    pub unsafe fn load_in_process(self, name: &str, entry: DriverEntry) -> Result<Driver, Stop> {
        Driver::start(name, Code::InProcess(entry))
    }

    /// Opens a device, for reading and writing.
    ///
    /// # Errors
    ///
    /// [`Stop::Status`] if there is nothing of that name or class (`STATUS_OBJECT_NAME_NOT_FOUND`), or
    /// with what the driver said; [`Stop::BugCheck`].
    pub fn open<'a>(self, target: impl Into<Target<'a>>) -> Result<File, Stop> {
        match target.into() {
            Target::Name(name) => File::open(name),
            Target::Interface(class) => {
                let links = self.interfaces(class);
                let link = links
                    .first()
                    .ok_or(Stop::Status(STATUS_OBJECT_NAME_NOT_FOUND))?;
                File::open(link)
            }
        }
    }

    /// The symbolic links of the enabled device interfaces of a class.
    #[must_use]
    pub fn interfaces(self, class: GUID) -> Vec<String> {
        io::interface::enabled(&class)
    }

    /// What is allocated, open or running at this moment; nothing once a bug check has stopped the kernel,
    /// whose state says nothing any more. After all drivers are unloaded, what is
    /// listed was left behind.
    #[must_use]
    pub fn leaks(self) -> Leaks {
        if kernel::is_dead() {
            Leaks::default()
        } else {
            leaks::collect()
        }
    }

    /// What a kernel debugger would show: of the kernel as it is, or as it was when a bug check stopped it.
    ///
    /// # Examples
    ///
    /// ```
    /// use nthost::{Kernel, View};
    ///
    /// let text = Kernel::get().show(View::Locks);
    /// assert!(text.ends_with("0 total locks, 0 locks currently held\n"));
    /// ```
    #[must_use]
    pub fn show(self, view: View) -> String {
        inspect::show(view)
    }

    /// The memory of the kernel and its drivers at this moment, for a debugger that reads it later.
    ///
    /// # Examples
    ///
    /// ```
    /// use nthost::Kernel;
    ///
    /// let memory = Kernel::get().memory_image();
    /// assert!(memory.regions.iter().all(|region| !region.bytes.is_empty()));
    /// ```
    #[must_use]
    pub fn memory_image(self) -> MemoryImage {
        inspect::memory_image()
    }

    /// Has the allocation with this number fail, counted from 1 and from the boot of the kernel.
    ///
    /// Everything that drivers ask the kernel for and that may be short is an allocation: pool, system threads,
    /// device objects, symbolic links, work items, IRPs, MDLs and their mappings, timers of `ExAllocateTimer`,
    /// driver object extensions, handles of registry keys, callback objects and what is registered with them.
    pub fn fail_allocation(self, number: u64) {
        fault::fail_allocation(number);
    }

    /// How many allocations there were since the kernel booted.
    #[must_use]
    pub fn allocations(self) -> u64 {
        fault::allocations()
    }

    /// The function that was asked for the allocation of [`fail_allocation`](Self::fail_allocation), once it was.
    #[must_use]
    pub fn failed_function(self) -> Option<&'static str> {
        fault::failed_function()
    }

    /// Has threads run one at a time from now on, in an order that `seed` decides: another may go on at each call
    /// of the kernel. Time is what the schedule says. The calling thread must be the only one that has used the
    /// kernel so far.
    pub fn explore(self, policy: Policy, seed: u64) {
        explore::start(policy, seed);
    }

    /// A turn for a thread that is about to be started: without one, the order in which new threads of the host
    /// come to the kernel would be the host's. It must take it.
    #[must_use]
    pub fn turn(self) -> Turn {
        let place = explore::reserve();
        if place.is_none() {
            hang::expect_thread();
        }
        Turn(place)
    }

    /// Runs `wait`, in which the calling thread waits for others that use the kernel and makes no call itself: see
    /// [`Config::find_hangs`].
    pub fn stand_by<T>(self, wait: impl FnOnce() -> T) -> T {
        let thread = thread::attached();
        thread.set_stands_by(true);
        let result = wait();
        thread.set_stands_by(false);
        result
    }

    /// Waits until the threads with these turns have ended, and lets them run meanwhile.
    pub fn wait_for(self, turns: &[Turn]) {
        let places: Vec<_> = turns.iter().filter_map(|turn| turn.0).collect();
        explore::wait_for_ends(&places);
    }

    /// From now on timers expire late, and threads that are woken go on late, each by a time that `seed`
    /// begins the choice of: less than what a driver may rely on, and enough to change their order.
    pub fn be_late(self, seed: u64) {
        fault::be_late(seed);
    }

    /// Interrupts `processor` in the place of a device that raises `vector`, and tells whether one of the
    /// service routines that are connected to the vector there took the interrupt for its device's.
    ///
    /// They run on the calling thread, at the IRQL for which they were connected and with the spin lock of
    /// the interrupt held; when nothing runs at `DISPATCH_LEVEL` on the processor, which this waits for.
    /// DPCs that they queue to the processor have run when this returns.
    ///
    /// # Errors
    ///
    /// [`Stop::BugCheck`] if a bug check stops the kernel meanwhile or has before.
    ///
    /// # Panics
    ///
    /// If the caller is at `DISPATCH_LEVEL` or above.
    pub fn interrupt(self, vector: u32, processor: u32) -> Result<bool, Stop> {
        assert!(
            !thread::current().is_at_dispatch(),
            "a device's part is played below DISPATCH_LEVEL"
        );
        service::enter("Kernel::interrupt", |thread| {
            interrupt::deliver(thread, vector, processor)
        })
    }

    /// Calls the routines that drivers have registered with the callback object of the system of this name, at the
    /// IRQL of the caller: `\Callback\PowerState`, `\Callback\ProcessorAdd` or `\Callback\SetSystemTime`, with the
    /// arguments that the page of `ExRegisterCallback` lists. Tells whether there is such an object.
    ///
    /// # Errors
    ///
    /// [`Stop::BugCheck`] if a bug check stops the kernel meanwhile or has before.
    ///
    /// # Examples
    ///
    /// ```
    /// use nthost::Kernel;
    ///
    /// assert!(Kernel::get().notify(r"\Callback\SetSystemTime", [0, 0])?);
    /// assert!(!Kernel::get().notify(r"\Callback\NoSuchThing", [0, 0])?);
    /// # Ok::<(), nthost::Stop>(())
    /// ```
    pub fn notify(self, callback: &str, arguments: [u64; 2]) -> Result<bool, Stop> {
        service::enter("Kernel::notify", |thread| {
            ex::callback::notify_of_the_system(thread, callback, arguments)
        })
    }

    /// Runs `service` in the kernel as the calling thread, as a system service would run.
    ///
    /// # Errors
    ///
    /// [`Stop::BugCheck`] if a bug check stops the kernel meanwhile or has before.
    pub fn run<T>(self, service: impl FnOnce() -> T) -> Result<T, Stop> {
        service::enter("Kernel::run", |_| service())
    }
}

/// The name and the contents of an image file.
fn read(path: &Path) -> Result<(String, Vec<u8>), ImageError> {
    let file = fs::read(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok((name.to_string_lossy().into_owned(), file))
}
