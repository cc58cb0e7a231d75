//! What services give up before they fail: what the file says becomes, and what people see of their mistakes.

use plimsoll_config::parse;

use crate::golden::shown;

fn app(brownout: &str) -> String {
    format!(
        "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[service.app.degrade]\nbrownout = {brownout}\n[[route]]\nservice = \"app\"\n"
    )
}

#[test]
fn features_keep_their_order() {
    let (config, warnings) = parse(&app("[\"reviews\", \"maps\"]"), "p.toml").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.services["app"].degrade.brownout, ["reviews", "maps"]);
}

#[test]
fn features() {
    let names: Vec<String> = (0..33).map(|it| format!("\"f{it}\"")).collect();
    insta::assert_snapshot!(shown(&[
        app("[\"reviews\", \"maps, all\", \"1st\"]"),
        app("[\"reviews\", \"maps\", \"reviews\"]"),
        app(&format!("[{}]", names.join(", "))),
    ]));
}
