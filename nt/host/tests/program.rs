//! The program `nthost`: its command line, and what it says.
#![cfg(not(windows))]

mod support;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use support::image::{Image, driver};

/// A file of a test, in the build directory.
fn file(name: &str, contents: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("program");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    fs::write(&path, contents).expect("a file");
    path
}

/// A driver's image, in a file.
fn image(name: &str, image: Image) -> String {
    file(name, &image.build()).display().to_string()
}

fn nthost(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nthost"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// What `nthost run` with these arguments says on both outputs; it must end with this exit code.
fn run(code: i32, arguments: &[&str]) -> (String, String) {
    let output = nthost(&[&["run"], arguments].concat());
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (said, complained) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}{complained}");
    (said, complained)
}

/// A driver that prints a text and succeeds.
fn printing(text: &str) -> Image {
    let mut image = driver();
    let text = image.data(format!("{text}\0").as_bytes());
    image
        .code_to(&[0x48, 0x8D, 0x0D], text) // lea rcx, [text]
        .call("DbgPrint")
        .result(0)
        .ret()
}

#[test]
fn what_a_driver_prints_goes_to_standard_output() {
    let driver = image("prints.sys", printing("hello\n"));
    assert_eq!(run(0, &[&driver]), ("hello\n".into(), String::new()));
    let (said, complained) = run(0, &[&driver, "--json"]);
    let document: Value = serde_json::from_str(&said).expect("one document");
    assert_eq!(document["debug_output"], "hello\n");
    assert_eq!(document["images"][0]["name"], "prints");
    assert_eq!(document["left_behind"]["entries"], serde_json::json!([]));
    assert_eq!(complained, "");
}

#[test]
fn missing_imports_are_listed_before_anything_runs() {
    // The driver stops at its first instruction.
    let subject = driver().code(&[0x0F, 0x0B]).call("NtNoSuchFunction").ret();
    let (_, complained) = run(188, &[&image("lacking.sys", subject)]);
    let (listed, stopped) = complained.split_once('\n').expect("two lines");
    assert_eq!(
        listed,
        "lacking imports ntoskrnl.exe!NtNoSuchFunction, which this kernel lacks: using it is a bug check"
    );
    assert!(stopped.starts_with("*** STOP: 0x0000001E"), "{stopped}");
}

#[test]
fn images_that_a_driver_imports_from_are_given() {
    let library = Image::new()
        .result(0)
        .ret()
        .export("Answer", support::image::CODE);
    let library = image("giver.sys", library);
    let user = image("taker.sys", driver().call_from("giver.sys", "Answer").ret());
    run(0, &[&user, "--with", &library]);
    let (_, complained) = run(1, &[&user]);
    assert_eq!(
        complained,
        "error: taker.sys imports from giver.sys, which is not loaded: load it first (--with giver.sys)\n"
    );
}

#[test]
fn what_cannot_be_loaded_or_opened_is_told() {
    let text = file("text.sys", b"hello").display().to_string();
    let plain = image("plain.sys", driver().result(0).ret());
    let failing = image(
        "fails.sys",
        driver().result(0xC000_009A_u32.cast_signed()).ret(),
    );
    let without_unload = image("stays.sys", Image::new().result(0).ret());
    for (arguments, words) in [
        (&["no/such.sys"][..], "no/such.sys: No such file"),
        (&[&text], "text.sys is not an x64 driver image"),
        (
            &[&plain, "--ioctl", "0x222000"],
            "no name leads to a device of plain",
        ),
        (
            &[&plain, "--ioctl", "1", "--open", r"\\.\Nothing"],
            "STATUS_OBJECT_NAME_NOT_FOUND",
        ),
        (&[&failing], "STATUS_INSUFFICIENT_RESOURCES"),
        (&[&without_unload], "stays has no unload routine"),
    ] {
        let (_, complained) = run(1, arguments);
        assert!(complained.contains(words), "{words}: {complained}");
    }
}

#[test]
fn a_wrong_command_line_is_told() {
    let plain = &image("ignored.sys", driver().result(0).ret());
    for (arguments, words) in [
        (&[][..], "DRIVER.sys"),
        (&[plain, "--ioctl", "0xZZ"], "such as 0x222000"),
        (
            &[plain, "--ioctl", "1", "--in", "no such file"],
            "as a file",
        ),
        (&[plain, "--ioctl", "1", "--in", "ABC"], "two hex digits"),
        (&[plain, "--in", "AB"], "--ioctl"),
        (
            &[plain, "--in", "AB", "--ioctl", "1"],
            "--in belongs to the --ioctl before it",
        ),
        (&[plain, "--ioctl", "1", "--out", "many"], "--out"),
        (&[plain, "--threads", "0"], "1..=1024"),
        (&[plain, "--processors", "65"], "1..=64"),
        (
            &[plain, "--verifier", "irql,some"],
            "no rules are called \"some\": there are all, default, none, apc, deadlock",
        ),
        (&[plain, "--fault", "alloc=0"], "counted from 1"),
        (&[plain, "--fault", "rain"], "alloc=each or time"),
        (&[plain, "--at-end", "nothing"], "locks"),
        (&[plain, "--nonsense"], "--nonsense"),
    ] {
        let (_, complained) = run(2, arguments);
        assert!(complained.contains(words), "{arguments:?}: {complained}");
    }
}

/// A driver that allocates pool in its entry routine and does what `then` adds.
fn allocating(then: impl FnOnce(Image) -> Image) -> Image {
    let image = driver()
        .code(&[0xB9, 0x40, 0, 0, 0]) // mov ecx, POOL_FLAG_NON_PAGED
        .code(&[0xBA, 0x10, 0, 0, 0]) // mov edx, 16
        .code(&[0x41, 0xB8, b't', b'e', b's', b't']) // mov r8d, "test"
        .call("ExAllocatePool2");
    then(image).result(0).ret()
}

#[test]
fn a_driver_that_does_not_expect_an_allocation_to_fail_is_found() {
    // It writes to the block without a look: mov byte [rax], 1; mov rcx, rax; call ExFreePool
    let careless = allocating(|image| {
        image
            .code(&[0xC6, 0x00, 0x01, 0x48, 0x89, 0xC1])
            .call("ExFreePool")
    });
    let careless = image("careless.sys", careless);
    assert_eq!(run(0, &[&careless]), (String::new(), String::new()));
    let (said, _) = run(1, &[&careless, "--fault", "alloc=each"]);
    let lines: Vec<&str> = said.lines().collect();
    let finding = "allocation 1 (ExAllocatePool2): bug check: 0x";
    assert!(lines[0].starts_with(finding), "{said}");
    assert_eq!(
        lines[1..],
        [
            "ExAllocatePool2 failed in 1 runs",
            "1 runs, each with one of 1 allocations that fails: 1 findings"
        ]
    );
    run(188, &[&careless, "--fault", "alloc=1"]);
}

#[test]
fn a_driver_that_waits_for_what_nobody_will_do_is_stopped() {
    let mut image = driver();
    let event = image.data(&[0; 0x18]);
    let clear = [0x31, 0xD2, 0x45, 0x31, 0xC0]; // xor edx, edx; xor r8d, r8d
    let waits = image
        .code(&[0x48, 0x83, 0xEC, 0x38]) // sub rsp, 56
        .code_to(&[0x48, 0x8D, 0x0D], event) // lea rcx, [event]
        .code(&clear)
        .call_plain("KeInitializeEvent")
        .code_to(&[0x48, 0x8D, 0x0D], event)
        .code(&clear)
        .code(&[0x45, 0x31, 0xC9]) // xor r9d, r9d
        .code(&[0x48, 0xC7, 0x44, 0x24, 0x20, 0, 0, 0, 0]) // mov qword [rsp + 32], 0
        .call_plain("KeWaitForSingleObject")
        .code(&[0x48, 0x83, 0xC4, 0x38]) // add rsp, 56
        .result(0)
        .ret();
    let (_, complained) = run(188, &[&self::image("waits.sys", waits)]);
    assert!(complained.contains("STOP: 0x000000E2"), "{complained}");
    assert!(complained.contains("waits for the event"), "{complained}");
}

/// A driver whose entry routine acquires a resource with normal kernel APCs on.
fn acquiring() -> Image {
    let mut image = driver();
    let resource = image.data(&[0; 0x68]);
    let lea_rcx = |image: Image| image.code_to(&[0x48, 0x8D, 0x0D], resource);
    let image = lea_rcx(image).call("ExInitializeResourceLite");
    // mov dl, 1
    let image = lea_rcx(image)
        .code(&[0xB2, 0x01])
        .call("ExAcquireResourceExclusiveLite");
    let image = lea_rcx(image).call("ExReleaseResourceLite");
    lea_rcx(image).call("ExDeleteResourceLite").result(0).ret()
}

#[test]
fn the_rules_of_the_verifier_are_chosen_by_name() {
    let subject = &image("acquires.sys", acquiring());
    for (rules, code) in [
        ("default", 188),
        ("all", 188),
        ("irql,apc", 188),
        ("-pool", 188),
        ("irql,deadlock", 0),
        ("all,-apc", 0),
        ("-apc,-pool", 0),
        ("none", 0),
    ] {
        let (_, complained) = run(code, &[subject, "--verifier", rules]);
        let found = complained.contains("STOP: 0x000000C4 (0x37, ");
        assert_eq!(found, code == 188, "{rules}: {complained}");
    }
}

#[test]
fn the_rules_are_in_the_help_and_in_the_table() {
    let help = String::from_utf8(nthost(&["run", "--help"]).stdout).expect("text");
    let table = include_str!("../VERIFIER.md");
    for (name, text) in nthost::Rules::groups() {
        assert!(help.contains(text), "{name}: {help}");
        assert!(table.contains(&format!("- `{name}`: {text}")), "{name}");
    }
}

/// A counted string in the data of an image.
fn counted(image: &mut Image, text: &str) -> u32 {
    let units: Vec<_> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let size = u16::try_from(units.len()).expect("a short text");
    let text = image.data(&units);
    image.data(&vec![0; units.len().next_multiple_of(8) - units.len()]);
    let lengths = [size.to_le_bytes(), size.to_le_bytes(), [0; 2], [0; 2]].concat();
    let string = image.data(&lengths);
    image.address_of(text);
    string
}

/// A driver whose entry routine returns what the value `Answer` of a key is: four bytes.
fn answering(key: &str) -> Image {
    let mut image = driver();
    let (key, name) = (counted(&mut image, key), counted(&mut image, "Answer"));
    let attributes = image.data(&[48, 0, 0, 0, 0, 0, 0, 0]);
    image.data(&[0; 8]);
    image.address_of(key);
    image.data(&[0x40, 2, 0, 0, 0, 0, 0, 0]); // without regard to case, a kernel handle
    image.data(&[0; 16]);
    let (handle, length) = (image.data(&[0; 8]), image.data(&[0; 8]));
    let information = image.data(&[0; 32]);
    image
        .code_to(&[0x48, 0x8D, 0x0D], handle) // lea rcx, [handle]
        .code(&[0xBA, 0x19, 0, 2, 0]) // mov edx, KEY_READ
        .code_to(&[0x4C, 0x8D, 0x05], attributes) // lea r8, [attributes]
        .call("ZwOpenKey")
        .code(&[0x48, 0x83, 0xEC, 0x38]) // sub rsp, 56
        .code_to(&[0x48, 0x8B, 0x0D], handle) // mov rcx, [handle]
        .code_to(&[0x48, 0x8D, 0x15], name) // lea rdx, [name]
        .code(&[0x41, 0xB8, 2, 0, 0, 0]) // mov r8d, KeyValuePartialInformation
        .code_to(&[0x4C, 0x8D, 0x0D], information) // lea r9, [information]
        .code(&[0xC7, 0x44, 0x24, 0x20, 32, 0, 0, 0]) // mov dword [rsp + 32], 32
        .code_to(&[0x48, 0x8D, 0x05], length) // lea rax, [length]
        .code(&[0x48, 0x89, 0x44, 0x24, 0x28]) // mov [rsp + 40], rax
        .call_plain("ZwQueryValueKey")
        .code_to(&[0x48, 0x8B, 0x0D], handle) // mov rcx, [handle]
        .call_plain("ZwClose")
        .code(&[0x48, 0x83, 0xC4, 0x38]) // add rsp, 56
        .code_to(&[0x8B, 0x05], information + 12) // mov eax, [information.Data]
        .ret()
}

#[test]
fn values_of_the_registry_are_given() {
    let services = r"\Registry\Machine\System\CurrentControlSet\Services";
    let below = format!(r"{services}\answers\Parameters");
    let subject = image("answers.sys", answering(&below));
    let full = format!(r"{below}\Answer=binary:9A0000C0");
    for value in [
        r"Parameters\Answer=dword:0xC000009A",
        r"parameters\answer=qword:3221225626",
        full.as_str(),
    ] {
        let (_, complained) = run(1, &[&subject, "--registry", value]);
        let found = complained.contains("STATUS_INSUFFICIENT_RESOURCES");
        assert!(found, "{value}: {complained}");
    }
    let texts = [
        "--registry",
        "Text=sz:a:b",
        "--registry",
        "All=multi_sz:a,b",
    ];
    let zero = ["--registry", r"Parameters\Answer=dword:0"];
    run(0, &[&[subject.as_str()][..], &texts, &zero].concat());
    for (value, words) in [
        ("Answer", r"such as Parameters\Depth=dword:3"),
        ("Answer=3", "TYPE:DATA"),
        ("Answer=word:3", "the types are dword, qword, sz"),
        ("Answer=dword:4294967296", "32 bits"),
        ("Answer=qword:x", "64 bits"),
        ("Answer=binary:ABC", "two hex digits"),
    ] {
        let (_, complained) = run(2, &[&subject, "--registry", value]);
        assert!(complained.contains(words), "{value}: {complained}");
    }
}

#[test]
fn what_a_driver_leaves_behind_is_found() {
    let (_, complained) = run(3, &[&image("leaves.sys", allocating(|image| image))]);
    assert!(
        complained.contains("16 bytes, tag test, nonpaged"),
        "{complained}"
    );
}
