//! The two processor architectures of the images.

use clap::ValueEnum;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// x86-64, also called AMD64
    X64,
    /// 64-bit Arm
    Arm64,
}

impl Arch {
    /// The name of this project's folders and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name in INF files.
    pub const fn inf_name(self) -> &'static str {
        match self {
            Self::X64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name of the kit's library folders, as wdk-build asks for them.
    pub const fn kit_folder(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "ARM64",
        }
    }

    /// The Rust target, which is also clang's.
    pub const fn target(self) -> &'static str {
        match self {
            Self::X64 => "x86_64-pc-windows-msvc",
            Self::Arm64 => "aarch64-pc-windows-msvc",
        }
    }

    /// The machine as llvm-dlltool calls it.
    pub const fn dlltool_machine(self) -> &'static str {
        match self {
            Self::X64 => "i386:x86-64",
            Self::Arm64 => "arm64",
        }
    }

    /// The macros that wdk-build defines for the architecture's C code.
    pub const fn definitions(self) -> &'static [&'static str] {
        match self {
            Self::X64 => &["-D_WIN64", "-D_AMD64_", "-DAMD64"],
            Self::Arm64 => &[
                "-D_ARM64_",
                "-DARM64",
                "-D_USE_DECLSPECS_FOR_SAL=1",
                "-DSTD_CALL",
            ],
        }
    }
}
