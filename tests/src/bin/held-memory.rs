//! `held-memory DRIVER WDFLDR FOLDER`: loads the driver into nthost, has it hold every pattern, and writes
//! the memory that it then has into the folder, for the tests of the debugger's extension.
//!
//! `memory.json` says which modules there are and which addresses are where in `memory.bin`; `held.json`
//! is what `syncstress hold` shows.

#[cfg(not(windows))]
fn main() {
    linux::main();
}

/// nthost is for Linux.
#[cfg(windows)]
const fn main() {}

#[cfg(not(windows))]
mod linux {
    use std::{env, fs, path::Path, thread::sleep, time::Duration};

    use nthost::Kernel;
    use serde_json::json;
    use syncstress::{
        client::Client,
        held::Held,
        transport::{Images, Nthost, Transport as _},
    };
    use syncstress_protocol::{ItemKind, Phase};

    pub fn main() {
        let arguments: Vec<_> = env::args_os().skip(1).collect();
        let [driver, loader, folder] = &arguments[..] else {
            panic!("held-memory DRIVER WDFLDR FOLDER");
        };
        let images = Images {
            driver: driver.into(),
            loader: loader.into(),
        };
        let driver = Nthost::load(None, &images).expect("the driver loads");
        let open = || Client::new(driver.open().expect("the device opens")).expect("it answers");
        let items = open().items().expect("a list").into_iter();
        let patterns = items.filter(|item| item.kind == ItemKind::HoldPattern.to_wire());
        // Each on a handle of its own, which keeps it.
        let kept: Vec<(Client, Held)> = patterns
            .map(|pattern| {
                let client = open();
                let held = hold(&client, pattern.id);
                (client, held)
            })
            .collect();
        let held: Vec<&Held> = kept.iter().map(|(_, held)| held).collect();
        let folder = Path::new(folder);
        fs::create_dir_all(folder).expect("a folder");
        write(folder, "held.json", json!(held).to_string().as_bytes());
        write_memory(folder);
        for (client, _) in kept {
            client.close().expect("it closes");
        }
        let left = Box::new(driver).unload().expect("it unloads");
        assert_eq!(left, Some(Vec::new()), "left behind");
    }

    /// Starts a pattern, and waits until it is there.
    fn hold(client: &Client, pattern: u32) -> Held {
        let run = client.start(pattern, &[]).expect("it starts");
        loop {
            if let Some(object) = client.held(run).expect("an answer") {
                return Held::new(&object);
            }
            let phase = client.progress(run).expect("progress").phase;
            assert_eq!(phase, Phase::Running, "pattern {pattern} is not there");
            sleep(Duration::from_millis(1));
        }
    }

    fn write_memory(folder: &Path) {
        let image = Kernel::get().memory_image();
        let modules = image.modules.iter().map(|module| {
            json!({
                "name": module.name,
                "address": format!("{:#x}", module.address),
                "size": module.size,
            })
        });
        let mut bytes = Vec::new();
        let mut regions = Vec::new();
        for region in &image.regions {
            regions.push(json!({
                "address": format!("{:#x}", region.address),
                "size": region.bytes.len(),
                "offset": bytes.len(),
            }));
            bytes.extend_from_slice(&region.bytes);
        }
        let index = json!({ "modules": modules.collect::<Vec<_>>(), "regions": regions });
        write(folder, "memory.json", index.to_string().as_bytes());
        write(folder, "memory.bin", &bytes);
    }

    fn write(folder: &Path, name: &str, contents: &[u8]) {
        fs::write(folder.join(name), contents).expect("it is written");
    }
}
