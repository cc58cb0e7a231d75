//! Goal: the size of a body costs time, not memory.
//!
//! Method: 1 GiB each way by curl over HTTP/1.1 and HTTP/2; the peak of the process's memory, as Linux saw it.

use std::process::Command;

use crate::child::{Home, config};
use crate::script::Script;

const GIB: u64 = 1 << 30;
const PEAK_MAX: u64 = 100 << 20;

/// The most memory that the process had at once, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_gibibyte_each_way_stays_below_a_hundred_mebibytes() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            if head.starts_with("GET") {
                link.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n").as_bytes());
                let zeros = vec![0; 1 << 20];
                for _ in 0..GIB >> 20 {
                    link.send(&zeros);
                }
            } else {
                let count = link.skip(GIB).to_string();
                link.send(
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}",
                        count.len()
                    )
                    .as_bytes(),
                );
            }
        }
    });
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    let file = home.path("zeros");
    std::fs::File::create(&file).unwrap().set_len(GIB).unwrap();
    let file = file.display().to_string();
    let url = format!("http://{}/", plimsoll.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let run = |args: &[&str]| {
            let output = Command::new("curl")
                .args(["-s", "-S", version])
                .args(args)
                .arg(&url)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{version}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert_eq!(
            run(&["-H", "Expect:", "-T", &file]),
            GIB.to_string(),
            "{version} up"
        );
        assert_eq!(
            run(&["-o", "/dev/null", "-w", "%{size_download}"]),
            GIB.to_string(),
            "{version} down"
        );
    }
    let peak = peak(plimsoll.process.id());
    assert!(peak < PEAK_MAX, "the peak was {peak} bytes");
}
