//! Goal: TLS on both sides: the right certificate by name, HTTP/2 by ALPN, files read again, checks that fail.
//!
//! Method: certificates made here, curl before the program, a second program with TLS behind it.

use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::child::{Home, Plimsoll, config, free_address, get, metric, wait_until};
use crate::script::Script;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes a certificate for `names` and its key; says which serial number it has.
    pub(crate) fn issue(&self, home: &Home, file: &str, names: &[&str], serial: u64) {
        let mut params =
            CertificateParams::new(names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
                .unwrap();
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        for (suffix, pem) in [("key", key.serialize_pem()), ("pem", certificate.pem())] {
            let aside = home.path("aside");
            std::fs::write(&aside, pem).unwrap();
            std::fs::rename(aside, home.path(&format!("{file}.{suffix}"))).unwrap();
        }
    }
}

fn tls_config(service: std::net::SocketAddr, home: &Home, files: &[&str]) -> String {
    let pairs: Vec<_> = files
        .iter()
        .map(|file| {
            let (pem, key) = (
                home.path(&format!("{file}.pem")),
                home.path(&format!("{file}.key")),
            );
            format!(
                "{{ certificate = \"{}\", key = \"{}\" }}",
                pem.display(),
                key.display()
            )
        })
        .collect();
    config(&[service], "", "").replace(
        "[\"127.0.0.1:0\"]",
        &format!(
            "[{{ address = \"127.0.0.1:0\", tls = [{}] }}]",
            pairs.join(", ")
        ),
    )
}

/// Asks for `name`; answers what curl wrote.
fn curl(plimsoll: &Plimsoll, home: &Home, name: &str, more: &[&str]) -> Result<String, String> {
    let port = plimsoll.address().port();
    let output = Command::new("curl")
        .args([
            "-s",
            "-S",
            "-v",
            "--max-time",
            "20",
            "--cacert",
            &home.path("ca.pem").display().to_string(),
        ])
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .args(["-w", "%{http_version}"])
        .args(more)
        .arg(format!("https://{name}:{port}/"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
    } else {
        Err(said)
    }
}

#[test]
fn a_client_gets_the_certificate_of_its_name_and_http2_if_it_can() {
    let (home, authority) = (Home::new(), Authority::new());
    std::fs::write(home.path("ca.pem"), &authority.pem).unwrap();
    authority.issue(&home, "a", &["a.test"], 1);
    authority.issue(&home, "b", &["*.b.test"], 2);
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok ");
    home.write(&tls_config(service.address, &home, &["a", "b"]));
    let plimsoll = home.run(&[]);
    for name in ["a.test", "x.b.test"] {
        assert!(
            curl(&plimsoll, &home, name, &[])
                .unwrap()
                .starts_with("ok 2")
        );
        assert!(
            curl(&plimsoll, &home, name, &["--http1.1"])
                .unwrap()
                .starts_with("ok 1.1")
        );
    }
    let refused = curl(&plimsoll, &home, "c.test", &[]).unwrap_err();
    assert!(
        refused.contains("c.test"),
        "no certificate is for it: {refused}"
    );
    assert!(
        service
            .heads()
            .iter()
            .all(|head| head.contains("X-Forwarded-Proto: https"))
    );

    authority.issue(&home, "a", &["a.test", "c.test"], 3);
    wait_until("the new certificate is served", || {
        curl(&plimsoll, &home, "c.test", &[]).is_ok()
    });
    std::fs::write(home.path("a.pem"), "no certificate").unwrap();
    plimsoll.wait_for("the old ones stay");
    assert!(curl(&plimsoll, &home, "c.test", &[]).is_ok());
}

#[test]
fn a_service_behind_tls_is_checked() {
    let (home, authority) = (Home::new(), Authority::new());
    std::fs::write(home.path("ca.pem"), &authority.pem).unwrap();
    authority.issue(&home, "inner", &["inner.test"], 1);
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    home.write(&tls_config(service.address, &home, &["inner"]));
    let behind = home.run(&[]);
    let before = |tls: &str| {
        let home = Home::new();
        let text = config(&[free_address()], "", "");
        let at = text.find("endpoints = ").unwrap();
        let end = at + text[at..].find('\n').unwrap();
        let endpoints = format!(
            "endpoints = [\"https://{}\"]\ntls = {tls}",
            behind.address()
        );
        home.write(&format!("{}{endpoints}{}", &text[..at], &text[end..]));
        let plimsoll = home.run(&[]);
        (home, plimsoll)
    };
    let ca = home.path("ca.pem").display().to_string();
    let (_home, plimsoll) = before(&format!(
        "{{ ca = \"{ca}\", server_name = \"inner.test\" }}"
    ));
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    for tls in [
        format!("{{ ca = \"{ca}\", server_name = \"other.test\" }}"),
        "{ server_name = \"inner.test\" }".to_owned(),
    ] {
        let (_home, plimsoll) = before(&tls);
        assert_eq!(get(plimsoll.address(), "/").0, 502, "{tls}");
        let metrics = get(plimsoll.ops(), "/metrics").1;
        assert_eq!(
            metric(&metrics, "plimsoll_requests_total", &["cause=\"connect\""]),
            1.0,
            "{tls}"
        );
    }
}
