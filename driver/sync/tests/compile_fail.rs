//! What the types refuse. Each file of `tests/ui` is one way to go wrong; the `.stderr` beside it is
//! what the compiler says.

#[test]
fn what_is_refused_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
