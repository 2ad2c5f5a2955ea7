//! Signing with a test certificate of this machine's own, by openssl and osslsigncode.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{process::run_quietly, workspace::create_folder};

/// The programs that sign.
pub const TOOLS: [&str; 2] = ["openssl", "osslsigncode"];

/// A certificate and its key.
#[derive(Debug)]
pub struct TestCertificate {
    folder: PathBuf,
}

impl TestCertificate {
    /// The certificate in `folder`; makes it if there is none.
    ///
    /// It is for signing code and nothing else, with SHA-256, and signed by itself. The key stays in
    /// that folder: whoever has it can sign what the test machines trust.
    pub fn in_folder(folder: PathBuf) -> Result<Self> {
        let certificate = Self { folder };
        if !certificate.pem().is_file() || !certificate.key().is_file() {
            create_folder(&certificate.folder)?;
            certificate.make()?;
        }
        Ok(certificate)
    }

    fn make(&self) -> Result<()> {
        let made = self.folder.join("new.pem");
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-sha256", "-noenc"]);
        command.args(["-days", "3650", "-subj", "/CN=syncstress test certificate"]);
        for extension in [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=codeSigning",
        ] {
            command.args(["-addext", extension]);
        }
        command
            .arg("-keyout")
            .arg(self.key())
            .arg("-out")
            .arg(&made);
        run_quietly("making a test certificate", &mut command)?;
        // It has its name only once it is whole, and a key.
        fs::rename(&made, self.pem()).context("cannot put the test certificate in its place")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    fn pem(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Writes the public certificate in the form that Windows imports.
    pub fn export(&self, to: &Path) -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(["x509", "-outform", "DER", "-in"]);
        command.arg(self.pem()).arg("-out").arg(to);
        run_quietly("exporting the test certificate", &mut command)?;
        Ok(())
    }

    /// Signs the image or catalog `from`, as of `time` (seconds since 1970), to the file `to`.
    pub fn sign(&self, from: &Path, to: &Path, time: u64) -> Result<()> {
        if to.exists() {
            fs::remove_file(to).with_context(|| format!("cannot replace {}", to.display()))?;
        }
        let mut command = Command::new("osslsigncode");
        command.args(["sign", "-h", "sha256", "-st", &time.to_string(), "-certs"]);
        command.arg(self.pem()).arg("-key").arg(self.key());
        command.arg("-in").arg(from).arg("-out").arg(to);
        run_quietly("signing", &mut command)?;
        Ok(())
    }

    /// Checks the signature of an image or a catalog, trusting this certificate alone.
    pub fn verify(&self, file: &Path) -> Result<()> {
        self.run_verify(&[], file)
    }

    /// Checks that the catalog lists the image by the hash that osslsigncode computes, and the
    /// catalog's signature.
    pub fn verify_listed(&self, file: &Path, catalog: &Path) -> Result<()> {
        self.run_verify(&[Path::new("-catalog"), catalog], file)
    }

    fn run_verify(&self, options: &[&Path], file: &Path) -> Result<()> {
        let mut command = Command::new("osslsigncode");
        command.arg("verify").arg("-CAfile").arg(self.pem());
        command.args(options).arg("-in").arg(file);
        run_quietly("checking a signature", &mut command)?;
        Ok(())
    }
}
