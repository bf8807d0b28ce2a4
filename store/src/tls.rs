//! What certificate to accept from the server, by `sslmode` and `sslrootcert`:
//!
//! | sslmode | without `sslrootcert` | with `sslrootcert` |
//! |---|---|---|
//! | disable | no TLS | no TLS |
//! | prefer | any certificate; no TLS if the server has none | from that authority; no TLS if the server has none |
//! | require | any certificate | from that authority, for whatever host |
//! | verify-ca | from an authority that browsers trust, for whatever host | from that authority, for whatever host |
//! | verify-full | from an authority that browsers trust, for this host | from that authority, for this host |
//!
//! `sslrootcert=system` stands for the authorities that this machine trusts.
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
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};

use tokio_postgres::config::SslNegotiation;

use crate::database_url::{ClientCertificate, DatabaseUrl, SslMode, SslRoot};

/// Why no TLS configuration can be made: the operator must look at the files that the URL names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{option} {}: {reason}", path.display())]
    File {
        option: &'static str,
        path: PathBuf,
        reason: String,
    },
    #[error(
        "sslrootcert system: this machine has no authorities that it trusts (Debian, Ubuntu: apt-get install ca-certificates; \
         or name a file of them with the variable SSL_CERT_FILE): {0}"
    )]
    SystemRoots(String),
    #[error("TLS: {0}")]
    Rustls(#[from] Error),
}

/// The TLS configuration for a URL; reads its files anew each time, so that they can be replaced while nodes run.
pub(crate) fn client_config(url: &DatabaseUrl) -> Result<ClientConfig, TlsError> {
    // The provider is named: whether the process has installed a default one must not matter here.
    let provider = Arc::new(ring::default_provider());
    let verifies = matches!(url.ssl_mode, SslMode::VerifyCa | SslMode::VerifyFull);
    let trusted = match &url.ssl_root {
        Some(SslRoot::File(path)) => Some(read_roots(path)?),
        Some(SslRoot::System) => Some(system_roots()?),
        None if verifies => Some(RootCertStore {
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
    let builder = match (url.ssl_mode, chain) {
        (SslMode::VerifyFull, Some(verifier)) => builder.with_webpki_verifier(verifier),
        (_, chain) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(HostIsNotChecked { chain, provider })),
    };
    let mut config = match &url.ssl_client {
        Some(ours) => {
            let (chain, key) = read_client_certificate(ours)?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    if url.config.get_ssl_negotiation() == SslNegotiation::Direct {
        // Without it PostgreSQL refuses a handshake that nobody has asked for in its own protocol.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::SystemRoots(errors.join("; ")));
    }
    Ok(roots)
}

fn read_client_certificate(
    ours: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = read_certificates("sslcert", &ours.chain)?;
    let key = PrivateKeyDer::from_pem_file(&ours.key).map_err(|error| TlsError::File {
        option: "sslkey",
        path: ours.key.clone(),
        reason: match error {
            pem::Error::NoItemsFound => {
                "holds no key in PEM form that can be read without a password (openssl pkey decrypts one)"
                    .to_owned()
            }
            other => other.to_string(),
        },
    })?;
    Ok((chain, key))
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates("sslrootcert", path)? {
        roots.add(certificate).map_err(|error| TlsError::File {
            option: "sslrootcert",
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// At least one.
fn read_certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |reason: String| TlsError::File {
        option,
        path: path.to_owned(),
        reason,
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

/// libpq's `prefer`, `require` and `verify-ca`: the certificate's chain is checked only if there is an authority to check it
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
