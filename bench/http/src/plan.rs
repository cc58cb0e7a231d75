//! What is measured: the rows.

/// How the client speaks to the proxy. The proxy speaks HTTP/1.1 to the upstream in every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 in cleartext, kept connections.
    Http1,
    /// HTTP/2 over TLS 1.3, with so many streams at a time on each connection.
    Http2 {
        /// Streams at a time.
        streams: usize,
    },
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) protocol: Protocol,
    pub(crate) connections: usize,
    /// 1 or 64.
    pub(crate) body_kib: usize,
}

impl Row {
    /// All rows. Over HTTP/2, as with browsers and with sidecars, few connections carry many streams.
    pub(crate) fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for http2 in [false, true] {
            for (connections, streams) in [(8, 16), (64, 4), (512, 1)] {
                for body_kib in [1, 64] {
                    let protocol = if http2 {
                        Protocol::Http2 { streams }
                    } else {
                        Protocol::Http1
                    };
                    rows.push(Self {
                        protocol,
                        connections,
                        body_kib,
                    });
                }
            }
        }
        rows
    }

    /// The three rows that show whether everything works.
    pub(crate) fn quick() -> Vec<Self> {
        let quick = ["h1 64 1k", "h1 8 64k", "h2 8x16 1k"];
        Self::all()
            .into_iter()
            .filter(|row| quick.contains(&row.name().as_str()))
            .collect()
    }

    /// As `--rows` names it: `h1 64 1k`, `h2 8x16 64k`.
    pub(crate) fn name(&self) -> String {
        let Self {
            protocol,
            connections,
            body_kib,
        } = self;
        match protocol {
            Protocol::Http1 => format!("h1 {connections} {body_kib}k"),
            Protocol::Http2 { streams } => format!("h2 {connections}x{streams} {body_kib}k"),
        }
    }

    /// The path that the upstream answers with this body.
    pub(crate) fn path(&self) -> String {
        format!("/{}k", self.body_kib)
    }
}

/// Process ids as they are given on the command line of the load.
pub(crate) fn pids_to(pids: &[u32]) -> String {
    pids.iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// The other way round.
pub(crate) fn pids_from(text: &str) -> Vec<u32> {
    text.split(',').filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let rows = Row::all();
        let names: std::collections::BTreeSet<String> = rows.iter().map(Row::name).collect();
        assert_eq!(names.len(), rows.len());
        assert_eq!(Row::quick().len(), 3);
    }

    #[test]
    fn process_ids_survive_the_command_line() {
        assert_eq!(pids_from(&pids_to(&[1, 22, 333])), [1, 22, 333]);
    }
}
