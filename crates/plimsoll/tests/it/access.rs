//! Goal: a token lets its person do what its role and owners allow, from the moment it is made until it is revoked or
//! expires, whatever becomes of the process; and every change of tokens is in the journal.
//!
//! Method: the command line makes tokens, curl uses them; the store is taken away, the process killed.

use std::process::{Command, Output};

use serde_json::Value;

use crate::child::{Home, Plimsoll, Service, config, wait_until};
use crate::journal::is;

/// Asks the control API with curl, and gives the status and the answer.
pub(crate) fn curl(
    plimsoll: &Plimsoll,
    method: &str,
    path: &str,
    token: &str,
    more: &[&str],
) -> (u16, Value) {
    let url = format!("http://{}{path}", plimsoll.console());
    let authorization = format!("Authorization: Bearer {token}");
    let output = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "30",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
            &url,
        ])
        .args(["-H", &authorization])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let answer = serde_json::from_str(body).unwrap_or(Value::Null);
    (status.parse().unwrap(), answer)
}

fn started() -> (Service, Home, Plimsoll) {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    (service, home, plimsoll)
}

impl Home {
    /// Makes a token, and gives its secret.
    #[track_caller]
    pub(crate) fn token(&self, args: &[&str]) -> String {
        let output = self.ask(&[&["token", "create"], args].concat());
        assert!(output.status.success(), "{output:?}");
        let secret = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(
            secret.starts_with("plim_") && secret.len() == 69,
            "{secret}"
        );
        secret
    }
}

#[track_caller]
fn fails(output: &Output, part: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(part), "{part} is not in {said}");
}

/// Whether any file of the state folder has this in it.
fn is_kept(home: &Home, secret: &str) -> bool {
    let files = std::fs::read_dir(home.path("state")).unwrap();
    let mut contents = files.filter_map(|file| std::fs::read(file.unwrap().path()).ok());
    contents.any(|bytes| {
        bytes
            .windows(secret.len())
            .any(|it| it == secret.as_bytes())
    })
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let (_service, home, plimsoll) = started();
    let secret = home.token(&["ana", "--role", "admin", "--for", "1d"]);
    let (status, answer) = curl(&plimsoll, "GET", "/api/v1/tokens", &secret, &[]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["tokens"][0]["name"], "ana");
    assert_eq!(answer["tokens"][0]["role"], "admin");
    assert_eq!(answer["tokens"][0]["created_by"], "state-folder");
    assert!(!answer.to_string().contains("sha256"), "{answer}");
    // With it, ana makes another one; the answer has the number of its record.
    let wanted = r#"{"name":"bo","role":"viewer"}"#;
    let json = ["-H", "Content-Type: application/json", "-d", wanted];
    let (status, made) = curl(&plimsoll, "POST", "/api/v1/tokens", &secret, &json);
    assert_eq!(status, 201, "{made}");
    let record = home.wait_for_record("made", is("change", "ana made a token of bo: viewer"));
    assert_eq!(record["sequence"], made["journal"].to_string());
    assert_eq!(
        (&record["subject"], &record["data"]["by"]),
        (&"token/bo".into(), &"ana".into())
    );
    let again = curl(&plimsoll, "POST", "/api/v1/tokens", &secret, &json);
    assert_eq!(again.0, 409, "{again:?}");
    // Whoever has it may use it with the command line.
    let reloaded = home
        .command(&["reload"])
        .env("PLIMSOLL_TOKEN", &secret)
        .output()
        .unwrap();
    assert!(reloaded.status.success(), "{reloaded:?}");
    let record = home.wait_for_record("reload", |it| {
        it["data"]["by"] == "ana" && it["subject"] == "configuration"
    });
    let number = format!("#{}", record["sequence"].as_str().unwrap());
    assert!(
        String::from_utf8_lossy(&reloaded.stdout).contains(&number),
        "{reloaded:?}"
    );
    let bo = made["secret"].as_str().unwrap();
    let refused = home
        .command(&["reload"])
        .env("PLIMSOLL_TOKEN", bo)
        .output()
        .unwrap();
    fails(&refused, "this needs the role operator; bo has viewer");

    let listed = home.ask(&["token", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("ana") && listed.contains("bo"), "{listed}");
    assert!(home.ask(&["token", "revoke", "ana"]).status.success());
    home.wait_for_record(
        "revoked",
        is("change", "state-folder revoked the token of ana"),
    );
    let (status, answer) = curl(&plimsoll, "GET", "/api/v1/tokens", &secret, &[]);
    assert_eq!(status, 401);
    // Another one that never was is told the same.
    let other = format!("plim_{}", "0".repeat(64));
    assert_eq!(
        curl(&plimsoll, "GET", "/api/v1/tokens", &other, &[]),
        (401, answer)
    );
    fails(
        &home.ask(&["token", "revoke", "ana"]),
        "there is no token of `ana`",
    );
    for secret in [secret.as_str(), bo] {
        assert!(!is_kept(&home, secret), "a secret is kept");
        assert!(!plimsoll.said().contains(secret), "a secret is logged");
    }
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn what_has_expired_is_not_valid_and_its_name_is_free() {
    let (_service, home, plimsoll) = started();
    let secret = home.token(&["ana", "--role", "admin", "--for", "1s"]);
    wait_until("it has expired", || {
        curl(&plimsoll, "GET", "/api/v1/tokens", &secret, &[]).0 == 401
    });
    let listed = home.ask(&["token", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["tokens"][0]["expired"], true);
    let secret = home.token(&["ana", "--role", "admin"]);
    assert_eq!(
        curl(&plimsoll, "GET", "/api/v1/tokens", &secret, &[]).0,
        200
    );
}

#[test]
fn an_acknowledged_token_outlives_a_kill() {
    let (_service, home, mut plimsoll) = started();
    let secret = home.token(&["ana", "--role", "admin"]);
    plimsoll.process.kill().unwrap();
    plimsoll.ended();
    let plimsoll = home.run(&[]);
    wait_until("it is known again", || {
        curl(&plimsoll, "GET", "/api/v1/tokens", &secret, &[]).0 == 200
    });
    home.wait_for_record("made", is("change", "made a token of ana"));
    let (code, said) = home.verify(&[]);
    assert_eq!(code, 0, "{said}");
    // And what a successor takes over.
    let successor = home.run(&["--upgrade"]);
    assert!({ plimsoll }.ended().success());
    wait_until("the successor knows it", || {
        curl(&successor, "GET", "/api/v1/tokens", &secret, &[]).0 == 200
    });
}

#[test]
fn with_the_store_gone_known_tokens_work_and_none_is_made() {
    let (_service, home, plimsoll) = started();
    let secret = home.token(&["ana", "--role", "admin"]);
    let gone = home.token(&["bo", "--role", "admin"]);
    let aside = home.path("aside.db");
    std::fs::rename(home.database(), &aside).unwrap();
    std::fs::create_dir(home.database()).unwrap();
    fails(
        &home.ask(&["token", "create", "cy", "--role", "viewer"]),
        "no token was made, for the store fails",
    );
    let (status, answer) = curl(
        &plimsoll,
        "POST",
        "/api/v1/tokens",
        &secret,
        &[
            "-H",
            "Content-Type: application/json",
            "-d",
            r#"{"name":"cy","role":"viewer"}"#,
        ],
    );
    assert_eq!(status, 503, "{answer}");
    assert_eq!(
        curl(&plimsoll, "GET", "/api/v1/tokens", &secret, &[]).0,
        200
    );
    // Revoking makes things safer: it is done, and what is missing is said.
    let revoked = home.ask(&["token", "revoke", "bo"]);
    assert!(revoked.status.success(), "{revoked:?}");
    let said = String::from_utf8_lossy(&revoked.stderr).into_owned();
    assert!(said.contains("not recorded yet"), "{said}");
    assert_eq!(curl(&plimsoll, "GET", "/api/v1/tokens", &gone, &[]).0, 401);
    // Once the store is back, it hears of it.
    std::fs::remove_dir(home.database()).unwrap();
    std::fs::rename(&aside, home.database()).unwrap();
    home.wait_for_record("revoked", is("change", "revoked the token of bo"));
    let kept = || {
        let connection = rusqlite::Connection::open(home.database()).unwrap();
        let text = "SELECT count(*) FROM state WHERE key = 'token/bo' AND value IS NOT NULL";
        connection
            .query_row(text, [], |row| row.get::<_, u32>(0))
            .unwrap()
    };
    wait_until("the store knows it no more", || kept() == 0);
}

#[test]
fn a_page_of_another_site_makes_no_token() {
    let (_service, home, plimsoll) = started();
    let secret = home.token(&["ana", "--role", "admin"]);
    let json = [
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"name":"cy","role":"admin"}"#,
    ];
    let from = |more: [&'static str; 2]| {
        let args = [&json[..], &more[..]].concat();
        curl(&plimsoll, "POST", "/api/v1/tokens", &secret, &args).0
    };
    assert_eq!(from(["-H", "Origin: http://evil.example"]), 403);
    assert_eq!(from(["-H", "Host: evil.example"]), 421);
    assert_eq!(from(["-H", "Sec-Fetch-Site: cross-site"]), 403);
    let read = ["-H", "Host: evil.example"];
    assert_eq!(
        curl(&plimsoll, "GET", "/api/v1/journal", &secret, &read).0,
        421
    );
    let (status, answer) = curl(
        &plimsoll,
        "GET",
        "/api/v1/journal?kind=change&subject=token/ana&since=1h",
        &secret,
        &[],
    );
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["records"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(
        curl(
            &plimsoll,
            "GET",
            "/api/v1/journal?since=never",
            &secret,
            &[]
        )
        .0,
        422
    );
}
