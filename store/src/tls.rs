//! What certificate to accept from the server, by `sslmode` and `sslrootcert`:
//!
//! | sslmode | without `sslrootcert` | with `sslrootcert` |
//! |---|---|---|
//! | disable | no TLS | no TLS |
//! | prefer | any certificate; no TLS if the server has none | from that authority; no TLS if the server has none |
//! | require | any certificate | from that authority, for whatever host |
//! | verify-full | from an authority that browsers trust, for this host | from that authority, for this host |
//!
//! Whatever the certificate, the server must prove that it holds its key: SCRAM's channel binding rests on that.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::database_url::SslMode;

/// Why no TLS configuration can be made: the operator must look at `sslrootcert`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("sslrootcert {}: {reason}", path.display())]
    RootCert { path: PathBuf, reason: String },
    #[error("TLS: {0}")]
    Rustls(#[from] Error),
}

/// The TLS configuration for a mode; reads `root_cert` anew each time, so that it can be replaced while nodes run.
pub(crate) fn client_config(mode: SslMode, root_cert: Option<&Path>) -> Result<ClientConfig, TlsError> {
    // The provider is named: whether the process has installed a default one must not matter here.
    let provider = Arc::new(ring::default_provider());
    let trusted = match root_cert {
        Some(path) => Some(read_roots(path)?),
        None if mode == SslMode::VerifyFull => Some(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }),
        None => None,
    };
    let chain = trusted
        .map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))
        })
        .transpose()?;
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match (mode, chain) {
        (SslMode::VerifyFull, Some(verifier)) => builder.with_webpki_verifier(verifier),
        (_, chain) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(HostIsNotChecked { chain, provider })),
    };
    Ok(builder.with_no_client_auth())
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let fault = |reason: String| TlsError::RootCert {
        path: path.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))? {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("holds no certificate in PEM form".to_owned()));
    }
    Ok(roots)
}

/// libpq's `prefer` and `require`: the certificate's chain is checked only if there is an authority to check it
/// against, the host's name never.
#[derive(Debug)]
struct HostIsNotChecked {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for HostIsNotChecked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: everything else has been found right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
