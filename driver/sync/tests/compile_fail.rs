//! What the types refuse. Each file of `tests/ui` is one way to go wrong; the `.stderr` beside it is
//! what the compiler says. (That guards and
//! tokens are not sent between threads is in their documentation: what the compiler says of that
//! depends on whether the standard library's source is installed.)
#![cfg(not(windows))]

#[test]
fn what_is_refused_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
