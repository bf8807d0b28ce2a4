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
//! A certificate that *is* one of those in the file of `sslrootcert` is taken as if from that authority, whatever form it has.
//! `sslrootcert=system` stands for the authorities that this machine trusts.
//!
//! Whatever the certificate, the server must prove that it holds its key: SCRAM's channel binding rests on that.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
        pem::{self, PemObject},
    },
};
use tokio_postgres::config::SslNegotiation;
use webpki::{EndEntityCert, RawPublicKeyEntity};
use x509_cert::der::{Decode, Encode, oid::ObjectIdentifier};

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
        Some(SslRoot::System) => Some((system_roots()?, Vec::new())),
        None if verifies => {
            let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
            Some((RootCertStore { roots }, Vec::new()))
        }
        None => None,
    };
    let trusted = trusted.map(|roots| Trusted::new(roots, &provider)).transpose()?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier {
            trusted,
            checks_host: url.ssl_mode == SslMode::VerifyFull,
            provider,
        }));
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

/// The authorities of a file, and its certificates as they stand there.
type Roots = (RootCertStore, Vec<CertificateDer<'static>>);

fn read_roots(path: &Path) -> Result<Roots, TlsError> {
    let certificates = read_certificates("sslrootcert", path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| TlsError::File {
            option: "sslrootcert",
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok((roots, certificates))
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

/// What a server's certificate is held against.
#[derive(Debug)]
struct Trusted {
    /// Authorities.
    chain: Arc<WebPkiServerVerifier>,
    /// Certificates that are trusted themselves: those of `sslrootcert`. Such a one needs no authority, and may be of a form
    /// that is for authorities only, or out of date: self-signed, or of X.509 version 1.
    themselves: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn new((roots, themselves): Roots, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { chain, themselves })
    }
}

/// The table above. Unlike rustls's own verifier it reads certificates of X.509 version 1, as the PostgreSQL manual's own
/// commands have long made them.
#[derive(Debug)]
struct Verifier {
    /// Without it, any certificate will do.
    trusted: Option<Trusted>,
    checks_host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        if trusted.themselves.contains(end_entity) {
            let certificate = parse(end_entity)?;
            check_dates(&certificate, now)?;
            if self.checks_host {
                check_host(end_entity, &certificate, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let chain = &trusted.chain;
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: everything else has been found right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_host => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
        let known = self.provider.signature_verification_algorithms.mapping;
        // One scheme of TLS 1.2 stands for several algorithms.
        let is_valid = known
            .iter()
            .filter(|(scheme, _)| *scheme == signature.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| {
                key.verify_signature(*algorithm, message, signature.signature())
                    .is_ok()
            });
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn parse(certificate: &CertificateDer<'_>) -> Result<x509_cert::Certificate, Error> {
    let parsed = x509_cert::Certificate::from_der(certificate);
    parsed.map_err(|_| CertificateError::BadEncoding.into())
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let key = parse(certificate)?
        .tbs_certificate
        .subject_public_key_info
        .to_der();
    key.map(SubjectPublicKeyInfoDer::from)
        .map_err(|_| CertificateError::BadEncoding.into())
}

fn check_dates(certificate: &x509_cert::Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = &certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// By its alternative names; by its common name if it has none, as libpq does it.
fn check_host(
    der: &CertificateDer<'_>,
    certificate: &x509_cert::Certificate,
    host: &ServerName<'_>,
) -> Result<(), Error> {
    // RFC 5280, sections 4.2.1.6 and A.1.
    const ALTERNATIVE_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

    let certificate = &certificate.tbs_certificate;
    let extensions = certificate.extensions.iter().flatten();
    let is_named = if extensions
        .into_iter()
        .any(|extension| extension.extn_id == ALTERNATIVE_NAMES)
    {
        EndEntityCert::try_from(der)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(host).is_ok())
    } else {
        let parts = certificate.subject.0.iter().flat_map(|part| part.0.iter());
        parts
            .filter(|part| part.oid == COMMON_NAME)
            .any(|name| host.to_str().as_bytes().eq_ignore_ascii_case(name.value.value()))
    };
    if is_named {
        Ok(())
    } else {
        Err(CertificateError::NotValidForName.into())
    }
}

/// What to do about a server's certificate that was not taken.
pub(crate) fn remedy(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(Error::InvalidCertificate(fault)) = inner.and_then(|inner| inner.downcast_ref::<Error>())
        {
            return Some(remedy_of(fault));
        }
        cause = error.source();
    }
    None
}

fn remedy_of(fault: &CertificateError) -> &'static str {
    const ITSELF: &str = "put the server's certificate itself into the file of sslrootcert";
    match fault {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "connect by a name that the certificate is made out to, or take it for whatever host with sslmode=verify-ca"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "renew the server's certificate, or set the clock of this machine"
        }
        CertificateError::UnknownIssuer => {
            "name the file of its authority with sslrootcert=FILE (sslrootcert=system: the authorities that this machine \
             trusts), or put the server's certificate itself there"
        }
        // Of the chain; or of the handshake, by somebody who has the certificate and not its key.
        CertificateError::BadSignature => {
            "its authority has the name of a known one and another key: name the file of the right one with sslrootcert=FILE; or \
             this is not the server that the certificate belongs to"
        }
        CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::UnsupportedCertVersion) => {
                "the server's certificate is of X.509 version 1: make it anew with an extension file (openssl x509 -req \
                 -extfile FILE, and in FILE subjectAltName=DNS:HOST), or put it itself into the file of sslrootcert"
            }
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "the server's certificate is one of an authority, as openssl req -x509 makes them: put it itself into the \
                 file of sslrootcert"
            }
            _ => ITSELF,
        },
        _ => ITSELF,
    }
}
