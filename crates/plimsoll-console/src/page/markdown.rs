//! Markdown of people, such as a runbook, as a part of a page.
//!
//! Source: CommonMark, read by `pulldown-cmark`. HTML in it is shown as the text that it is; only `http://` and `https://` are
//! links; an image is its description. A line of a code block that begins with `plimsoll ` is a step: a command in a box, with what its page has to say of it.
//! Bounds: so much output and nesting, whatever references and quotes make of a small text.

use std::fmt::Write as _;

use maud::{Escaper, Markup, PreEscaped};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// The most bytes that are made of a text. A reference may stand for many times its length.
const BYTES_MAX: usize = 96 << 10;
/// What is nested deeper stands in the deepest that is drawn.
const DEPTH_MAX: usize = 12;
/// What a step begins with.
const STEP: &str = "plimsoll ";

/// Draws a text. `beside`: what stands in the box of a step, after its command.
pub(super) fn drawn(text: &str, beside: &dyn Fn(&str) -> Markup) -> Markup {
    let mut drawing = Drawing::with(beside);
    let mut events = Parser::new(text).peekable();
    while let Some(event) = events.next() {
        match event {
            Event::Start(tag) => drawing.open(tag),
            Event::End(end) => drawing.close(end),
            Event::Text(text) if drawing.code.is_some() => drawing.on_code(&text),
            Event::Code(code) if drawing.is_alone() && is_step(&code) => {
                // A paragraph of one piece of code is a step as well.
                match events.peek() {
                    Some(Event::End(TagEnd::Paragraph)) => drawing.step(&code),
                    _ => drawing.inline_code(&code),
                }
            }
            Event::Code(code) => drawing.inline_code(&code),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => drawing.text(&text),
            Event::SoftBreak => drawing.out.push('\n'),
            Event::HardBreak => drawing.out.push_str("<br>"),
            Event::Rule => drawing.out.push_str("<hr>"),
            // Of what is not asked for there is none.
            _ => (),
        }
        if drawing.out.len() > BYTES_MAX {
            drawing.close_all();
            drawing
                .out
                .push_str("<p class=\"q\">The rest is too long to be shown here.</p>");
            break;
        }
    }
    drawing.close_all();
    PreEscaped(drawing.out)
}

fn is_step(line: &str) -> bool {
    line.starts_with(STEP)
}

struct Drawing<'a> {
    beside: &'a dyn Fn(&str) -> Markup,
    out: String,
    /// What is open: the end of each; empty, where nothing was begun.
    open: Vec<String>,
    /// The code block that is read.
    code: Option<String>,
}

impl<'a> Drawing<'a> {
    fn with(beside: &'a dyn Fn(&str) -> Markup) -> Self {
        Self {
            beside,
            out: String::new(),
            open: Vec::new(),
            code: None,
        }
    }

    fn text(&mut self, text: &str) {
        let _infallible = Escaper::new(&mut self.out).write_str(text);
    }

    fn inline_code(&mut self, code: &str) {
        self.out.push_str("<code>");
        self.text(code);
        self.out.push_str("</code>");
    }

    /// Whether nothing stands in the paragraph yet.
    fn is_alone(&self) -> bool {
        self.out.ends_with("<p>")
    }

    fn step(&mut self, code: &str) {
        let paragraph = self.is_alone() && self.open.last().is_some_and(|end| end == "</p>");
        if paragraph {
            self.out.truncate(self.out.len() - "<p>".len());
            if let Some(end) = self.open.last_mut() {
                end.clear();
            }
        }
        self.out.push_str("<div class=\"cmd\">");
        self.inline_code(code);
        self.out.push_str(&(self.beside)(code).into_string());
        self.out.push_str("</div>");
    }

    fn begin(&mut self, name: &str) {
        if self.open.len() >= DEPTH_MAX {
            return self.open.push(String::new());
        }
        let _infallible = write!(self.out, "<{name}>");
        self.open.push(format!("</{name}>"));
    }

    fn open(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.begin("p"),
            // The page has its own first two levels.
            Tag::Heading { level, .. } if level as u8 <= 2 => self.begin("h3"),
            Tag::Heading { .. } => self.begin("h4"),
            Tag::BlockQuote(_) => self.begin("blockquote"),
            Tag::List(None) => self.begin("ul"),
            Tag::List(Some(_)) => self.begin("ol"),
            Tag::Item => self.begin("li"),
            Tag::Emphasis => self.begin("em"),
            Tag::Strong => self.begin("b"),
            Tag::CodeBlock(CodeBlockKind::Indented | CodeBlockKind::Fenced(_)) => {
                self.code = Some(String::new());
                self.open.push(String::new());
            }
            Tag::Link { dest_url, .. } => self.link(&dest_url),
            Tag::Image { .. } => {
                self.out.push('[');
                self.open.push("]".to_owned());
            }
            _ => self.open.push(String::new()),
        }
    }

    fn link(&mut self, to: &str) {
        let is_page = ["http://", "https://"].iter().any(|scheme| {
            let begin = to.get(..scheme.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        });
        if !is_page {
            return self.open.push(String::new());
        }
        self.out.push_str("<a rel=\"noopener noreferrer\" href=\"");
        self.text(to);
        self.out.push_str("\">");
        self.open.push("</a>".to_owned());
    }

    fn on_code(&mut self, text: &str) {
        if let Some(code) = &mut self.code {
            code.push_str(text);
        }
    }

    fn close(&mut self, end: TagEnd) {
        if end == TagEnd::CodeBlock
            && let Some(code) = self.code.take()
        {
            self.code_block(&code);
        }
        if let Some(end) = self.open.pop() {
            self.out.push_str(&end);
        }
    }

    /// Steps in boxes, what stands between them as it is.
    fn code_block(&mut self, code: &str) {
        let mut plain = String::new();
        let mut lines = code.lines();
        while let Some(line) = lines.next().filter(|_| self.out.len() <= BYTES_MAX) {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            if !is_step(line) {
                plain.push_str(line);
                plain.push('\n');
                continue;
            }
            self.plain(&std::mem::take(&mut plain));
            // It may go on in the next line, as in a shell.
            let mut step = line.trim_end().to_owned();
            while step.ends_with('\\') {
                step.pop();
                step.truncate(step.trim_end().len());
                let Some(next) = lines.next() else {
                    break;
                };
                step.push(' ');
                step.push_str(next.trim());
            }
            self.step(&step);
        }
        self.plain(&plain);
    }

    fn plain(&mut self, code: &str) {
        if code.trim().is_empty() {
            return;
        }
        self.out.push_str("<pre>");
        self.text(code.trim_end());
        self.out.push_str("</pre>");
    }

    fn close_all(&mut self) {
        if let Some(code) = self.code.take() {
            self.code_block(&code);
        }
        while let Some(end) = self.open.pop() {
            self.out.push_str(&end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn button(line: &str) -> Markup {
        maud::html! { form { button { (line) } } }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let drawn = drawn(text, &|_| PreEscaped(String::new())).into_string();
        assert_eq!(drawn.replace('\n', " "), expected);
    }

    #[test]
    fn what_people_write_is_drawn() {
        check(
            "# One\n\ntext *of* **weight**, `code`\n\n1. a\n2. b",
            "<h3>One</h3><p>text <em>of</em> <b>weight</b>, <code>code</code></p><ol><li>a</li><li>b</li></ol>",
        );
        check(
            "[wiki](https://wiki.example/a?b=\"c\")",
            "<p><a rel=\"noopener noreferrer\" href=\"https://wiki.example/a?b=&quot;c&quot;\">wiki</a></p>",
        );
    }

    #[test]
    fn a_line_that_begins_with_plimsoll_is_a_step() {
        check(
            "```sh\nls\n$ plimsoll degrade shop shed 1 \\\n  --for 10m\n```\n",
            "<pre>ls</pre><div class=\"cmd\"><code>plimsoll degrade shop shed 1 --for 10m</code></div>",
        );
        check(
            "    plimsoll status\n",
            "<div class=\"cmd\"><code>plimsoll status</code></div>",
        );
        check(
            "`plimsoll status`\n\nsee `plimsoll status` there",
            "<div class=\"cmd\"><code>plimsoll status</code></div><p>see <code>plimsoll status</code> there</p>",
        );
    }

    #[test]
    fn what_is_said_of_a_step_stands_in_its_box() {
        let drawn = drawn("    plimsoll <a>\n", &button).into_string();
        assert_eq!(
            drawn,
            "<div class=\"cmd\"><code>plimsoll &lt;a&gt;</code><form><button>plimsoll &lt;a&gt;</button></form></div>"
        );
    }

    #[test]
    fn html_and_script_are_text_and_only_pages_are_links() {
        check(
            "<script>alert(1)</script>\n\na <img src=x onerror=alert(1)> b",
            "<p>&lt;script&gt;alert(1)&lt;/script&gt; </p><p>a &lt;img src=x onerror=alert(1)&gt; b</p>",
        );
        check("[x](javascript:alert(1))", "<p>x</p>");
        check("<javascript:alert(1)>", "<p>javascript:alert(1)</p>");
        check("[x](/api/v1/reload)", "<p>x</p>");
        check("![a plot](https://evil.example/x.png)", "<p>[a plot]</p>");
    }

    #[test]
    fn a_small_text_can_not_become_a_large_page() {
        let reference = format!("[a]: https://e.example/{}\n\n", "x".repeat(20_000));
        let bomb = format!("{reference}{}", "[a] ".repeat(10_000));
        let quotes = ">".repeat(60_000);
        let lists = (0..200).map(|depth| format!("{}- a\n", "  ".repeat(depth)));
        let lists: String = lists.collect();
        let steps = "    plimsoll x\n".repeat(4_000);
        for text in [
            &bomb,
            &steps,
            &quotes,
            &lists,
            &"*a _".repeat(15_000),
            &"[".repeat(60_000),
        ] {
            let drawn = drawn(text, &button).into_string();
            assert!(drawn.len() < BYTES_MAX + (64 << 10), "{}", drawn.len());
            assert!(drawn.matches("<blockquote>").count() <= DEPTH_MAX);
            assert!(drawn.matches("<ul>").count() <= DEPTH_MAX);
        }
    }

    proptest! {
        /// Whatever somebody writes, no tag is left open and none is made of their text.
        #[test]
        fn tags_are_ours_and_end(text in "([ \\n>*_`#<a/:!\\-\\[\\]()\"&]|\n    plimsoll ){0,200}") {
            let drawn = drawn(&text, &button).into_string();
            let mut open: Vec<&str> = Vec::new();
            for part in drawn.split('<').skip(1) {
                let tag = part.split('>').next().unwrap_or_default();
                let name = tag.split(' ').next().unwrap_or_default();
                match name.strip_prefix('/') {
                    Some(name) => prop_assert_eq!(open.pop(), Some(name), "{}", drawn),
                    None if ["br", "hr"].contains(&name) => (),
                    None => open.push(name),
                }
            }
            prop_assert!(open.is_empty(), "{:?} in {}", open, drawn);
        }
    }
}
