use super::*;

fn plan(rollout: &str) -> Box<RolloutPlan> {
    let text = format!(
        "[service.app]\nendpoints = \"http://10.0.0.1:1\"\nversion.v2 = \"http://10.0.0.2:1\"\n\
         [[route]]\nservice = \"app\"\n[rollout.next]\nservice = \"app\"\nversion = \"v2\"\n{rollout}\n"
    );
    let (config, _) = plimsoll_config::parse(&text, "p.toml").unwrap();
    let endpoint = |host: &str| plimsoll_upstream::EndpointConfig::new(host, 1);
    let clusters = plimsoll_upstream::Clusters::new()
        .update(vec![plimsoll_upstream::ClusterConfig {
            name: "app".to_owned(),
            endpoints: vec![endpoint("10.0.0.1")],
            versions: vec![("v2".to_owned(), vec![endpoint("10.0.0.2")])],
            balance: plimsoll_upstream::Balance::default(),
            parameters: plimsoll_policy::EndpointParameters::default(),
            health: None,
        }])
        .unwrap();
    let cluster = clusters.cluster("app").unwrap();
    let rollouts = Rollouts::default();
    RolloutPlan::new(&config, "app", cluster, &rollouts, 1, None).unwrap()
}

/// How many of 2,000 requests with these fields, each from another client, go to the version.
fn moved(plan: &RolloutPlan, fields: &[(&str, &str)]) -> usize {
    (0..2_000_u32)
        .filter(|client| arm(plan, *client, fields) == Arm::Canary)
        .count()
}

fn arm(plan: &RolloutPlan, client: u32, fields: &[(&str, &str)]) -> Arm {
    let mut all = Fields::default();
    for (name, value) in fields {
        all.push(name.as_bytes(), value.as_bytes());
    }
    let asked = Asking {
        fields: &all,
        tenant_header: Some("x-key"),
        client: IpAddr::from(client.to_be_bytes()),
        random: hash_key(&client.to_le_bytes()),
    };
    plan.variant(&asked).arm
}

#[test]
fn nothing_is_moved_before_a_weight_is_set_but_what_chooses_the_version() {
    let plan = plan("header = { name = \"x-canary\", value = \"1\" }");
    assert_eq!(moved(&plan, &[]), 0);
    assert_eq!(moved(&plan, &[("x-canary", "0")]), 0);
    assert_eq!(moved(&plan, &[("x-canary", "1")]), 2_000);
    let mut fields = Fields::default();
    fields.push(b"X-Canary", b"1");
    let asked = Asking {
        fields: &fields,
        tenant_header: None,
        client: [10, 0, 0, 9].into(),
        random: 0,
    };
    assert!(!plan.variant(&asked).judged, "it is no evidence");
    plan.shared.set_weight(Weight::of_parts(20_000));
    assert_eq!(plan.shared.weight(), Weight::ALL);
    assert_eq!(moved(&plan, &[]), 2_000);
    assert!(plan.has_all());
}

#[test]
fn who_stays_together_is_what_the_rollout_says() {
    let all_or_none = |by: &str, fields: &[(&str, &str)]| {
        let plan = plan(&format!("by = {by}"));
        plan.shared.set_weight(Weight::of_parts(3_000));
        let moved = moved(&plan, fields);
        if matches!(moved, 0 | 2_000) {
            return true;
        }
        assert!((450..750).contains(&moved), "{by}: {moved}");
        false
    };
    let fields = [
        ("x-user", "ana"),
        ("cookie", "a=1; sid=ana"),
        ("x-key", "k"),
    ];
    assert!(!all_or_none("\"client\"", &fields));
    assert!(!all_or_none("\"request\"", &fields));
    assert!(all_or_none("\"tenant\"", &fields));
    assert!(all_or_none("{ header = \"X-User\" }", &fields));
    assert!(all_or_none("{ cookie = \"sid\" }", &fields));
    // Without it, it is the client's address.
    for by in [
        "\"tenant\"",
        "{ header = \"x-user\" }",
        "{ cookie = \"sid\" }",
    ] {
        assert!(!all_or_none(
            by,
            &[("x-user", ""), ("cookie", "ssid=1"), ("x-key", "")]
        ));
    }
}

#[test]
fn a_client_is_moved_or_not_whatever_its_requests_are() {
    let plan = plan("");
    plan.shared.set_weight(Weight::of_parts(5_000));
    let ipv4 = client_key([192, 0, 2, 1].into());
    assert_eq!(ipv4, client_key("::ffff:192.0.2.1".parse().unwrap()));
    let network = client_key("2001:db8::1".parse().unwrap());
    assert_eq!(network, client_key("2001:db8::2:3:4:5".parse().unwrap()));
    for client in 0..100 {
        assert_eq!(
            arm(&plan, client, &[]),
            arm(&plan, client, &[("cookie", "a=1")])
        );
    }
}

#[test]
fn a_reload_keeps_weight_and_counters_and_another_version_begins_anew() {
    let text = |version: &str| {
        let text = format!(
            "[service.app]\nendpoints = \"http://10.0.0.1:1\"\nversion.v2 = \"http://10.0.0.2:1\"\nversion.v3 = \"http://10.0.0.3:1\"\n\
             [[route]]\nservice = \"app\"\n[rollout.next]\nservice = \"app\"\nversion = \"{version}\"\n"
        );
        let (config, _) = plimsoll_config::parse(&text, "p.toml").unwrap();
        config.rollouts["next"].clone()
    };
    let rollouts = Rollouts::default();
    let shared = rollouts.of(1, "next", &text("v2"));
    shared.set_weight(Weight::of_parts(500));
    assert_eq!(rollouts.of(1, "next", &text("v2")).weight().parts(), 500);
    let other = rollouts.of(1, "next", &text("v3"));
    assert_eq!(other.weight(), Weight::NONE, "nobody has started that");
    drop((shared, other));
    assert_eq!(
        rollouts.of(1, "next", &text("v2")).weight(),
        Weight::NONE,
        "it was gone"
    );
}
