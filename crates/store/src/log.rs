//! What guests wrote, line by line.
//!
//! Lines are kept in the batches they came in: one row and one change each. A
//! line costs four bytes beside its text, which JSON makes at most six times
//! as long, so the bound on a log bounds what it takes here.
//! They are numbered by whoever appends, from 1 without gaps, and a batch may
//! be appended again by somebody who does not know whether he did. There is no
//! audit event: the run is the event.

use serde::{Deserialize, Serialize};
use strongroom_core::{id::RunId, json::canonical_of, run::Stream};

use crate::{Connection, Store, Tx, error::StoreError, question::query};

/// The most lines of one page.
pub const LOG_PAGE_MAX: u32 = 10_000;

/// How many batches are read at once.
const CHUNKS_STEP: i64 = 8;

/// One line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// From 1, without gaps.
    pub seq: i64,
    pub at_ms: i64,
    pub stream: Stream,
    pub text: String,
}

/// Lines as they are kept: when, and how many of them; who said it, as the
/// first letter of each line, and what.
#[derive(Serialize, Deserialize)]
struct Kept {
    at_ms: Vec<(i64, usize)>,
    lines: Vec<String>,
}

impl Kept {
    fn new(lines: &[LogLine]) -> Self {
        let mut at_ms: Vec<(i64, usize)> = Vec::new();
        for line in lines {
            match at_ms.last_mut() {
                Some((last, count)) if *last == line.at_ms => *count += 1,
                _ => at_ms.push((line.at_ms, 1)),
            }
        }
        let lines = lines.iter().map(|line| {
            let voice = match line.stream {
                Stream::Stdout => 'o',
                Stream::Stderr => 'e',
                Stream::Event => 'v',
            };
            format!("{voice}{}", line.text)
        });
        Self {
            at_ms,
            lines: lines.collect(),
        }
    }

    /// The lines again, the first with the number `seq`.
    fn lines(self, seq: i64) -> Result<Vec<LogLine>, StoreError> {
        let times = self
            .at_ms
            .into_iter()
            .flat_map(|(at_ms, count)| std::iter::repeat_n(at_ms, count));
        let line = |((seq, at_ms), kept): ((i64, i64), &String)| {
            let stream = match kept.get(..1) {
                Some("o") => Stream::Stdout,
                Some("e") => Stream::Stderr,
                Some("v") => Stream::Event,
                _ => return Err(StoreError::corrupt("a line of a log has no voice")),
            };
            let text = kept[1..].to_owned();
            Ok(LogLine {
                seq,
                at_ms,
                stream,
                text,
            })
        };
        let found = (seq..).zip(times).zip(&self.lines).map(line);
        let found = found.collect::<Result<Vec<_>, _>>()?;
        match found.len() == self.lines.len() {
            true => Ok(found),
            false => Err(StoreError::corrupt("a line of a log has no time")),
        }
    }
}

const LAST: &str = "
    SELECT COALESCE(MAX(seq_last), 0) AS number FROM log_chunk WHERE run = $1";

const ADD: &str = "
    INSERT INTO log_chunk (run, seq_first, seq_last, content) VALUES ($1, $2, $3, $4)";

const SAME: &str = "
    SELECT COUNT(*) AS number FROM log_chunk WHERE run = $1 AND seq_last = $2 AND content = $3";

const PAGE: &str = "
    SELECT seq_first, seq_last, content FROM log_chunk WHERE run = $1 AND $2 < seq_last
     ORDER BY seq_last LIMIT $3";

impl Store {
    /// Appends a batch of lines.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when it does not begin where the last one ended.
    pub async fn log_append(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        let (run, lines) = (run.clone(), lines.to_vec());
        self.change("write a log", move |tx| {
            Box::pin(async move { append(tx, &run, &lines).await })
        })
        .await
    }

    /// At most `limit` lines after `after_seq`, of what people read.
    pub async fn log_page(
        &self,
        run: &RunId,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<LogLine>, StoreError> {
        let is_text = |stream| stream != Stream::Event;
        self.log_page_of(run, after_seq, limit, is_text).await
    }

    /// The same of the voices that are `wanted`, among which a number may be
    /// left out.
    pub async fn log_page_of(
        &self,
        run: &RunId,
        after_seq: i64,
        limit: u32,
        wanted: fn(Stream) -> bool,
    ) -> Result<Vec<LogLine>, StoreError> {
        let mut connection = self.read("read a log").await?;
        let limit = usize::try_from(limit.clamp(1, LOG_PAGE_MAX)).unwrap_or(usize::MAX);
        let mut lines: Vec<LogLine> = Vec::new();
        let mut after = after_seq;
        while lines.len() < limit {
            let Some(seq_last) = read_some(&mut connection, run, after, &mut lines).await? else {
                break;
            };
            after = seq_last;
            lines.retain(|line| after_seq < line.seq && wanted(line.stream));
        }
        lines.truncate(limit);
        Ok(lines)
    }
}

/// Appends a batch as part of a change; an empty one is none.
pub(crate) async fn append(tx: &mut Tx, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return Ok(());
    };
    let without_gaps = lines.windows(2).all(|two| two[0].seq + 1 == two[1].seq);
    if !without_gaps {
        return Err(StoreError::conflict("the lines have gaps"));
    }
    let (first, last) = (first.seq, last.seq);
    let content = canonical_of(&Kept::new(lines));
    let written = tx.count(query(LAST).bind(run.as_str())).await?;
    if first == written + 1 {
        let question = query(ADD)
            .bind(run.as_str())
            .bind(first)
            .bind(last)
            .bind(content.as_str());
        return tx.execute(question).await.map(drop);
    }
    let same = query(SAME)
        .bind(run.as_str())
        .bind(last)
        .bind(content.as_str());
    match tx.count(same).await? {
        0 => Err(StoreError::conflict(format!(
            "the log has {written} lines; the next is not {first}"
        ))),
        _ => Ok(()),
    }
}

/// Reads some batches after `after`; the last line's number, if there were any.
async fn read_some(
    connection: &mut Connection,
    run: &RunId,
    after: i64,
    lines: &mut Vec<LogLine>,
) -> Result<Option<i64>, StoreError> {
    let question = query(PAGE).bind(run.as_str()).bind(after).bind(CHUNKS_STEP);
    let mut seq_last = None;
    for row in connection.all(question).await? {
        let kept: Kept = row.json("content")?;
        lines.extend(kept.lines(row.number("seq_first")?)?);
        seq_last = Some(row.number("seq_last")?);
    }
    Ok(seq_last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Kept, LogLine, Stream, canonical_of};

    fn line(seq: i64, at_ms: i64, stream: Stream, text: &str) -> LogLine {
        LogLine {
            seq,
            at_ms,
            stream,
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_are_kept_as_they_were() {
        let lines = [
            line(7, 1, Stream::Stdout, ""),
            line(8, 1, Stream::Stderr, "one\ntwo\0"),
            line(9, 3, Stream::Stdout, "ä"),
            line(10, 3, Stream::Event, "{}"),
        ];
        let kept: Kept = serde_json::from_str(&canonical_of(&Kept::new(&lines))).unwrap();
        assert_eq!(kept.lines(7).unwrap(), lines);
    }

    #[test]
    fn an_empty_line_takes_four_bytes_and_the_worst_byte_six() {
        let empty: Vec<_> = (1..=1000)
            .map(|seq| line(seq, 1, Stream::Stdout, ""))
            .collect();
        let around = canonical_of(&Kept::new(&[])).len() + 16;
        assert!(canonical_of(&Kept::new(&empty)).len() <= 4 * 1000 + around);
        let worst = [line(1, 1, Stream::Stdout, &"\u{1}".repeat(1000))];
        assert!(canonical_of(&Kept::new(&worst)).len() <= 4 + 6 * 1000 + around);
    }

    #[test]
    fn what_is_no_log_is_named() {
        for raw in [
            r#"{"at_ms":[[1,1]],"lines":["xa"]}"#,
            r#"{"at_ms":[[1,1]],"lines":["oa","ob"]}"#,
            r#"{"at_ms":[],"lines":["oa"]}"#,
        ] {
            let kept: Kept = serde_json::from_str(raw).unwrap();
            assert!(kept.lines(1).is_err(), "{raw}");
        }
    }
}
