//! Goal: the page of a simulation can be read in a browser, wide and narrow, in both schemes.
//!
//! Method: Chromium without a screen, told what to do by the Chrome DevTools Protocol. It is asked where things
//! ended up, not what they look like.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::child::{Home, TIME_MAX, program};

/// What is wrong with the place of something, as a list of sentences; and how many plots there are.
const LOOK: &str = r#"(() => {
    const wrong = [];
    const plots = [...document.querySelectorAll("svg.plot")];
    if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page scrolls sideways");
    for (const plot of plots) {
        const name = plot.getAttribute("aria-label");
        const box = plot.getBoundingClientRect();
        if (box.width < 100 || box.height < 20) wrong.push("no room for: " + name);
        if (!name) wrong.push("a plot without a name");
        const texts = [...plot.querySelectorAll("text.lab-r")].map(it => it.getBoundingClientRect());
        for (const a of texts) for (const b of texts)
            if (a !== b && a.width && b.width && a.top < b.bottom - 3 && b.top < a.bottom - 3) wrong.push("labels overlap in: " + name);
        for (const text of plot.querySelectorAll(":scope > text")) {
            const at = text.getBoundingClientRect();
            if (at.width && (at.left < 0 || at.right > innerWidth)) wrong.push("cut off: " + text.textContent);
        }
    }
    return JSON.stringify({ wrong, plots: plots.length });
})()"#;

#[tokio::test]
async fn a_report_fits_screens_of_all_widths() {
    let home = Home::new();
    let (file, scenario) = (
        home.path("report.html").display().to_string(),
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../scenarios/slow-dependency.toml"
        ),
    );
    let written = program()
        .args(["simulate", scenario, "--seeds", "2", "--html", &file])
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let mut browser = Browser::start(&home).await;
    for (width, scheme) in [(390, "light"), (760, "dark"), (1_440, "dark")] {
        let seen = tokio::time::timeout(TIME_MAX, browser.look(&file, width, scheme));
        let seen = seen.await.unwrap();
        assert_eq!(seen["wrong"], json!([]), "{width} {scheme}");
        assert!(seen["plots"].as_u64().unwrap() >= 8, "{seen}");
    }
    assert_eq!(browser.complaints, [] as [String; 0]);
}

struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    calls: u64,
    complaints: Vec<String>,
}

impl Browser {
    async fn start(home: &Home) -> Self {
        let mut child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
            ])
            .arg(format!(
                "--user-data-dir={}",
                home.path("browser").display()
            ))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.strip_prefix("DevTools listening on ")?.to_owned())
        });
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let (socket, _) = tokio_tungstenite::connect_async(url.unwrap())
            .await
            .unwrap();
        let mut browser = Self {
            child,
            socket,
            session: String::new(),
            calls: 0,
            complaints: Vec::new(),
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Log.enable", "Runtime.enable"] {
            browser.call(domain, json!({})).await;
        }
        browser
    }

    async fn look(&mut self, file: &str, width: u32, scheme: &str) -> Value {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
        self.call("Page.navigate", json!({ "url": format!("file://{file}") }))
            .await;
        while self.next().await["method"] != "Page.loadEventFired" {}
        let asked = json!({ "expression": LOOK, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked).await;
        let text = answer["result"]["value"].as_str();
        serde_json::from_str(text.unwrap_or_else(|| panic!("{answer}"))).unwrap()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            call["sessionId"] = json!(self.session);
        }
        self.socket
            .send(Message::text(call.to_string()))
            .await
            .unwrap();
        loop {
            let mut message = self.next().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                let method = message["method"].as_str().unwrap_or_default();
                if [
                    "Log.entryAdded",
                    "Runtime.consoleAPICalled",
                    "Runtime.exceptionThrown",
                ]
                .contains(&method)
                {
                    self.complaints.push(text.to_string());
                }
                return message;
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _it_is_gone = self.child.kill();
        let _it_is_gone = self.child.wait();
    }
}
