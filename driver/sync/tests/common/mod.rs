//! What several tests look for.

use nthost::bugcheck::BugCheckReport;

/// The system was stopped because an object of this kind went away while it was in use, at this IRQL.
#[track_caller]
pub fn assert_in_use(report: &BugCheckReport, kind: u64, irql: u64) {
    assert_eq!(report.code, 0xC4, "{report}");
    let [rule, _object, reported_kind, reported_irql] = report.parameters;
    assert_eq!(
        (rule, reported_kind, reported_irql),
        (0x100B, kind, irql),
        "{report}"
    );
}
