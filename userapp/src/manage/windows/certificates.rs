//! The certificates that the machine trusts.

use std::{fs, path::Path};

use windows::{
    Win32::Security::Cryptography::{
        CERT_CONTEXT, CERT_FIND_EXISTING, CERT_OPEN_STORE_FLAGS, CERT_STORE_PROV_SYSTEM_W,
        CERT_STORE_READONLY_FLAG, CERT_SYSTEM_STORE_LOCAL_MACHINE, CertCloseStore,
        CertCreateCertificateContext, CertFindCertificateInStore, CertFreeCertificateContext,
        CertOpenStore, HCERTSTORE, X509_ASN_ENCODING,
    },
    core::Error as WindowsError,
};

use super::{trying, wide};
use crate::manage::system::{SystemError, Trust};

/// A certificate in memory; freed when it is dropped.
struct Certificate(*mut CERT_CONTEXT);

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: The context was made for this one, and nothing else frees it.
        let freed = unsafe { CertFreeCertificateContext(Some(self.0)) };
        debug_assert!(freed.as_bool(), "it always succeeds");
    }
}

/// An open store; closed when it is dropped.
struct Store(HCERTSTORE);

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: The store was opened for this one, and nothing else closes it.
        let closed = unsafe { CertCloseStore(Some(self.0), 0) };
        debug_assert!(closed.is_ok(), "a store that is ours can be closed");
    }
}

/// Where the certificate in this file (DER) is trusted.
pub fn trust(file: &Path) -> Result<Trust, SystemError> {
    let bytes = fs::read(file).map_err(|error| SystemError {
        what: format!("cannot read {}", file.display()),
        why: error.to_string(),
    })?;
    // SAFETY: The slice carries its length.
    let context = unsafe { CertCreateCertificateContext(X509_ASN_ENCODING, &bytes) };
    if context.is_null() {
        let what = format!("{} is no certificate", file.display());
        return Err(trying(what)(WindowsError::from_thread()));
    }
    let certificate = Certificate(context);
    Ok(Trust {
        root: is_in("Root", &certificate)?,
        publisher: is_in("TrustedPublisher", &certificate)?,
    })
}

fn is_in(store: &str, certificate: &Certificate) -> Result<bool, SystemError> {
    let name = wide(store);
    let flags = CERT_OPEN_STORE_FLAGS(CERT_SYSTEM_STORE_LOCAL_MACHINE) | CERT_STORE_READONLY_FLAG;
    // SAFETY: For this provider the parameter is the store's name, which ends with a zero and lives
    // across the call.
    let opened = unsafe {
        CertOpenStore(
            CERT_STORE_PROV_SYSTEM_W,
            X509_ASN_ENCODING,
            None,
            flags,
            Some(name.as_ptr().cast()),
        )
    };
    let opened = opened.map_err(trying(format!("cannot open the certificate store {store}")))?;
    let opened = Store(opened);
    // SAFETY: The store is open, and for this way to search the parameter is a certificate's context,
    // which lives across the call.
    let found = unsafe {
        CertFindCertificateInStore(
            opened.0,
            X509_ASN_ENCODING,
            0,
            CERT_FIND_EXISTING,
            Some(certificate.0.cast_const().cast()),
            None,
        )
    };
    if found.is_null() {
        return Ok(false);
    }
    drop(Certificate(found));
    Ok(true)
}
