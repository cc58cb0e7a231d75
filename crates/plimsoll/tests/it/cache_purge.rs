//! Goal: whoever takes something out of the cache is told what came of it, and it is so.
//!
//! Method: purges that only a part of the services can have done, or that come at a bad time.

use std::io::Read;
use std::os::unix::net::UnixStream;

use crate::cache::{FRESH, check, numbered, purge};
use crate::child::{Home, config, wait_until};

#[test]
fn a_purge_of_all_services_goes_on_past_those_it_is_not_for() {
    let service = numbered(FRESH);
    let address = service.address;
    let home = Home::new();
    let text = config(&[address], "", "cache = {}\n");
    // By name: the first that is asked is not theirs.
    home.write(&format!(
        "{}\n[service.aaa]\nowner = \"search\"\nendpoints = [\"http://{address}\"]\n\
         [[route]]\npath = \"/aaa\"\nservice = \"aaa\"\ncache = {{}}\n",
        text.replace("[service.app]\n", "[service.app]\nowner = \"payments\"\n")
    ));
    let plimsoll = home.run(&[]);
    check(&plimsoll, "", "1");
    let purged = |token: &str| {
        let args = ["cache", "purge", "--key", "a", "--why", "it is wrong"];
        let output = home.command(&args).env("PLIMSOLL_TOKEN", token).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let payments = home.token(&["pat", "--role", "operator", "--owner", "payments"]);
    let (code, said) = purged(&payments);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("from the cache of app"), "{said}");
    assert!(said.contains("aaa is left as it is"), "{said}");
    let nobody = home.token(&["ned", "--role", "operator", "--owner", "nobody"]);
    let (code, said) = purged(&nobody);
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("from the cache of"), "{said}");
}

#[test]
fn a_purge_while_another_process_takes_over_is_refused() {
    let service = numbered(FRESH);
    let home = Home::new();
    home.write(&config(&[service.address], "", "cache = {}\n"));
    let plimsoll = home.run(&[]);
    check(&plimsoll, "", "1");
    let mut successor = UnixStream::connect(home.path("state/upgrade.sock")).unwrap();
    successor.read_exact(&mut [0]).unwrap();
    let (done, said) = purge(&home, &["--service", "app"]);
    assert!(!done && said.contains("takes over"), "{said}");
    check(&plimsoll, "", "1");
    // It did not come to be: all is as before.
    drop(successor);
    wait_until("it is purged", || purge(&home, &["--service", "app"]).0);
    check(&plimsoll, "", "2");
}

#[test]
fn a_url_is_the_one_that_clients_see_before_a_trusted_proxy() {
    let service = numbered(FRESH);
    let home = Home::new();
    let trusted = "trusted = [\"127.0.0.0/8\"]\n";
    home.write(&config(&[service.address], trusted, "cache = {}\n"));
    let plimsoll = home.run(&[]);
    let said = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";
    check(&plimsoll, said, "1");
    check(&plimsoll, said, "1");
    assert!(purge(&home, &["https://other.example/"]).0);
    check(&plimsoll, said, "1");
    assert!(purge(&home, &["https://shop.example/"]).0);
    check(&plimsoll, said, "2");
}
