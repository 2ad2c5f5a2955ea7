//! The program `syncstress`: drives the syncstress driver and shows what came out.

fn main() -> std::process::ExitCode {
    syncstress::main(std::env::args_os())
}
