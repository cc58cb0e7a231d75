//! Goal: the gateway goes by flags: routes for those who have a variant, features that a flag switches off, and flags that say
//! off to those for whom a feature is left out.
//!
//! Method: the real program with a file of flags, services that say who they are and what they were told, HTTP by hand.

use std::net::SocketAddr;

use crate::child::{Home, Plimsoll, ask, config, get, metric, wait_until};
use crate::flags::evaluate;
use crate::script::Script;

const FLAGS: &str = r#"{ "flags": {
    "search": { "variants": { "new": "n", "old": "o" }, "defaultVariant": "old",
                "targeting": { "if": [{ "==": [{ "var": "targetingKey" }, "ana"] }, "new", { "==": [{ "var": "plan" }, "gold"] }, "new"] } },
    "show-reviews": { "variants": { "on": true, "off": false }, "defaultVariant": "on" },
    "show-maps": { "variants": { "on": true, "off": false }, "defaultVariant": "on" }
} }"#;

const PAGE: &str = "<p>Nothing for now.";

/// Says `name`, and which features it was told to leave out.
fn service(name: &'static str) -> Script {
    Script::start(move |_, link| {
        while let Some(head) = link.head() {
            let mut lines = head.lines();
            let told = lines.find_map(|line| line.strip_prefix("Plimsoll-Brownout: "));
            let body = format!("{name} {}", told.unwrap_or("whole"));
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            link.send(answer.as_bytes());
        }
    })
}

struct World {
    home: Home,
    old: Script,
    /// Runs as long as this.
    _new: Script,
    plimsoll: Plimsoll,
    flags: SocketAddr,
}

fn start() -> World {
    let (home, old, new) = (Home::new(), service("old"), service("new"));
    std::fs::write(home.path("none.html"), PAGE).unwrap();
    std::fs::write(home.path("flags.json"), FLAGS).unwrap();
    let more = format!(
        "[flags]\nfile = \"flags.json\"\nlisten = \"127.0.0.1:0\"\nuser = {{ header = \"x-user\" }}\nattributes = {{ plan = \"x-plan\" }}\n\
         [service.new]\nendpoints = \"http://{}\"\n\
         [service.app.degrade]\nbrownout = [\"maps\"]\nswitches = {{ reviews = \"show-reviews\", maps = \"show-maps\" }}\n\
         [[route]]\nname = \"search\"\npath = \"/search\"\nservice = \"new\"\nflag = {{ key = \"search\", variant = \"new\" }}\n\
         [[route]]\nname = \"reviews\"\npath = \"/reviews\"\nservice = \"app\"\nfeature = \"reviews\"\n\
         fallback = {{ html = \"none.html\", status = 200 }}\n",
        new.address
    );
    home.write(&config(&[old.address], "", &more));
    let plimsoll = home.run(&[]);
    let said = plimsoll.said();
    let mut lines = said.lines();
    let flags = lines.find_map(|it| it.strip_prefix("flags on http://"));
    let flags = flags.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    World {
        home,
        old,
        _new: new,
        plimsoll,
        flags,
    }
}

impl World {
    /// What somebody gets: status and body.
    fn get(&self, path: &str, fields: &str) -> (u16, String) {
        self.ask("GET", path, fields)
    }

    fn ask(&self, method: &str, path: &str, fields: &str) -> (u16, String) {
        let (status, answer) = ask(self.plimsoll.address(), method, path, fields);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }

    /// Puts another file of flags in force.
    fn put(&self, flags: &str, is_seen: impl Fn() -> bool) {
        std::fs::write(self.home.path("flags.json"), flags).unwrap();
        wait_until("the flags are in force", is_seen);
    }

    /// What a flag is for somebody, over OFREP.
    fn flag(&self, key: &str, user: &str) -> String {
        let body = format!(r#"{{ "context": {{ "targetingKey": "{user}" }} }}"#);
        let (status, answer) = evaluate(self.flags, key, "", &body);
        assert_eq!(status, 200, "{answer}");
        let variant = answer.split_once("\"variant\":\"").unwrap().1;
        variant.split('"').next().unwrap().to_owned()
    }
}

#[test]
fn whoever_has_a_variant_takes_its_route_and_a_changed_flag_moves_them_at_once() {
    let world = start();
    let ok = |body: &str| (200, body.to_owned());
    let ana = "X-User: ana\r\n";
    assert_eq!(world.get("/search", ana), ok("new whole"));
    assert_eq!(world.get("/search", "X-User: bo\r\n"), ok("old whole"));
    assert_eq!(
        world.get("/search", "X-User: bo\r\nX-Plan: gold\r\n"),
        ok("new whole")
    );
    assert_eq!(world.get("/search", ""), ok("old whole"));
    assert_eq!(world.get("/", ana), ok("old whole"));
    // For nobody any more; a file that is wrong changes nothing.
    let nobody = FLAGS.replace("\"ana\"", "\"nobody\"");
    world.put(&nobody, || world.get("/search", ana) == ok("old whole"));
    std::fs::write(world.home.path("flags.json"), "{").unwrap();
    wait_until("it is refused", || {
        let said = world.home.ask(&["status"]);
        String::from_utf8_lossy(&said.stdout).contains("are not valid")
    });
    assert_eq!(world.get("/search", "X-Plan: gold\r\n"), ok("new whole"));
}

#[test]
fn a_flag_that_is_off_is_a_kill_switch_for_its_feature() {
    let world = start();
    assert_eq!(world.get("/reviews", "").1, "old whole");
    let off = FLAGS.replace(
        r#""show-reviews": { "variants": { "on": true, "off": false }, "defaultVariant": "on""#,
        r#""show-reviews": { "variants": { "on": true, "off": false }, "defaultVariant": "off""#,
    );
    world.put(&off, || world.get("/reviews", "").1 == PAGE);
    let asked = world.old.heads().len();
    let (status, answer) = ask(world.plimsoll.address(), "GET", "/reviews", "");
    assert_eq!(status, 200, "{answer}");
    let decision = "\r\nPlimsoll-Decision: dimmed; reason=flag; id=\"";
    assert!(answer.contains(decision), "{answer}");
    // Off is off: what the fallback is not for does not go to the service either.
    let (status, answer) = ask(
        world.plimsoll.address(),
        "POST",
        "/reviews",
        "Content-Length: 0\r\n",
    );
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("reason=flag"), "{answer}");
    assert_eq!(world.old.heads().len(), asked, "the service is spared");
    // The service itself is told on all routes.
    assert_eq!(world.get("/", "").1, "old reviews");
    let disabled = FLAGS.replace(
        "\"show-reviews\": {",
        "\"show-reviews\": { \"state\": \"DISABLED\",",
    );
    world.put(&disabled, || world.flags_text().contains("DISABLED"));
    assert_eq!(world.get("/reviews", "").1, PAGE, "disabled is off");
    world.put(FLAGS, || world.get("/reviews", "").1 == "old whole");
}

impl World {
    fn flags_text(&self) -> String {
        let body = r#"{ "context": {} }"#;
        evaluate(self.flags, "", "", body).1
    }
}

#[test]
fn whoever_has_a_feature_left_out_has_its_flag_off() {
    let world = start();
    assert_eq!(world.flag("show-maps", "ana"), "on");
    let said = world.home.ask(&[
        "degrade", "app", "brownout", "1", "--for", "1h", "--why", "slow",
    ]);
    assert!(said.status.success(), "{said:?}");
    wait_until("the flag is off", || {
        world.flag("show-maps", "ana") == "off"
    });
    assert_eq!(world.get("/", "X-User: ana\r\n").1, "old maps");
    assert_eq!(world.flag("show-reviews", "ana"), "on", "only that one");
    let said = world.home.ask(&["flag", "list"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("off for 100 % of users"), "{said}");
    let counted = get(world.plimsoll.ops(), "/metrics").1;
    let labels = ["flag=\"show-maps\"", "reason=\"SPLIT\""];
    assert!(metric(&counted, "plimsoll_flag_evaluations_total", &labels) >= 1.0);
    let said = world.home.ask(&["degrade", "app", "end", "brownout"]);
    assert!(said.status.success(), "{said:?}");
    wait_until("the flag is as before", || {
        world.flag("show-maps", "ana") == "on"
    });
}
