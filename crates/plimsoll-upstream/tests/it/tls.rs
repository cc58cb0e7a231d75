//! Goal: TLS accepts who it should and nobody else, and says why not. Method: certificates made for each
//! test, a rustls server in the same thread.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_upstream::{
    ClientCertificate, Clock, Clusters, ConnectError, EndpointConfig, Pools, TlsConfig, Wanted,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use crate::support::{
    Expect, accept, cluster, endpoint, first, get, listen, on_a_thread, serve_http2,
};

const ANY: Wanted = Wanted::Auto { grpc: false };

#[test]
fn a_custom_authority_is_accepted_and_reuse_works_over_tls() {
    on_a_thread(async {
        let authority = Authority::new("one");
        let (listener, config) = listen().await;
        serve(listener, authority.server(&[b"http/1.1"], None));
        let (endpoint, pools) = (
            endpoint(with(config, authority.tls())),
            Pools::new(Clock::new()),
        );
        let connection = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        assert!(connection.io.is_tls());
        pools.give_back(&endpoint, connection);
        assert!(pools.checkout(&endpoint, ANY).await.unwrap().http1().reused);
    });
}

#[test]
fn another_authority_and_another_name_are_refused() {
    on_a_thread(async {
        let (authority, stranger) = (Authority::new("one"), Authority::new("stranger"));
        let wrong_name = TlsConfig {
            server_name: Some("other.test".to_owned()),
            ..authority.tls()
        };
        for tls in [stranger.tls(), wrong_name] {
            let (listener, config) = listen().await;
            serve(listener, authority.server(&[], None));
            let (endpoint, pools) = (endpoint(with(config, tls)), Pools::new(Clock::new()));
            let error = pools.checkout(&endpoint, ANY).await.unwrap_err();
            assert_eq!(error.kind(), "tls");
            assert_eq!(endpoint.shared.take_connects(), (1, 0));
        }
    });
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    on_a_thread(async {
        let authority = Authority::new("one");
        let (listener, config) = listen().await;
        serve(listener, authority.server(&[b"h2"], Some(&authority)));
        let pools = Pools::new(Clock::new());
        let with_it = TlsConfig {
            client: Some(authority.client()),
            ..authority.tls()
        };
        let endpoint_with = endpoint(with(config.clone(), with_it));
        let mut place = pools.checkout(&endpoint_with, ANY).await.unwrap().http2();
        assert_eq!(get(&mut place).await.unwrap(), 200);
        let endpoint_without = endpoint(with(config, authority.tls()));
        // TLS 1.3 tells the client only when it reads: the connection is made, and of no use.
        let other = Pools::new(Clock::new());
        if let Ok(checkout) = other.checkout(&endpoint_without, ANY).await {
            get(&mut checkout.http2()).await.unwrap_err();
        }
    });
}

#[test]
fn alpn_decides_where_the_protocol_is_open() {
    on_a_thread(async {
        let authority = Authority::new("one");
        let (listener, config) = listen().await;
        serve(listener, authority.server(&[b"h2", b"http/1.1"], None));
        let (endpoint, pools) = (
            endpoint(with(config, authority.tls())),
            Pools::new(Clock::new()),
        );
        let mut place = pools.checkout(&endpoint, ANY).await.unwrap().http2();
        assert_eq!(get(&mut place).await.unwrap(), 200);
        pools
            .checkout(&endpoint, Wanted::Http1)
            .await
            .unwrap()
            .http1();

        let (listener, config) = listen().await;
        serve(listener, authority.server(&[b"http/1.1"], None));
        let (endpoint, pools) = (
            crate::support::endpoint(with(config, authority.tls())),
            Pools::new(Clock::new()),
        );
        for _ in 0..3 {
            pools.checkout(&endpoint, ANY).await.unwrap().http1();
        }
        let error = pools.checkout(&endpoint, Wanted::Http2).await.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Tls { .. } | ConnectError::Protocol { .. }
            ),
            "{error:?}"
        );
    });
}

#[test]
fn a_peer_that_never_answers_the_handshake_is_given_up() {
    on_a_thread(async {
        let authority = Authority::new("one");
        let (listener, config) = listen().await;
        let mut config = with(config, authority.tls());
        config.connect_time_max = Duration::from_millis(50);
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let error = pools.checkout(&endpoint, ANY).await.unwrap_err();
        assert_eq!(error.kind(), "timeout");
        drop(accept(&listener).await);
    });
}

#[test]
fn a_file_that_is_of_no_use_is_named() {
    let authority = Authority::new("one");
    let empty = authority.folder.path().join("empty.pem");
    fs::write(&empty, "nothing here\n").unwrap();
    let missing = authority.folder.path().join("missing.pem");
    let mismatch = ClientCertificate {
        certificate: authority.path("leaf.pem"),
        key: authority.path("ca.key"),
    };
    for (tls, expected) in [
        (
            TlsConfig {
                ca: Some(empty),
                ..TlsConfig::default()
            },
            "empty.pem",
        ),
        (
            TlsConfig {
                ca: Some(missing),
                ..TlsConfig::default()
            },
            "missing.pem",
        ),
        (
            TlsConfig {
                client: Some(mismatch),
                ..authority.tls()
            },
            "ca.key",
        ),
        (
            TlsConfig {
                server_name: Some("no name".to_owned()),
                ..authority.tls()
            },
            "no name",
        ),
    ] {
        let config = cluster(vec![with(EndpointConfig::new("127.0.0.1", 1), tls)]);
        let error = Clusters::new().update(vec![config]).unwrap_err();
        assert!(error.to_string().contains("shop"), "{error}");
        assert!(
            error.source.to_string().contains(expected),
            "{}",
            error.source
        );
    }
}

#[test]
fn a_reload_reads_the_files_anew_and_keeps_the_endpoint() {
    on_a_thread(async {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let (listener, config) = listen().await;
        serve(listener, new.server(&[], None));
        let config = cluster(vec![with(config, old.tls())]);
        let clusters = Clusters::new().update(vec![config.clone()]).unwrap();
        let pools = Pools::new(Clock::new());
        pools.checkout(&first(&clusters), ANY).await.unwrap_err();
        fs::copy(new.path("ca.pem"), old.path("ca.pem")).unwrap();
        let reloaded = clusters.update(vec![config.clone()]).unwrap();
        assert_eq!(first(&reloaded).key, first(&clusters).key);
        pools.checkout(&first(&reloaded), ANY).await.unwrap();
        fs::remove_file(old.path("ca.pem")).unwrap();
        reloaded.update(vec![config]).unwrap_err();
        pools.checkout(&first(&reloaded), ANY).await.unwrap();
    });
}

fn with(config: EndpointConfig, tls: TlsConfig) -> EndpointConfig {
    EndpointConfig {
        tls: Some(tls),
        ..config
    }
}

/// Serves HTTP/2 where it was agreed on; else keeps connections open.
fn serve(listener: TcpListener, config: Arc<ServerConfig>) {
    spawn_local(async move {
        let acceptor = TlsAcceptor::from(config);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            spawn_local(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    serve_http2(stream, 100, |_, mut respond| {
                        respond
                            .send_response(http::Response::new(()), true)
                            .unwrap();
                    })
                    .await;
                } else {
                    std::future::pending::<()>().await;
                    drop(stream);
                }
            });
        }
    });
}

/// An authority with one certificate, for 127.0.0.1.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    leaf: rcgen::Certificate,
    leaf_key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let authority = Self {
            folder: TempDir::new().unwrap(),
            issuer,
            leaf,
            leaf_key,
        };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        fs::write(
            authority.path("ca.key"),
            authority.issuer.key().serialize_pem(),
        )
        .unwrap();
        fs::write(authority.path("leaf.pem"), authority.leaf.pem()).unwrap();
        fs::write(
            authority.path("leaf.key"),
            authority.leaf_key.serialize_pem(),
        )
        .unwrap();
        authority
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig {
            ca: Some(self.path("ca.pem")),
            ..TlsConfig::default()
        }
    }

    fn client(&self) -> ClientCertificate {
        ClientCertificate {
            certificate: self.path("leaf.pem"),
            key: self.path("leaf.key"),
        }
    }

    fn server(&self, alpn: &[&[u8]], clients: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::try_from(self.leaf_key.serialize_der()).unwrap();
        let mut config = builder
            .with_single_cert(vec![self.leaf.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}
