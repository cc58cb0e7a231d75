//! The latest lines of the access log in memory: what became of a request, and whose requests went wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use memchr::memmem::Finder;
use plimsoll_measure::{Cause, Outcome};

/// How much of the latest lines is remembered.
const BYTES_MAX: usize = 16 << 20;
/// Tenants of services that are counted at a time; the others are not.
const TENANTS_MAX: usize = 4_096;

/// The latest lines, by the batch they came in, so that none is copied.
#[derive(Debug)]
pub(super) struct Recorder {
    batches: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    /// Those of the half minute that is not over, and of the one before.
    tallies: [Tallies; 2],
    fields: Fields,
}

/// By service and tenant.
type Tallies = HashMap<(String, String), (u64, f64)>;

/// What a tenant asked of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantTally {
    /// As it is shown.
    pub tenant: String,
    /// Bad requests: all of them.
    pub bad: u64,
    /// All requests in the SLI, as far as the sample tells.
    pub requests: f64,
}

/// Where values begin in a line.
#[derive(Debug)]
struct Fields {
    service: Finder<'static>,
    tenant: Finder<'static>,
    cause: Finder<'static>,
    sample: Finder<'static>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            tallies: Default::default(),
            fields: Fields {
                service: Finder::new("\"service\":\""),
                tenant: Finder::new("\"tenant\":\""),
                cause: Finder::new("\"cause\":\""),
                sample: Finder::new("\"sample\":"),
            },
        }
    }
}

impl Recorder {
    pub(super) fn add(&mut self, lines: Vec<u8>) {
        for line in lines.split(|byte| *byte == b'\n') {
            self.fields.count(line, &mut self.tallies[0]);
        }
        self.bytes += lines.capacity();
        self.batches.push_back(Arc::new(lines));
        while self.bytes > BYTES_MAX
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.capacity();
        }
    }

    /// All that is remembered, the oldest first: to be searched where nobody waits for the recorder.
    pub(super) fn batches(&self) -> Vec<Arc<Vec<u8>>> {
        self.batches.iter().map(Arc::clone).collect()
    }

    pub(super) fn tenants(&self, service: &str) -> Vec<TenantTally> {
        let mut sums: HashMap<&str, (u64, f64)> = HashMap::new();
        for ((of, tenant), (bad, requests)) in self.tallies.iter().flatten() {
            if of == service {
                let sum = sums.entry(tenant).or_default();
                sum.0 += bad;
                sum.1 += requests;
            }
        }
        let tally = |(tenant, (bad, requests)): (&str, (u64, f64))| TenantTally {
            tenant: tenant.to_owned(),
            bad,
            requests,
        };
        let mut tallies: Vec<TenantTally> = sums.into_iter().map(tally).collect();
        tallies.sort_by(|a, b| b.bad.cmp(&a.bad).then_with(|| a.tenant.cmp(&b.tenant)));
        tallies
    }

    pub(super) fn on_half_minute(&mut self) {
        let [now, before] = &mut self.tallies;
        *before = std::mem::take(now);
    }
}

/// The latest line of the request or the trace with this id.
pub(super) fn find(batches: &[Arc<Vec<u8>>], id: &str) -> Option<String> {
    // An id of anything else would stand otherwise in its line.
    let plain = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\');
    if id.is_empty() || !id.bytes().all(plain) {
        return None;
    }
    let keys = ["id", "trace_id"].map(|key| format!("\"{key}\":\"{id}\""));
    let finders = keys.each_ref().map(Finder::new);
    let lines = batches.iter().rev();
    let mut lines = lines.flat_map(|batch| batch.split(|byte| *byte == b'\n').rev());
    let line = lines.find(|line| finders.iter().any(|it| it.find(line).is_some()))?;
    String::from_utf8(line.to_vec()).ok()
}

impl Fields {
    /// Counts a line for its tenant. A value never holds a quote that is not escaped, so what is found is the field.
    fn count(&self, line: &[u8], tallies: &mut Tallies) {
        let text = |finder: &Finder<'_>| {
            let rest = line.get(finder.find(line)? + finder.needle().len()..)?;
            std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
        };
        let (Some(service), Some(tenant), Some(cause)) =
            (text(&self.service), text(&self.tenant), text(&self.cause))
        else {
            return;
        };
        let outcome = Cause::ALL.iter().find(|it| it.name() == cause);
        let bad = match outcome.map(|it| it.outcome()) {
            Some(Outcome::Bad) => 1,
            Some(Outcome::Good) => 0,
            _ => return,
        };
        let share = self.sample.find(line).and_then(|at| {
            let rest = line.get(at + self.sample.needle().len()..)?;
            let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
            std::str::from_utf8(rest.get(..end)?)
                .ok()?
                .parse::<f64>()
                .ok()
        });
        // Each line that was drawn stands for as many as were not.
        let requests = share
            .filter(|it| *it > 0.0)
            .map_or(1.0, |share| 1.0 / share);
        let key = (service.to_owned(), tenant.to_owned());
        if tallies.len() >= TENANTS_MAX && !tallies.contains_key(&key) {
            return;
        }
        let tally = tallies.entry(key).or_default();
        tally.0 += bad;
        tally.1 += requests;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, tenant: &str, cause: &str, more: &str) -> String {
        format!(
            "{{\"id\":\"{id}\",\"trace_id\":\"t{id}\",\"path\":\"/\\\"id\\\":\\\"9\\\"\",\"cause\":\"{cause}\",\"service\":\"shop\",\
             \"tenant\":\"{tenant}\"{more}}}\n"
        )
    }

    #[test]
    fn a_request_is_found_by_its_id_until_there_is_no_room() {
        let mut recorder = Recorder::default();
        recorder.add((line("1", "a", "answered", "") + &line("2", "a", "shed", "")).into_bytes());
        let found = find(&recorder.batches(), "2").unwrap();
        assert!(found.contains("shed") && !found.contains('\n'), "{found}");
        assert!(find(&recorder.batches(), "t1").is_some(), "a trace's");
        assert_eq!(find(&recorder.batches(), "9"), None, "only a path says so");
        assert_eq!(find(&recorder.batches(), "3"), None);
        assert_eq!(find(&recorder.batches(), "2\",\"tr"), None);
        let batch = vec![b' '; 1 << 20];
        for _ in 0..17 {
            recorder.add(batch.clone());
        }
        assert_eq!(find(&recorder.batches(), "2"), None);
        assert!(recorder.bytes <= BYTES_MAX);
    }

    #[test]
    fn tenants_are_told_apart_and_a_sample_stands_for_all() {
        let mut recorder = Recorder::default();
        recorder.add(line("1", "a", "answered", ",\"sample\":0.01").into_bytes());
        recorder.add(line("2", "b", "shed", "").into_bytes());
        recorder.add(line("3", "b", "client-gone", "").into_bytes());
        recorder.add(b"no line at all\n".to_vec());
        let tally = |tenant: &str, bad, requests| TenantTally {
            tenant: tenant.to_owned(),
            bad,
            requests,
        };
        let expected = [tally("b", 1, 1.0), tally("a", 0, 100.0)];
        assert_eq!(recorder.tenants("shop"), expected);
        recorder.on_half_minute();
        assert_eq!(recorder.tenants("shop"), expected);
        recorder.on_half_minute();
        assert_eq!(recorder.tenants("shop"), []);
        assert_eq!(recorder.tenants("other"), []);
    }
}
