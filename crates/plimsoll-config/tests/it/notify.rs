//! Notifiers: what the file says becomes, and what people see of their mistakes.

use std::path::PathBuf;
use std::time::Duration;

use plimsoll_config::{Notifier, NotifierKind, Secret, parse};

const HEAD: &str = "[service.app]\nowner = \"payments\"\nendpoints = \"http://10.0.0.1:9001\"\n[[route]]\nservice = \"app\"\n";

#[test]
fn notifiers_are_read_with_what_their_kinds_need() {
    let (config, _) = parse(include_str!("whole.toml"), "/etc/plimsoll/plimsoll.toml").unwrap();
    let notifier = |name: &str| &config.notifiers[name];
    let oncall = notifier("oncall");
    assert_eq!(oncall.url, Secret::Env("HOOK_URL".into()));
    assert_eq!(oncall.owners, ["payments"]);
    let key = Secret::File(PathBuf::from("/etc/plimsoll/hook.key"));
    assert_eq!(oncall.kind, NotifierKind::Webhook { key: Some(key) });
    let alerts = notifier("alerts");
    assert_eq!(alerts.kind, NotifierKind::Alertmanager);
    assert_eq!(alerts.tls.ca, Some(PathBuf::from("/etc/plimsoll/ca.pem")));
    assert!(alerts.owners.is_empty());
    let mail = NotifierKind::Smtp {
        from: "plimsoll@shop.example".into(),
        to: vec!["oncall@shop.example".into()],
        login: Some(("plimsoll".into(), Secret::Env("MAIL_PASSWORD".into()))),
    };
    assert_eq!(notifier("mail").kind, mail);
    let interval = Duration::from_secs(30);
    assert_eq!(notifier("alive").kind, NotifierKind::Heartbeat { interval });
    let pager = notifier("pager");
    assert_eq!(pager.url, Secret::Plain(Notifier::PAGERDUTY.into()));
}

#[test]
fn a_url_is_not_shown() {
    let source = format!("{HEAD}[notify.a]\nkind = \"webhook\"\nurl = \"https://a/hunter2\"\n");
    let (config, warnings) = parse(&source, "plimsoll.toml").unwrap();
    assert_eq!(warnings, []);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn no_diagnostic_shows_the_path_of_a_url_not_even_in_the_lines_around_it() {
    let shown = shown(&[
        "[notify.a]\nkind = \"slack\"\nurl = \"https://hooks.example/T00/hunter2\"",
        "[notify.a]\nkind = \"slack\"\nurl = \"https://hooks.example/T00/hunter2\"\ninterval = \"1m\"",
        "[notify.a]\nkind = \"webhook\"\nuri = \"https://hooks.example/hunter2?hunter2\"",
        "[notify.a]\nkind = \"webhook\"\nurl = \"ftp://hooks.example/hunter2\"",
        "[notify.a]\nkind = \"webhook\"\nurl = { value = \"https://hooks.example/hunter2\", env = \"A\" }",
        "[notify.a]\nkind = \"smtp\"\nurl = \"https://hooks.example/hunter2 b\"",
        "[notify.a]\nkind = \"webhook\"\nurl = \"https://hooks.example/hunter2",
        "[notify.a]\nkind = \"webhook\"\nurl = https://hooks.example/hunter2",
        "[notify.a]\nkind = slack\nurl = \"https://hooks.example/hunter2\"\nowners = [\"payment\"",
    ]);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("https://hooks.example/***"), "{shown}");
}

/// Every diagnostic of a file with each of these at its end.
fn shown(cases: &[&str]) -> String {
    let sources = cases.iter().map(|case| format!("{HEAD}{case}\n"));
    crate::golden::shown(&sources.collect::<Vec<_>>())
}

#[test]
fn mistakes_in_notifiers_are_shown_with_their_lines() {
    insta::assert_snapshot!(shown(&[
        "[notify.a]\nkind = \"webhok\"\nurl = \"https://a/\"",
        "[notify.a]\nurl = \"https://a/\"",
        "[notify.a]\nkind = \"webhook\"",
        "[notify.a]\nkind = \"alertmanager\"\nurl = \"127.0.0.1:9093\"",
        "[notify.a]\nkind = \"alertmanager\"\nurl = \"http://me:hunter2@127.0.0.1:9093\"",
        "[notify.a]\nkind = \"webhook\"\nurl = { env = \"A\", file = \"a\" }\nsecret = {}",
        "[notify.a]\nkind = \"webhook\"\nurl = \"smtp://a\"",
        "[notify.a]\nkind = \"webhook\"\nurl = \"ftp://a\"\nsecret = \"whsec_aHVudGVyMg==\"",
        "[notify.a]\nkind = \"slack\"\nurl = \"https://hooks.slack.com/services/a\"\ninterval = \"1m\"",
        "[notify.a]\nkind = \"pagerduty\"\nowners = [\"payment\", \"infra\"]",
        "[notify.a]\nkind = \"smtp\"\nurl = \"https://a\"\nuser = \"a\"\nto = [\"a\", \"a@b>, <c@d\"]",
        "[notify.a]\nkind = \"heartbeat\"\nurl = \"https://a\"\nowners = [\"payments\"]\ninterval = \"1ms\"",
    ]));
}
