//! What is counted of all columns of a body.
//!
//! Counting a value takes longer than reading it. So values of CSV, which are
//! text and nothing else, are counted by several threads, each for some of the
//! columns, while the next are read; a body that fits into one batch never
//! starts them. What waits between the threads is bounded. Values of the other
//! formats may be trees, which cost more to pass on, and are counted at once.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use strongroom_core::structure::{Column, Format};

use super::{Cell, tally::Tally};

/// What is passed on at once: bytes of text, to within one record, and values.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_CELLS: usize = 64 * 1024;
/// Batches that wait for one thread.
const BATCHES_WAITING_MAX: usize = 2;
/// Threads for one body; few bodies are read at once.
const THREADS_MAX: usize = 4;

/// The counts of every column.
pub struct Tallies {
    is_text: bool,
    given: Vec<Column>,
    tallies: Vec<Tally>,
    batch: Batch,
    crowd: Option<Crowd>,
}

/// Values of some rows, one after another.
#[derive(Default)]
struct Batch {
    text: String,
    /// Where each value ends in the text; `None` for one that is absent.
    ends: Vec<Option<usize>>,
    columns: usize,
}

/// Threads, each with the columns whose number leaves its own when it is
/// divided by how many threads there are.
struct Crowd {
    senders: Vec<SyncSender<Arc<Batch>>>,
    threads: Vec<JoinHandle<Vec<Tally>>>,
}

impl Tallies {
    /// For columns that were given, or for those that come.
    pub fn new(format: Format, given: &[Column]) -> Self {
        Self {
            is_text: format == Format::Csv,
            given: given.to_vec(),
            tallies: given.iter().map(Tally::of_given).collect(),
            batch: Batch::default(),
            crowd: None,
        }
    }

    /// Counts a row.
    pub fn add<'a>(&mut self, cells: impl ExactSizeIterator<Item = &'a Cell>) {
        if self.is_text {
            self.batch.add(cells);
            if self.batch.is_full() {
                self.pass();
            }
            return;
        }
        let columns = self.tallies.len().max(cells.len());
        self.tallies.resize_with(columns, Tally::default);
        let pairs = self.tallies.iter_mut().zip(cells);
        pairs.for_each(|(tally, cell)| tally.add(cell));
    }

    /// The counts, for so many columns at least.
    pub fn end(mut self, columns: usize) -> Vec<Tally> {
        let batch = std::mem::take(&mut self.batch);
        let mut tallies = match self.crowd.take() {
            Some(mut crowd) => {
                crowd.pass(batch);
                crowd.end()
            }
            None => {
                count(&batch, (0, 1), &mut self.tallies);
                self.tallies
            }
        };
        tallies.resize_with(tallies.len().max(columns), Tally::default);
        tallies.iter_mut().for_each(Tally::end);
        tallies
    }

    /// Hands a full batch on, to threads where there are processors for them.
    fn pass(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if self.crowd.is_none() {
            self.crowd = Crowd::start(&self.given);
        }
        match &mut self.crowd {
            Some(crowd) => crowd.pass(batch),
            None => count(&batch, (0, 1), &mut self.tallies),
        }
    }
}

impl Batch {
    fn add<'a>(&mut self, cells: impl ExactSizeIterator<Item = &'a Cell>) {
        self.columns = cells.len();
        self.ends.extend(cells.map(|cell| match cell {
            Cell::Raw(text) => {
                self.text.push_str(text);
                Some(self.text.len())
            }
            _ => None,
        }));
    }

    fn is_full(&self) -> bool {
        BATCH_BYTES <= self.text.len() || BATCH_CELLS <= self.ends.len()
    }
}

/// Counts the columns that are `first`, `first + step` and so on.
fn count(batch: &Batch, (first, step): (usize, usize), tallies: &mut Vec<Tally>) {
    let own = batch.columns.saturating_sub(first).div_ceil(step);
    tallies.resize_with(tallies.len().max(own), Tally::default);
    let mut start = 0;
    for row in batch.ends.chunks(batch.columns.max(1)) {
        let (mut next, mut tallies) = (first, tallies.iter_mut());
        for (column, end) in row.iter().enumerate() {
            let Some(end) = *end else {
                if column == next {
                    (next, _) = (next + step, tallies.next());
                }
                continue;
            };
            if column == next {
                if let Some(tally) = tallies.next() {
                    tally.add_text(&batch.text[start..end]);
                }
                next += step;
            }
            start = end;
        }
    }
}

impl Crowd {
    /// `None` where there is one processor, or no thread to be had.
    fn start(given: &[Column]) -> Option<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let many = processors.min(THREADS_MAX);
        if many < 2 {
            return None;
        }
        let mut crowd = Self {
            senders: Vec::new(),
            threads: Vec::new(),
        };
        for first in 0..many {
            let own = given.iter().skip(first).step_by(many);
            let tallies: Vec<Tally> = own.map(Tally::of_given).collect();
            let (sender, batches) = sync_channel(BATCHES_WAITING_MAX);
            let thread = std::thread::Builder::new().name("strongroom-tally".to_owned());
            let thread = thread.spawn(move || count_all(&batches, (first, many), tallies));
            crowd.threads.push(thread.ok()?);
            crowd.senders.push(sender);
        }
        Some(crowd)
    }

    fn pass(&mut self, batch: Batch) {
        let batch = Arc::new(batch);
        for sender in &self.senders {
            // A thread that is gone has panicked, which its end will tell.
            let _ = sender.send(Arc::clone(&batch));
        }
    }

    /// The counts of all columns, in their order.
    fn end(mut self) -> Vec<Tally> {
        self.senders.clear();
        let threads = std::mem::take(&mut self.threads).into_iter();
        let ended = threads.map(|thread| match thread.join() {
            Ok(tallies) => tallies.into_iter(),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let mut ended: Vec<_> = ended.collect();
        let mut all = Vec::new();
        loop {
            let before = all.len();
            all.extend(ended.iter_mut().filter_map(Iterator::next));
            if all.len() == before {
                return all;
            }
        }
    }
}

impl Drop for Crowd {
    /// A body that is given up leaves no thread behind.
    fn drop(&mut self) {
        self.senders.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn count_all(
    batches: &Receiver<Arc<Batch>>,
    columns: (usize, usize),
    mut tallies: Vec<Tally>,
) -> Vec<Tally> {
    for batch in batches {
        count(&batch, columns, &mut tallies);
    }
    tallies
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use strongroom_core::structure::ColumnType;

    use super::*;

    /// What is told of `columns` columns of `rows` rows.
    fn told(rows: usize, columns: usize) -> Vec<String> {
        let mut tallies = Tallies::new(Format::Csv, &[]);
        for row in 0..rows {
            let cell = |column: usize| match (row + column) % 5 {
                0 => Cell::Null,
                1 => Cell::Raw("NA".to_owned()),
                _ => Cell::Raw((row * (column + 1)).to_string()),
            };
            let cells: Vec<Cell> = (0..columns).map(cell).collect();
            tallies.add(cells.iter());
        }
        let ended = tallies.end(columns);
        let of = |(number, tally): (usize, &Tally)| {
            let column = Column {
                name: number.to_string(),
                kind: ColumnType::Integer,
                nullable: true,
                description: String::new(),
            };
            serde_json::to_string(&tally.told(&column, rows as u64)).unwrap()
        };
        ended.iter().enumerate().map(of).collect()
    }

    #[test]
    fn threads_count_what_one_would() {
        for columns in [1, 2, 3, 7, 100] {
            // More than some batches, so that threads are started.
            let rows = 3 * BATCH_CELLS / columns + 17;
            let many = told(rows, columns);
            assert_eq!(many.len(), columns);
            for (number, text) in many.iter().enumerate() {
                let max = (0..rows)
                    .rev()
                    .find(|row| 1 < (row + number) % 5)
                    .map(|row| row * (number + 1));
                let max = format!("\"max\":{}", max.unwrap());
                assert!(text.contains(&max), "{text} {max}");
                let absent = (0..rows).filter(|row| (row + number) % 5 < 2).count();
                assert!(text.contains(&format!("\"nulls\":{absent}")), "{text}");
            }
        }
    }

    #[test]
    fn a_body_that_is_given_up_leaves_no_thread() {
        let mut tallies = Tallies::new(Format::Csv, &[]);
        let cells = [Cell::Raw("x".repeat(BATCH_BYTES))];
        (0..10).for_each(|_| tallies.add(cells.iter()));
        drop(tallies);
    }
}
