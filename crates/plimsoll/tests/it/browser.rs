//! Chromium without a screen, told what to do by the Chrome DevTools Protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::child::{Home, TIME_MAX};

/// A browser; it ends with its scope.
pub(crate) struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    calls: u64,
    /// What its console said.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    pub(crate) async fn start(home: &Home) -> Self {
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

    /// How wide the screen is, and which scheme its user likes.
    pub(crate) async fn show(&mut self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// Goes to an address, and waits until the page is loaded.
    pub(crate) async fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        while self.next().await["method"] != "Page.loadEventFired" {}
    }

    /// Presses a key: a letter, `Tab`, `Enter` or the space bar.
    pub(crate) async fn press(&mut self, key: &str) {
        let (text, code) = match key {
            "Tab" => ("", 9),
            "Enter" => ("\r", 13),
            key => (key, key.bytes().next().map_or(0, u32::from)),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event =
                json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types where the focus is.
    pub(crate) async fn enter(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Goes from one thing to the next until the focus is on the one with these words on it.
    pub(crate) async fn tab_to(&mut self, words: &str) {
        const FOCUSED: &str = "(document.activeElement?.innerText || '').trim()";
        for _ in 0..60 {
            if self.ask(FOCUSED).await == words {
                return;
            }
            self.press("Tab").await;
        }
        let page = self.ask("document.body.innerText").await;
        panic!("nothing to go to says `{words}`: {page}");
    }

    /// Waits until a script says yes; also while the page is another one now.
    pub(crate) async fn until(&mut self, what: &str, script: &str) {
        let waited = tokio::time::timeout(TIME_MAX, async {
            // The page that was asked may be gone before it answers: the next one is.
            while !matches!(self.evaluate(script).await, Ok(said) if said == true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        if waited.await.is_err() {
            let page = self
                .ask("location.href + ' ' + document.body.innerText")
                .await;
            panic!("in vain until {what}: {page}");
        }
    }

    /// What a script says on the page.
    pub(crate) async fn ask(&mut self, script: &str) -> Value {
        let said = self.evaluate(script).await;
        said.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What a script says; an error where there is no page to say it any more.
    async fn evaluate(&mut self, script: &str) -> Result<Value, Value> {
        let asked = json!({ "expression": script, "returnByValue": true });
        let mut answer = self.send("Runtime.evaluate", asked).await?;
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        Ok(answer["result"]["value"].take())
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let said = self.send(method, params).await;
        said.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn send(&mut self, method: &str, params: Value) -> Result<Value, Value> {
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
                let error = message["error"].take();
                return match error.is_null() {
                    true => Ok(message["result"].take()),
                    false => Err(error),
                };
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
