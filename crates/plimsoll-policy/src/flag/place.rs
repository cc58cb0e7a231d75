//! Where something is in a file: the way there through the JSON, and its line.

use std::fmt;

/// The way to a value from the top of a file, as `flags.new-cart.targeting.if[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    /// The value under a key of this one.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The item of this one.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The line it is on, from 1; `text` is JSON. Where the place is not there, that of what is around it.
    pub(super) fn line(&self, text: &str) -> usize {
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
        };
        for step in &self.0 {
            if !reader.enter(step) {
                break;
            }
        }
        reader.skip_space();
        let before = reader.text.get(..reader.at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Goes through a text that was parsed before: it only finds its way.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Goes to a part of the value that it stands before; stays where that has no such part.
    fn enter(&mut self, step: &Step) -> bool {
        self.skip_space();
        let (begun, opens) = (self.at, self.peek());
        let wanted = matches!(
            (step, opens),
            (Step::Key(_), Some(b'{')) | (Step::Index(_), Some(b'['))
        );
        self.at += 1;
        let (mut index, mut found) = (0, None);
        loop {
            self.skip_space();
            if !wanted || matches!(self.peek(), None | Some(b'}' | b']')) {
                break;
            }
            let is_it = match step {
                Step::Key(key) => {
                    let from = self.at;
                    self.skip_value();
                    let name = self.text.get(from..self.at).unwrap_or_default();
                    let name = serde_json::from_slice::<String>(name);
                    self.skip_space();
                    self.at += 1;
                    name.is_ok_and(|name| name == *key)
                }
                Step::Index(wanted) => *wanted == index,
            };
            self.skip_space();
            if is_it {
                // Of a key that is there twice the last counts.
                found = Some(self.at);
                if matches!(step, Step::Index(_)) {
                    break;
                }
            }
            self.skip_value();
            self.skip_space();
            if self.peek() == Some(b',') {
                self.at += 1;
            }
            index += 1;
        }
        self.at = found.unwrap_or(begun);
        found.is_some()
    }

    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.skip_space();
            match self.peek() {
                None => return,
                Some(b'"') => self.skip_text(),
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                Some(b',' | b':') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {
                    while self.peek().is_some_and(|byte| {
                        !byte.is_ascii_whitespace() && !matches!(byte, b',' | b'}' | b']' | b':')
                    }) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_text(&mut self) {
        self.at += 1;
        loop {
            match self.peek() {
                None => return,
                Some(b'\\') => self.at += 2,
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                Some(_) => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "flags": {
    "a": { "state": "ENABLED" },
    "b\"": {
      "targeting": {
        "if": [
          { "==": [1, "}]"] },
          "on",
          { "var": "x" }
        ]
      }
    }
  }
}"#;

    #[track_caller]
    fn check(place: &Place, name: &str, line: usize) {
        assert_eq!((place.to_string().as_str(), place.line(TEXT)), (name, line));
    }

    #[test]
    fn a_place_has_a_name_and_a_line() {
        let top = Place::default();
        check(&top, "", 1);
        let flags = top.key("flags");
        check(&flags, "flags", 2);
        check(&flags.key("a").key("state"), "flags.a.state", 3);
        let branches = flags.key("b\"").key("targeting").key("if");
        check(&branches.index(1), "flags.b\".targeting.if[1]", 8);
        check(
            &branches.index(2).key("var"),
            "flags.b\".targeting.if[2].var",
            9,
        );
        // What is not there is said to be where it would be.
        check(&flags.key("a").key("variants"), "flags.a.variants", 3);
    }
}
