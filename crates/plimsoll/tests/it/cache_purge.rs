//! Goal: whoever takes something out of the cache is told what came of it, and it is so.
//!
//! Method: purges that only a part of the services can have done, or that come at a bad time.

use std::io::Read;
use std::os::unix::net::UnixStream;

use crate::cache::{FRESH, check, numbered, purge};
use crate::child::{Home, config, wait_until};

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
