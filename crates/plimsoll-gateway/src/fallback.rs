//! What a route answers where its service can't: which failures it is for, who may get it, and which page.
//!
//! Invariants: nothing is said to have been done that was not (a method that may change something gets no page that says
//! that all went well, and goes to no other service); what a client did wrong, or asked too much, is answered as that.
//! Elsewhere: what is stored and may stand in first (`exchange/cached.rs`); giving it (`exchange/fallback.rs`).

use std::borrow::Cow;

use bytes::Bytes;
use plimsoll_config::{FallbackPage, PageKind, Placeholder, Rewrite, Template};
use plimsoll_core::ServiceId;
use plimsoll_http1::{Fields, Framing, Name, RequestHead};
use plimsoll_measure::Cause;

use crate::protocol::upgrade;
use crate::refusal::{Answer, Page};

/// What a client is told to wait where what went wrong says nothing of that: about what a connection that is refused, or
/// an endpoint that is out, takes to come back at the earliest.
const RETRY_AFTER_SECONDS: u64 = 5;

/// What a route answers where its service can't.
#[derive(Debug)]
pub(crate) enum FallbackPlan {
    /// A page.
    Pages(PagesPlan),
    /// The answer of this service.
    Service(ServiceId),
}

/// A choice of pages.
#[derive(Debug)]
pub(crate) struct PagesPlan {
    pages: Vec<PagePlan>,
    status: Option<u16>,
}

#[derive(Debug)]
struct PagePlan {
    kind: PageKind,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// The same for everybody.
    Fixed(Bytes),
    Template(Template),
}

/// What may be filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) service: &'a str,
}

/// Whether something may stand in for an answer with this cause: the service failed, or was not asked because it can't
/// take the request, or is spared what is optional. What its client did wrong, or asked too much, has nothing to do with the service.
pub(crate) fn stands_in_for(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::UpstreamStatus
            | Cause::Timeout
            | Cause::Connect
            | Cause::Reset
            | Cause::BadResponse
            | Cause::NoEndpoint
            | Cause::Shed
            | Cause::QueueTimeout
            | Cause::Deadline
            | Cause::Throttled
            | Cause::Bulkhead
            | Cause::Overloaded
            | Cause::Dimmed
    )
}

/// Whether it is asked for something, and nothing else.
pub(crate) fn is_read(head: &RequestHead) -> bool {
    matches!(head.method(), b"GET" | b"HEAD")
}

/// Whether another service may be sent the request.
fn may_go_elsewhere(head: &RequestHead) -> bool {
    is_read(head) && head.framing() == Framing::None && upgrade(head).is_none()
}

impl FallbackPlan {
    /// Whether this request may get it.
    pub(crate) fn is_for(&self, head: &RequestHead) -> bool {
        match self {
            Self::Pages(pages) => pages.is_for(head),
            Self::Service(_) => may_go_elsewhere(head),
        }
    }
}

impl PagesPlan {
    pub(crate) fn new(pages: &[FallbackPage], status: Option<u16>) -> Self {
        let plan = |page: &FallbackPage| PagePlan {
            kind: page.template.kind(),
            body: if page.template.is_fixed() {
                Body::Fixed(page.template.fill(|_| Cow::Borrowed("")).into())
            } else {
                Body::Template(page.template.clone())
            },
        };
        Self {
            pages: pages.iter().map(plan).collect(),
            status,
        }
    }

    /// The status that is answered.
    pub(crate) fn status(&self) -> u16 {
        self.status.unwrap_or(503)
    }

    fn is_for(&self, head: &RequestHead) -> bool {
        self.status() >= 500 || is_read(head)
    }

    /// The answer in place of `refusal`.
    pub(crate) fn answer(
        &self,
        head: &RequestHead,
        refusal: &Answer,
        values: Values<'_>,
        rewrite: Option<&Rewrite>,
    ) -> Option<Answer> {
        let page = self.choose(&head.fields)?;
        let retry_after = refusal.retry_after.unwrap_or(RETRY_AFTER_SECONDS);
        let body = match &page.body {
            Body::Fixed(body) => body.clone(),
            Body::Template(template) => template
                .fill(|placeholder| match placeholder {
                    Placeholder::RequestId => values.request_id.into(),
                    Placeholder::Service => values.service.into(),
                    Placeholder::Reason => refusal.reason.into(),
                    Placeholder::RetryAfter => retry_after.to_string().into(),
                })
                .into(),
        };
        let status = self.status();
        let mut answer = Answer::refuse(status, refusal.cause, refusal.reason, "");
        answer.retry_after = (status == 503).then_some(retry_after);
        answer.page = Some(Box::new(Page {
            content_type: page.kind.content_type(),
            body,
        }));
        let added = rewrite.map(|rewrite| rewrite.response_set.iter().chain(&rewrite.response_add));
        for (name, value) in added.into_iter().flatten() {
            answer.fields.push((name.clone().into(), value.clone()));
        }
        let says = |(name, _): &(Cow<'_, str>, String)| name.eq_ignore_ascii_case("cache-control");
        if !answer.fields.iter().any(says) {
            answer = answer.with("cache-control", "no-store".to_owned());
        }
        Some(answer)
    }

    /// The page that the client likes best; the first where it likes several alike, or none.
    fn choose(&self, fields: &Fields) -> Option<&PagePlan> {
        let mut best = self.pages.first()?;
        let likes = |page: &PagePlan| quality(fields, page.kind.media_type());
        let mut quality = likes(best);
        for page in self.pages.iter().skip(1) {
            let own = likes(page);
            if own > quality {
                (best, quality) = (page, own);
            }
        }
        Some(best)
    }
}

/// How much a client likes a media type, in thousandths (RFC 9110 section 12.5.1): what its most precise range says.
fn quality(fields: &Fields, media_type: &str) -> u16 {
    let mut found: Option<(u8, u16)> = None;
    let mut any = false;
    for range in fields
        .get_all(Name::Accept)
        .flat_map(|value| value.split(|&byte| byte == b','))
    {
        any = true;
        let Ok(range) = std::str::from_utf8(range) else {
            continue;
        };
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let precision = match named {
            "*/*" => 0,
            _ if named.eq_ignore_ascii_case(media_type) => 2,
            _ => match named.strip_suffix("/*") {
                Some(kind)
                    if (media_type.split('/').next())
                        .is_some_and(|own| own.eq_ignore_ascii_case(kind)) =>
                {
                    1
                }
                _ => continue,
            },
        };
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("q")
                .then_some(value.trim())
        });
        let weight = weight.map_or(1_000, thousandths);
        if found.is_none_or(|(known, quality)| (known, quality) < (precision, weight)) {
            found = Some((precision, weight));
        }
    }
    match found {
        Some((_, quality)) => quality,
        None if any => 0,
        // Who says nothing takes anything.
        None => 1_000,
    }
}

/// A weight; what is none counts as the least.
fn thousandths(weight: &str) -> u16 {
    match weight.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use plimsoll_http1::{HeadLimits, parse_request};

    use super::*;

    fn request(method: &str, fields: &str) -> RequestHead {
        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = RequestHead::new();
        let parsed = parse_request(
            &mut BytesMut::from(text.as_str()),
            &HeadLimits::default(),
            &mut head,
        );
        assert!(parsed.unwrap());
        head
    }

    fn page(kind: PageKind, text: &str) -> FallbackPage {
        FallbackPage {
            path: "page".into(),
            template: Template::parse(kind, text).unwrap(),
        }
    }

    fn pages(status: Option<u16>) -> PagesPlan {
        let json = page(PageKind::Json, r#"{"id": "{{request_id}}"}"#);
        PagesPlan::new(&[json, page(PageKind::Html, "<p>sorry")], status)
    }

    const VALUES: Values<'_> = Values {
        request_id: "a\"b",
        service: "shop",
    };

    #[track_caller]
    fn check_choice(accept: &str, expected: &str) {
        let head = request("GET", accept);
        let refusal = Answer::of_cause(Cause::Connect);
        let answer = pages(None).answer(&head, &refusal, VALUES, None).unwrap();
        assert_eq!(answer.content_type(), expected, "{accept}");
    }

    #[test]
    fn the_client_chooses_and_the_first_is_for_who_does_not() {
        let (json, html) = ("application/json", "text/html; charset=utf-8");
        check_choice("", json);
        check_choice("Accept: */*\r\n", json);
        check_choice("Accept: image/png\r\n", json);
        check_choice("Accept: text/html\r\n", html);
        check_choice("Accept: TEXT/*;q=0.5\r\n", html);
        check_choice(
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n",
            html,
        );
        check_choice("Accept: application/json;q=0.8, text/html;q=0.9\r\n", html);
        check_choice(
            "Accept: text/html;q=0.8\r\nAccept: application/json\r\n",
            json,
        );
        check_choice("Accept: application/json;q=0, */*\r\n", html);
        check_choice("Accept: text/html;q=nan, application/json;q=0.1\r\n", json);
        check_choice(
            "Accept: text/html;level=1;q=1, application/json;q=0.9\r\n",
            html,
        );
        check_choice("Accept: ,;=,text/html;q\r\n", html);
    }

    #[test]
    fn a_page_is_not_stored_and_says_when_to_ask_again() {
        let head = request("GET", "");
        let mut refusal = Answer::of_cause(Cause::Shed);
        refusal.retry_after = Some(7);
        let answer = pages(None).answer(&head, &refusal, VALUES, None).unwrap();
        assert_eq!((answer.status, answer.cause), (503, Cause::Shed));
        assert_eq!(answer.retry_after, Some(7));
        assert_eq!(answer.fields, [("cache-control".into(), "no-store".into())]);
        assert_eq!(answer.body("id"), r#"{"id": "a\"b"}"#);
        assert_eq!(
            answer.decision("id"),
            "fallback; reason=shed; retry=7; id=\"id\""
        );
        let good = pages(Some(200)).answer(&head, &refusal, VALUES, None);
        assert_eq!(good.unwrap().retry_after, None);
    }

    #[test]
    fn a_route_s_own_fields_are_added() {
        let mut rewrite = Rewrite::default();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        rewrite.response_set = vec![field("cache-control", "max-age=5")];
        rewrite.response_add = vec![field("access-control-allow-origin", "*")];
        let (head, refusal) = (request("GET", ""), Answer::of_cause(Cause::Connect));
        let answer = pages(None).answer(&head, &refusal, VALUES, Some(&rewrite));
        let names: Vec<_> = answer.unwrap().fields;
        assert_eq!(
            names,
            [
                ("cache-control".into(), "max-age=5".into()),
                ("access-control-allow-origin".into(), "*".into())
            ]
        );
    }

    #[test]
    fn what_may_change_something_is_not_told_that_all_went_well() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "LOCK"] {
            let head = request(method, "");
            for status in [200, 404, 499] {
                assert!(!pages(Some(status)).is_for(&head), "{method} {status}");
            }
            assert!(pages(Some(500)).is_for(&head));
            assert!(pages(None).is_for(&head));
            assert!(!may_go_elsewhere(&head));
        }
        for method in ["GET", "HEAD"] {
            assert!(pages(Some(200)).is_for(&request(method, "")));
            assert!(may_go_elsewhere(&request(method, "")));
        }
        assert!(!may_go_elsewhere(&request("GET", "Content-Length: 1\r\n")));
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        assert!(!may_go_elsewhere(&request("GET", upgrade)));
    }

    #[test]
    fn nothing_stands_in_for_what_clients_did() {
        for cause in Cause::ALL {
            let of_the_client = cause.origin() == plimsoll_measure::Origin::Client;
            assert!(!(of_the_client && stands_in_for(*cause)), "{cause:?}");
        }
        assert!(!stands_in_for(Cause::ReadOnly));
    }
}
