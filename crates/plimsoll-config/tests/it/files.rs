//! The files that a configuration names are looked at on disk, and pointed at where they are named.

use std::fs;

use plimsoll_config::{check_files, render};

const SOURCE: &str = r#"[gateway]
listen = [{ address = "127.0.0.1:8443", tls = [{ certificate = "a.pem", key = "a.key" }] }]

[gateway.log]
to = "logs/access.log"

[service.app]
endpoints = "https://10.0.0.1"
tls = { ca = "ca.pem" }

[tenant.acme]
keys = { file = "acme.key" }

[[route]]
service = "app"
tenant = "x-api-key"
"#;

/// What is found with these files beside the configuration, without the folder's name.
#[expect(clippy::unwrap_used, reason = "it is a part of a test")]
fn found(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), content).unwrap();
    }
    let file = folder.path().join("plimsoll.toml");
    let diagnostics = check_files(SOURCE, file.to_str().unwrap());
    render(&diagnostics, SOURCE, "plimsoll.toml", false)
        .replace(folder.path().to_str().unwrap(), "FOLDER")
}

#[test]
fn files_that_are_what_they_should_be_are_fine() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
    let files = [
        ("a.pem", &*certificate),
        ("a.key", &*key),
        ("ca.pem", &*certificate),
        ("logs/x", ""),
        ("acme.key", "s3cret\n"),
    ];
    assert_eq!(found(&files), "");
}

#[test]
fn files_that_are_missing_or_something_else_are_shown() {
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    insta::assert_snapshot!(found(&[
        ("a.key", "no key"),
        ("ca.pem", broken),
        ("acme.key", "one\ntwo\n"),
    ]));
}

#[test]
fn a_runbook_that_is_missing_or_too_large_is_a_warning_and_a_url_is_no_file() {
    let found = |runbook: &str, content: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        if let Some(content) = content {
            fs::write(folder.path().join("shop.md"), content).unwrap();
        }
        let source =
            format!("[service.shop]\nendpoints = \"http://10.0.0.1\"\nrunbook = \"{runbook}\"\n");
        let file = folder.path().join("plimsoll.toml");
        let diagnostics = check_files(&source, file.to_str().unwrap());
        render(&diagnostics, &source, "plimsoll.toml", false)
            .replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    assert_eq!(found("https://wiki.example/shop", None), "");
    assert_eq!(found("shop.md", Some("# Shop")), "");
    let missing = found("shop.md", None);
    assert!(
        missing.starts_with("warning[file-missing]: FOLDER/shop.md cannot be read"),
        "{missing}"
    );
    let large = found("shop.md", Some(&"x".repeat((64 << 10) + 1)));
    assert!(large.contains("at most 64 KiB"), "{large}");
}

#[test]
fn a_page_that_can_not_be_given_is_an_error() {
    let found = |page: &str, content: Option<&[u8]>| {
        let folder = tempfile::tempdir().unwrap();
        if let Some(content) = content {
            fs::write(folder.path().join(page), content).unwrap();
        }
        let kind = page.rsplit('.').next().unwrap();
        let source = format!("[[route]]\nfallback = {{ {kind} = \"{page}\" }}\n");
        let file = folder.path().join("plimsoll.toml");
        let diagnostics = check_files(&source, file.to_str().unwrap());
        render(&diagnostics, &source, "plimsoll.toml", false)
            .replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    assert_eq!(found("a.html", Some(b"<p>sorry {{request_id}}")), "");
    assert_eq!(found("a.json", Some(b"[]")), "");
    let large = vec![b'a'; 256 * 1024];
    assert_eq!(found("a.html", Some(&large)), "");
    let larger = vec![b'a'; 256 * 1024 + 1];
    let wrong = [
        found("a.html", None),
        found("a.html", Some(&larger)),
        found("a.html", Some(b"\xff")),
        found("a.html", Some(b"{{reson}}")),
        found("a.json", Some(b"<p>sorry")),
    ];
    insta::assert_snapshot!(wrong.join("\n"));
}
