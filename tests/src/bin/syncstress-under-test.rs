//! The program `syncstress`, built with these tests: what they run if no other is named.

fn main() -> std::process::ExitCode {
    syncstress::main(std::env::args_os())
}
