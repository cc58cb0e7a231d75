//! Whether a journal is what was written.

use std::collections::BTreeMap;

use crate::identity::{Head, HeadError};
use crate::record::Hash;
use crate::store::{Store, StoreError};

/// How many records are read at once.
const PAGE: usize = 1_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many records were looked at.
    pub records: u64,
    /// What is wrong; nothing, if all is as it was written.
    pub breaks: Vec<Break>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A record was changed.
    #[error(
        "record {writer}/{sequence} is not what was written: its hash does not fit what it says"
    )]
    Changed {
        /// Whose.
        writer: String,
        /// Which.
        sequence: u64,
    },
    /// A record does not follow the one before it: one was put in, left out or changed.
    #[error("record {writer}/{sequence} does not follow the one before it")]
    DoesNotFollow {
        /// Whose.
        writer: String,
        /// Which.
        sequence: u64,
    },
    /// Records are not there.
    #[error("records {writer}/{from} to {writer}/{to} are missing")]
    Missing {
        /// Whose.
        writer: String,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The end was cut off.
    #[error(
        "the journal of {writer} ends at {last}; a head that was signed at {at} is at {sequence}: the end was cut off"
    )]
    CutOff {
        /// Whose.
        writer: String,
        /// Where it ends.
        last: u64,
        /// Where the head is.
        sequence: u64,
        /// When that was signed.
        at: String,
    },
    /// The chain fits, but is another than the one that was signed.
    #[error(
        "record {writer}/{sequence} is not the one that was signed at {at}: the journal was rewritten"
    )]
    Rewritten {
        /// Whose.
        writer: String,
        /// Which.
        sequence: u64,
        /// When the head was signed.
        at: String,
    },
    /// What stands in the place of records that were forgotten, or a head that was given, was not signed so.
    #[error("a head of {writer}: {error}")]
    Head {
        /// Whose.
        writer: String,
        /// What is wrong with it.
        error: HeadError,
    },
}

/// Checks all chains, from their checkpoints on, and that they still hold what `heads` signed.
pub fn verify(store: &mut dyn Store, heads: &[Head]) -> Result<Report, StoreError> {
    let mut report = Report {
        records: 0,
        breaks: Vec::new(),
    };
    let mut expected: BTreeMap<&str, Vec<(&Head, Hash)>> = BTreeMap::new();
    for head in heads {
        match head.check() {
            Ok(hash) => expected.entry(&head.writer).or_default().push((head, hash)),
            Err(error) => report.breaks.push(Break::Head {
                writer: head.writer.clone(),
                error,
            }),
        }
    }
    let mut writers = store.writers()?;
    writers.extend(expected.keys().map(|writer| (*writer).to_owned()));
    writers.sort();
    writers.dedup();
    for writer in writers {
        let heads = expected.remove(writer.as_str()).unwrap_or_default();
        verify_chain(store, &writer, &heads, &mut report)?;
    }
    Ok(report)
}

fn verify_chain(
    store: &mut dyn Store,
    writer: &str,
    heads: &[(&Head, Hash)],
    report: &mut Report,
) -> Result<(), StoreError> {
    let (mut last, mut previous) = (0, Hash::ZERO);
    let mut forgotten = 0;
    if let Some(checkpoint) = store.checkpoint(writer)? {
        match checkpoint.check() {
            Ok(hash) if checkpoint.writer == writer => {
                (last, previous) = (checkpoint.sequence, hash)
            }
            Ok(_) => report.breaks.push(Break::Head {
                writer: writer.to_owned(),
                error: HeadError::Writer,
            }),
            Err(error) => report.breaks.push(Break::Head {
                writer: writer.to_owned(),
                error,
            }),
        }
        forgotten = last;
    }
    let mut signed: BTreeMap<u64, Vec<(&Head, Hash)>> = BTreeMap::new();
    for (head, hash) in heads {
        signed.entry(head.sequence).or_default().push((head, *hash));
    }
    loop {
        let records = store.chain(writer, last, PAGE)?;
        for record in &records {
            report.records += 1;
            let (writer, sequence) = (writer.to_owned(), record.sequence);
            if sequence != last + 1 {
                report.breaks.push(Break::Missing {
                    writer: writer.clone(),
                    from: last + 1,
                    to: sequence - 1,
                });
            } else if record.previous != previous {
                let writer = writer.clone();
                report
                    .breaks
                    .push(Break::DoesNotFollow { writer, sequence });
            }
            if record.computed() != record.hash {
                let writer = writer.clone();
                report.breaks.push(Break::Changed { writer, sequence });
            }
            for (head, hash) in signed.remove(&sequence).unwrap_or_default() {
                if hash != record.hash {
                    report.breaks.push(Break::Rewritten {
                        writer: writer.clone(),
                        sequence,
                        at: head.at.clone(),
                    });
                }
            }
            (last, previous) = (sequence, record.hash);
        }
        if records.len() < PAGE {
            break;
        }
    }
    // What was forgotten by a signed checkpoint may be behind a head.
    let cut = signed
        .into_iter()
        .filter(|(sequence, _)| *sequence > forgotten);
    for (sequence, heads) in cut {
        for (head, _) in heads {
            report.breaks.push(Break::CutOff {
                writer: writer.to_owned(),
                last,
                sequence,
                at: head.at.clone(),
            });
        }
    }
    Ok(())
}
