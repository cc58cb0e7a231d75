//! Flags: what the file says becomes, and what people see of their mistakes.

use std::path::PathBuf;

use plimsoll_config::{FlagSource, Secret, SplitBy, check_files, parse};
use plimsoll_policy::flag::FractionalVersion;

const HEAD: &str =
    "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[[route]]\nservice = \"app\"\n";

#[test]
fn flags_are_off_unless_asked_for_and_come_from_one_place() {
    let read = |flags: &str| {
        let source = format!("{HEAD}{flags}\n");
        let (config, warnings) = parse(&source, "/etc/plimsoll/plimsoll.toml").unwrap();
        assert_eq!(warnings, [], "{flags}");
        config.flags
    };
    let none = read("");
    assert_eq!((none.source, none.listen), (FlagSource::None, None));
    let file = PathBuf::from("/etc/plimsoll/flags.json");
    let short = read("[flags]\nfile = \"flags.json\"");
    assert_eq!(short.source, FlagSource::File(file));
    assert_eq!(short.fractional, FractionalVersion::V2);
    let managed = read(
        "[flags]\nmanaged = true\nlisten = \"127.0.0.1:8016\"\ntokens = [{ env = \"A\" }]\norigins = \"https://shop.example\"\nfractional = \"v1\"",
    );
    assert_eq!(managed.source, FlagSource::Managed);
    assert_eq!(managed.listen, Some("127.0.0.1:8016".parse().unwrap()));
    assert_eq!(managed.tokens, [Secret::Env("A".into())]);
    assert_eq!(managed.origins, ["https://shop.example"]);
    assert_eq!(managed.fractional, FractionalVersion::V1);
}

#[test]
fn routes_and_features_go_by_flags() {
    let source = format!(
        "{HEAD}[flags]\nmanaged = true\nuser = {{ cookie = \"sid\" }}\nattributes = {{ plan = \"X-Plan\" }}\n\
         [service.app.degrade]\nbrownout = [\"maps\"]\nswitches = {{ ads = \"show-ads\", maps = \"show-maps\" }}\n\
         [[route]]\nname = \"new\"\nservice = \"app\"\nflag = {{ key = \"search\", variant = \"new\" }}\n\
         [[route]]\nname = \"newer\"\nservice = \"app\"\nflag = {{ key = \"search\", variant = \"newer\" }}\n"
    );
    let (config, warnings) = parse(&source, "/etc/plimsoll/plimsoll.toml").unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.flags.user, Some(SplitBy::Cookie("sid".to_owned())));
    assert_eq!(config.flags.attributes["plan"], "x-plan");
    let features: Vec<_> = config.services["app"].degrade.features().collect();
    assert_eq!(features, ["maps", "ads"], "first what may be left out");
    let flag = config.routes[2].flag.as_ref().unwrap();
    assert_eq!((&*flag.key, &*flag.variant), ("search", "newer"));
}

#[test]
fn mistakes_in_flags_are_shown_with_their_lines() {
    let cases = [
        "[flags]\nfile = \"flags.json\"\nmanaged = true",
        "[flags]\nlisten = \"127.0.0.1:8016\"",
        "[flags]\nmanaged = true\nlisten = \"127.0.0.1:7676\"",
        "[flags]\nmanaged = true\ntokens = [{ env = \"A\", file = \"a\" }, {}]",
        "[flags]\nmanaged = true\norigins = [\"shop.example\", \"https://Shop.example/\"]",
        "[flags]\nmanaged = true\nfractional = \"v3\"",
        "[flags]\nmanaged = true\nuser = {}",
        "[flags]\nmanaged = true\nuser = { header = \"x-user\", cookie = \"sid\" }\nattributes = { plan = \"x plan\" }",
        "[[route]]\npath = \"/a\"\nservice = \"app\"\nflag = { key = \"new\", variant = \"on\" }",
        "[flags]\nmanaged = true\n[[route]]\nname = \"b\"\nservice = \"app\"\nflag = { key = \"new\", variant = \"on\" }\n\
         [[route]]\nname = \"c\"\nservice = \"app\"\nflag = { key = \"newer\", variant = \"on\" }",
        "[service.app.degrade]\nswitches = { maps = \"show-maps\", 9lives = \"cats\" }",
        "[flags]\nmanaged = true\n[service.app.degrade]\nswitches = { maps = \"show-maps\" }\n\
         [[route]]\npath = \"/maps\"\nservice = \"app\"\nfeature = \"map\"\nfallback = { html = \"a.html\", status = 200 }",
    ];
    let sources = cases.map(|case| format!("{HEAD}{case}\n"));
    insta::assert_snapshot!(crate::golden::shown(&sources));
}

#[test]
fn a_file_of_flags_that_cannot_be_is_a_warning_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("plimsoll.toml").display().to_string();
    let source = format!("{HEAD}[flags]\nfile = \"flags.json\"\n");
    let said = || {
        let found = check_files(&source, &name);
        plimsoll_config::render(&found, &source, "plimsoll.toml", false)
    };
    assert!(said().starts_with("warning[file-missing]: "), "{}", said());
    let flags = folder.path().join("flags.json");
    std::fs::write(&flags, "{ \"flags\": {\n\"f\": { \"state\": \"on\" } } }").unwrap();
    assert!(
        said().contains("line 2: flags.f.state: `state` is"),
        "{}",
        said()
    );
    std::fs::write(&flags, "{ \"flags\": {} }").unwrap();
    assert_eq!(said(), "");
}
