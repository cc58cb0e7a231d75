//! TLS towards services: accepted authorities, our own certificate, what ALPN offers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConnection, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// How a service's TLS endpoints are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsConfig {
    /// PEM file of accepted authorities; `None` = the system's.
    pub ca: Option<PathBuf>,
    /// The name to ask for and check; `None` = the endpoint's host.
    pub server_name: Option<String>,
    /// Our own certificate, where the service asks for one.
    pub client: Option<ClientCertificate>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientCertificate {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// TLS for a service cannot be set up: the configuration is to be refused.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read, or is no PEM file.
    #[error("reading {what} from {}", path.display())]
    Pem {
        /// What was to be read.
        what: &'static str,
        /// From where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: pem::Error,
    },
    /// A PEM file without a certificate in it.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate that is not usable as an authority.
    #[error("a certificate in {} cannot be used as an authority", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Our certificate and key do not fit each other, or are not usable.
    #[error("using the client certificate {} with the key {}", certificate.display(), key.display())]
    Client {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why it failed.
        #[source]
        source: rustls::Error,
    },
    /// The system has no authorities that could be read.
    #[error(
        "the system's certificate authorities cannot be read; set `tls.ca`{}",
        list(problems)
    )]
    SystemRoots {
        /// What was met on the way.
        problems: Vec<String>,
    },
    /// The name to check is no name.
    #[error("`{name}` is neither a host name nor an address")]
    ServerName {
        /// The name.
        name: String,
    },
    /// rustls refuses the protocol versions.
    #[error("choosing TLS versions")]
    Versions(#[source] rustls::Error),
}

fn list(problems: &[String]) -> String {
    problems
        .iter()
        .map(|problem| format!("; {problem}"))
        .collect()
}

/// One service's TLS, ready for use.
#[derive(Debug)]
pub(crate) struct ClientTls {
    /// Offers `h2` and `http/1.1`.
    either: Arc<ClientConfig>,
    /// Offers `http/1.1`.
    http1: Arc<ClientConfig>,
    /// Offers `h2`.
    http2: Arc<ClientConfig>,
    /// Offers nothing.
    nothing: Arc<ClientConfig>,
}

/// What ALPN offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Either,
    Http1,
    Http2,
}

impl ClientTls {
    /// Reads the files.
    pub(crate) fn new(config: &TlsConfig, system: &SystemRoots) -> Result<Self, TlsError> {
        let roots = match &config.ca {
            Some(path) => Arc::new(read_authorities(path)?),
            None => system.roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .with_root_certificates(roots);
        let base = match &config.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = read_certificates("a certificate", &client.certificate)?;
                let key =
                    PrivateKeyDer::from_pem_file(&client.key).map_err(|source| TlsError::Pem {
                        what: "a private key",
                        path: client.key.clone(),
                        source,
                    })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|source| TlsError::Client {
                        certificate: client.certificate.clone(),
                        key: client.key.clone(),
                        source,
                    })?
            }
        };
        let offering = |protocols: &[&[u8]]| {
            let mut config = base.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            either: offering(&[b"h2", b"http/1.1"]),
            http1: offering(&[b"http/1.1"]),
            http2: offering(&[b"h2"]),
            nothing: offering(&[]),
        })
    }

    /// For what is not HTTP: a mail server may refuse whoever offers it.
    pub(crate) fn offering_nothing(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.nothing)
    }

    pub(crate) fn offering(&self, offer: Offer) -> Arc<ClientConfig> {
        Arc::clone(match offer {
            Offer::Either => &self.either,
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
        })
    }
}

/// Whether ALPN agreed on HTTP/2.
pub(crate) fn is_http2(connection: &ClientConnection) -> bool {
    connection.alpn_protocol() == Some(b"h2")
}

/// Reads a server name: a host name, or an address literal.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName {
        name: name.to_owned(),
    })
}

/// What one reload made of TLS configurations: services with many endpoints read their files once.
#[derive(Debug)]
pub(crate) struct TlsCache<'a> {
    system: &'a SystemRoots,
    made: BTreeMap<TlsConfig, Arc<ClientTls>>,
}

impl<'a> TlsCache<'a> {
    pub(crate) fn new(system: &'a SystemRoots) -> Self {
        Self {
            system,
            made: BTreeMap::new(),
        }
    }

    /// Reads the files, unless that was done.
    pub(crate) fn client(&mut self, config: &TlsConfig) -> Result<Arc<ClientTls>, TlsError> {
        if let Some(made) = self.made.get(config) {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(ClientTls::new(config, self.system)?);
        self.made.insert(config.clone(), Arc::clone(&made));
        Ok(made)
    }
}

/// The system's authorities, read when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct SystemRoots(OnceLock<Arc<RootCertStore>>);

impl SystemRoots {
    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(roots) = self.0.get() {
            return Ok(Arc::clone(roots));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // One that cannot be parsed takes the others not down: systems carry odd ones.
        let (added, _ignored) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            let problems = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::SystemRoots { problems });
        }
        Ok(Arc::clone(self.0.get_or_init(|| Arc::new(store))))
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in read_certificates("certificate authorities", path)? {
        store
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(store)
}

fn read_certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem {
        what,
        path: path.to_owned(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}
