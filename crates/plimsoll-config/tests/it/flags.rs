//! Flags: what the file says becomes, and what people see of their mistakes.

use std::path::PathBuf;

use plimsoll_config::{FlagSource, Secret, check_files, parse};
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
fn mistakes_in_flags_are_shown_with_their_lines() {
    let cases = [
        "[flags]\nfile = \"flags.json\"\nmanaged = true",
        "[flags]\nlisten = \"127.0.0.1:8016\"",
        "[flags]\nmanaged = true\nlisten = \"127.0.0.1:7676\"",
        "[flags]\nmanaged = true\ntokens = [{ env = \"A\", file = \"a\" }, {}]",
        "[flags]\nmanaged = true\norigins = [\"shop.example\", \"https://Shop.example/\"]",
        "[flags]\nmanaged = true\nfractional = \"v3\"",
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
