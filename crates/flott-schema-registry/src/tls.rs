//! Certificates and keys from PEM files.

use std::sync::Arc;

use flott_types::{Code, Diagnostic, Result};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::options::{Settings, Store};

/// What TLS needs.
///
/// # Errors
/// `InputMissing`, `InvalidOption`, `NotSupported`: a file that isn't there, or isn't PEM.
pub(crate) fn config(settings: &Settings) -> Result<TlsConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    if let Some(store) = &settings.trust {
        let (certificates, _) = read(store)?;
        if certificates.is_empty() {
            return Err(empty(store, "certificate"));
        }
        builder = builder.root_certs(RootCerts::new_with_certs(&certificates));
    }
    if let Some(store) = &settings.identity {
        let (certificates, key) = read(store)?;
        let key = key.ok_or_else(|| empty(store, "private key"))?;
        if certificates.is_empty() {
            return Err(empty(store, "certificate"));
        }
        builder = builder.client_cert(Some(ClientCert::new_with_certs(&certificates, key)));
    }
    Ok(builder.build())
}

fn empty(store: &Store, what: &str) -> Box<Diagnostic> {
    let message = format!("option '{}': no {what} in '{}'", store.key, store.path);
    Diagnostic::error(Code::InvalidOption, message).help("expected a PEM file: text with -----BEGIN … lines")
}

type Contents = (Vec<Certificate<'static>>, Option<PrivateKey<'static>>);

fn read(store: &Store) -> Result<Contents> {
    let bytes = std::fs::read(&store.path).map_err(|error| {
        let message = format!("option '{}': cannot read '{}': {error}", store.key, store.path);
        Diagnostic::error(Code::InputMissing, message).caused_by(&error)
    })?;
    // Java's own stores: JKS begins with FEEDFEED, PKCS #12 with a DER sequence.
    if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) || bytes.first() == Some(&0x30) {
        return Err(Diagnostic::not_supported(format!("'{}' as a JKS or PKCS #12 store", store.key)).help(
            "convert it to PEM: `keytool -importkeystore … -deststoretype PKCS12`, then `openssl pkcs12 -nodes`",
        ));
    }
    let (mut certificates, mut key) = (Vec::new(), None);
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(PemItem::PrivateKey(found)) => key = Some(found),
            Ok(_) => {}
            Err(error) => {
                let message = format!("option '{}': '{}' is not PEM: {error}", store.key, store.path);
                return Err(Diagnostic::error(Code::InvalidOption, message));
            }
        }
    }
    Ok((certificates, key))
}
