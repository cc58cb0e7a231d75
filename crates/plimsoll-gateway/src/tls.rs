//! TLS towards clients: certificates by server name, files read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use plimsoll_config::Certificate;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// A certificate or key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// The certificate file.
    #[error("reading the certificate chain {path}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// It has no certificate in it.
    #[error("{path} has no certificate in it")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file.
    #[error("reading the private key {path}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The two do not belong together, or are of a kind that can't be used.
    #[error("using the certificate {certificate} with the key {key}")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Makes the TLS settings of a listener: HTTP/2 and HTTP/1.1 by ALPN, certificates by name.
pub(crate) fn server_config(
    certificates: &[Certificate],
) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let keys = certificates
        .iter()
        .map(load)
        .collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let mut config = match builder.with_safe_default_protocol_versions() {
        Ok(builder) => builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName(keys))),
        Err(source) => {
            let path = certificates
                .first()
                .map(|it| it.certificate.clone())
                .unwrap_or_default();
            return Err(ServerTlsError::Pair {
                certificate: path.clone(),
                key: path,
                source,
            });
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn load(pair: &Certificate) -> Result<Arc<CertifiedKey>, ServerTlsError> {
    let failed = |source| ServerTlsError::Certificate {
        path: pair.certificate.clone(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(&pair.certificate)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    if chain.is_empty() {
        return Err(ServerTlsError::NoCertificate {
            path: pair.certificate.clone(),
        });
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|source| ServerTlsError::Key {
        path: pair.key.clone(),
        source,
    })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|source| ServerTlsError::Pair {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
            source,
        })
}

/// The first certificate that is for the name asked for; else the first of all.
struct ByName(Vec<Arc<CertifiedKey>>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByName({} certificates)", self.0.len())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>, name: &ServerName<'_>| {
            let leaf = key.cert.first()?;
            let parsed = ParsedCertificate::try_from(leaf).ok()?;
            verify_server_name(&parsed, name).ok()
        };
        let named = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok())
            .and_then(|name| self.0.iter().find(|key| fits(key, &name).is_some()));
        named.or_else(|| self.0.first()).cloned()
    }
}

/// When the files of these certificates were last changed; what can't be read has no time.
pub(crate) fn file_times(certificates: &[Certificate]) -> Vec<Option<SystemTime>> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    certificates
        .iter()
        .flat_map(|pair| [changed(&pair.certificate), changed(&pair.key)])
        .collect()
}
