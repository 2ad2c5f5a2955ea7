//! Our INF follows the rules, and breaks each when it is changed.

use der::DateTime;

use super::check;
use crate::{
    arch::Arch,
    package::{inf::Inf, stamp::Stamp},
};

const TEMPLATE: &str = include_str!("../../../../driver/kmdf/syncstress.inx");

fn stamped(arch: Arch) -> String {
    let stamp = Stamp {
        arch,
        date: DateTime::new(2026, 11, 22, 0, 0, 0).expect("a date"),
        version: [0, 1, 0, 7],
    };
    stamp.apply(TEMPLATE).expect("it is stamped")
}

fn found_in(text: &str, arch: &str) -> Vec<super::Finding> {
    check(&Inf::parse(text).expect("it reads"), arch)
}

#[test]
fn ours_follows_all_of_them() {
    assert_eq!(found_in(&stamped(Arch::X64), "amd64"), []);
    assert_eq!(found_in(&stamped(Arch::Arm64), "arm64"), []);
}

#[test]
fn each_of_them_can_be_broken() {
    let good = stamped(Arch::X64);
    for (code, from, to) in [
        (1001, "\"$WINDOWS NT$\"", "\"$Chicago$\""),
        (1234, "Class       = System", "; no class"),
        (1010, "{4D36E97D-E325", "{4D36E97D-ERRR"),
        (1234, "Provider    = %Provider%", "; no provider"),
        (1204, "\"wdk-sync\"", "\"Microsoft\""),
        (1233, "CatalogFile = syncstress.cat", "; no catalog"),
        (1214, "syncstress.cat", "syncstress.ctl"),
        (1324, "PnpLockdown = 1", "PnpLockdown = 0"),
        (1218, "11/22/2026", "2026-11-22"),
        (1217, "0.1.0.7", "0.1.0"),
        (1235, "%Disk%", "%Disc%"),
        (
            1213,
            "syncstress.sys = 1,,",
            "syncstress.sys = 1,,\nsyncstress.cat = 1,,",
        ),
        (1273, "syncstress.sys = 1,,", "syncstress.sys = 2,,"),
        (1322, "DefaultDestDir = 13", "DefaultDestDir = 12"),
        (
            1287,
            "SyncStress, NTamd64.10.0...20348",
            "SyncStress, NTamd64",
        ),
        (
            1287,
            "NTamd64.10.0...20348\r\n\r\n[",
            "NTarm64.10.0...20348\r\n\r\n[",
        ),
        (
            1287,
            "SyncStress, NTamd64.10.0...20348",
            "SyncStress, NTamd64.10.0...17763",
        ),
        (
            1271,
            "SyncStress_Device, root\\SYNCSTRESS",
            "SyncStress_Device",
        ),
        (1084, "CopyFiles = SyncStress_Files", "; copies nothing"),
        (1203, "CopyFiles = SyncStress_Files", "CopyFiles = Others"),
        (
            1230,
            "[SyncStress_Files]\r\nsyncstress.sys",
            "[SyncStress_Files]\r\nother.sys",
        ),
        (0, "(A;;GA;;;BA)", "(A;;GA;;;BA)(A;;GA;;;WD)"),
        (1234, "ServiceType   = 1", "ServiceType   = 2"),
        (1234, "StartType     = 3", "StartType     = 0"),
        (2085, "%13%\\syncstress.sys", "%12%\\syncstress.sys"),
        (2085, "%13%\\syncstress.sys", "%13%\\other.sys"),
        (1234, "KmdfService = SyncStress,", "KmdfService = Other,"),
        (
            1234,
            "KmdfLibraryVersion = 1.33",
            "KmdfLibraryVersion = latest",
        ),
        (
            1300,
            "CopyFiles = SyncStress_Files",
            "CopyFiles = SyncStress_Files\nDelReg = A",
        ),
        (
            1303,
            "[Strings]",
            "[SyncStress_Device.NT.CoInstallers]\n[Strings]",
        ),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from} is in the INF");
        let codes: Vec<_> = found_in(&bad, "amd64").iter().map(|it| it.code).collect();
        assert!(codes.contains(&code), "{from} -> {to}: {codes:?}");
    }
}
