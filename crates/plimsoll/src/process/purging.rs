//! How people take out of a service's cache what is wrong: at once, whether or not the store can record it.

use plimsoll_console::{Changed, Problem, PurgeOf, Purging};
use plimsoll_gateway::{Purge, PurgeUrl};
use serde_json::json;

use super::Process;
use super::changes::{answer, changed};
use crate::asked::Tell;

impl Process {
    pub(super) fn purge(&mut self, by: &str, service: &str, purging: Purging, tell: Tell<Changed>) {
        let Purging { of, why } = purging;
        // A successor has a cache of its own and looks at the same disk: what is taken out here would stay there.
        let (what, named) = match self.can_change().and_then(|()| read(of)) {
            Ok(read) => read,
            Err(problem) => return answer(tell, Err(problem)),
        };
        let count = self.gateway.purge(service, &what);
        let answers = if count == 1 { "answer" } else { "answers" };
        let text =
            format!("{by} purged {named} from the cache of {service}, {count} {answers}: {why}");
        self.note(Some(service.to_owned()), text.clone());
        let body = json!({
            "text": text, "what": "cache-purge", "of": named, "answers": count, "by": by, "why": why,
        });
        let subject = format!("service/{service}/cache");
        self.journal
            .write_then("change", &subject, &body, move |written| {
                let written = written.map(|record| Some(record.sequence));
                answer(tell, Ok(changed(text, written)));
            });
    }
}

/// What is asked for, and its name in a sentence.
fn read(of: PurgeOf) -> Result<(Purge, String), Problem> {
    let url = |text: &str| {
        let expected = "expected one as https://shop.example/products/1";
        PurgeUrl::parse(text).ok_or_else(|| Problem::invalid(format!("this is no URL; {expected}")))
    };
    Ok(match of {
        PurgeOf::Url(text) => (Purge::Url(url(&text)?), text),
        PurgeOf::Prefix(text) => (Purge::Prefix(url(&text)?), format!("all below {text}")),
        PurgeOf::Key(key) => {
            let named = format!("all with the key {key}");
            (Purge::Key(key), named)
        }
        PurgeOf::All => (Purge::All, "all".to_owned()),
    })
}
