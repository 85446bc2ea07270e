//! Tables and columns as text, in the layout that pandas prints.
//!
//! At most 60 rows are shown in full, and as many columns as 80 characters
//! hold, as pandas does in a terminal of that width.

use super::{cell::Cell, column::Column, frame::Frame, index::Index, values::shown_values};

const ROWS_MAX: usize = 60;
const ROWS_SHOWN: usize = 10;
const LINE_WIDTH: usize = 80;

/// One block of text: a line for the header, or two, and one for each row.
type Block = Vec<String>;

pub fn width(text: &str) -> usize {
    text.chars().count()
}

fn widest(block: &[String]) -> usize {
    block.iter().map(|line| width(line)).max().unwrap_or(0)
}

fn right(text: &str, wide: usize) -> String {
    format!("{}{text}", " ".repeat(wide.saturating_sub(width(text))))
}

fn left(text: &str, wide: usize) -> String {
    format!("{text}{}", " ".repeat(wide.saturating_sub(width(text))))
}

/// Blocks side by side, each as wide as its widest line and `space` more.
fn adjoin(space: usize, blocks: &[Block]) -> Vec<String> {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let mut lines = vec![String::new(); height];
    let last = blocks.len().saturating_sub(1);
    for (at, block) in blocks.iter().enumerate() {
        let wide = widest(block) + if at == last { 0 } else { space };
        for (row, line) in lines.iter_mut().enumerate() {
            line.push_str(&left(block.get(row).map_or("", String::as_str), wide));
        }
    }
    lines
}

/// Which rows are shown, and after how many of them a gap.
struct Shown {
    places: Vec<usize>,
    gap: Option<usize>,
}

impl Shown {
    fn of(rows: usize) -> Self {
        if rows <= ROWS_MAX {
            let places = (0..rows).collect();
            return Self { places, gap: None };
        }
        let half = ROWS_SHOWN / 2;
        Self {
            places: (0..half).chain(rows - half..rows).collect(),
            gap: Some(half),
        }
    }
}

/// The table as text. Columns in the middle give way where a line is full.
pub fn frame(frame: &Frame) -> String {
    if frame.columns.is_empty() || frame.rows() == 0 {
        return empty(frame);
    }
    let shown = Shown::of(frame.rows());
    let all = frame.columns.len();
    let mut fitted = all.min(LINE_WIDTH);
    let mut lines = part(frame, &shown, fitted);
    let longest = widest(&lines.lines);
    if LINE_WIDTH <= longest {
        fitted = fitting(&lines.widths, longest + 1 - LINE_WIDTH);
        lines = part(frame, &shown, fitted);
    }
    let mut text = lines.lines.join("\n");
    if shown.gap.is_some() || fitted < all {
        text.push_str(&format!("\n\n[{} rows x {all} columns]", frame.rows()));
    }
    text
}

fn empty(frame: &Frame) -> String {
    let names: Vec<String> = frame.names.iter().map(Cell::plain).collect();
    let labels = (0..frame.rows()).map(|at| frame.index.label(at).plain());
    format!(
        "Empty DataFrame\nColumns: [{}]\nIndex: [{}]",
        names.join(", "),
        labels.collect::<Vec<_>>().join(", ")
    )
}

/// How many columns are left when those in the middle go, one by one, until
/// `excess` characters are gone. The index is among the widths.
fn fitting(widths: &[usize], excess: usize) -> usize {
    let mut widths = widths.to_vec();
    let mut excess = i64::try_from(excess).unwrap_or(i64::MAX);
    while 0 < excess && 1 < widths.len() {
        // Half of an odd number goes to the even one beside it.
        let middle = match widths.len() % 4 {
            1 => widths.len() / 2,
            3 => widths.len() / 2 + 1,
            _ => widths.len() / 2,
        };
        let gone = widths.remove(middle.min(widths.len() - 1));
        excess -= i64::try_from(gone).unwrap_or(i64::MAX) + 1;
    }
    widths.len().saturating_sub(1).max(2)
}

/// The lines of a table, and how wide its index and its columns are.
struct Lines {
    lines: Vec<String>,
    widths: Vec<usize>,
}

/// The first and the last columns, `fitted` of them, with a gap between.
fn part(frame: &Frame, shown: &Shown, fitted: usize) -> Lines {
    let columns = frame.columns.len();
    let half = (fitted / 2).max(1);
    let places: Vec<usize> = match fitted < columns {
        true => (0..half).chain(columns - half..columns).collect(),
        false => (0..columns).collect(),
    };
    let named = frame.index.has_names();
    let mut blocks = vec![index_block(&frame.index, shown, 1, 1)];
    for (at, header) in places.iter().zip(headers(frame, &places)) {
        let column = frame.columns[*at].take(&shown.places);
        blocks.push(column_block(header, &column, named));
    }
    if fitted < columns {
        let height = blocks[0].len();
        blocks.insert(half + 1, vec![" ...".to_owned(); height]);
    }
    if let Some(gap) = shown.gap {
        let gap = gap + 1 + usize::from(named);
        for (at, block) in blocks.iter_mut().enumerate() {
            let wide = width(&block[gap - 1]);
            let dots = if 3 < wide { "..." } else { ".." };
            let line = match at {
                0 => left(dots, wide),
                _ => right(dots, wide),
            };
            block.insert(gap, line);
        }
    }
    let widths = blocks.iter().map(|block| widest(block)).collect();
    let lines = adjoin(1, &blocks);
    Lines { lines, widths }
}

/// The names of the columns; numbers are made as wide as the widest of them.
fn headers(frame: &Frame, places: &[usize]) -> Vec<String> {
    let names: Vec<String> = places
        .iter()
        .map(|at| escaped(&frame.names[*at].plain()))
        .collect();
    let numbers = frame.names.iter().all(|name| matches!(name, Cell::Int(_)));
    let wide = if numbers { widest(&names) } else { 0 };
    names.iter().map(|name| left(name, wide)).collect()
}

/// The labels, left-aligned, behind `headers` empty lines; names of the levels
/// stand in a line of their own.
fn index_block(index: &Index, shown: &Shown, headers: usize, space: usize) -> Block {
    let mut levels = Vec::new();
    for (at, level) in index.levels.iter().enumerate() {
        let column = level.column.take(&shown.places);
        let mut block: Block = match &*level.column {
            Column::Float(_) => shown_values(&column, false),
            _ => column.cells().map(|cell| escaped(&cell.plain())).collect(),
        };
        let repeated: Vec<bool> = (0..block.len())
            .map(|row| {
                let above = row
                    .checked_sub(1)
                    .filter(|above| Some(above + 1) != shown.gap);
                above.is_some_and(|above| {
                    index.levels[..=at].iter().all(|outer| {
                        let (one, two) = (shown.places[above], shown.places[row]);
                        outer.column.cell(one) == outer.column.cell(two)
                    })
                })
            })
            .collect();
        if at + 1 < index.levels.len() {
            for (line, _) in block.iter_mut().zip(repeated).filter(|(_, again)| *again) {
                line.clear();
            }
        }
        if index.has_names() {
            block.insert(0, level.name.as_ref().map(Cell::plain).unwrap_or_default());
        }
        levels.push(block);
    }
    let mut block = vec![String::new(); headers];
    block.extend(adjoin(space, &levels));
    block
}

fn column_block(mut header: String, column: &Column, named: bool) -> Block {
    if column.is_numeric() {
        header.insert(0, ' ');
    }
    let values = fixed(shown_values(column, true), width(&header));
    let wide = widest(&values).max(width(&header));
    let mut block = vec![right(&header, wide)];
    if named {
        block.push(" ".repeat(wide));
    }
    block.extend(values.iter().map(|value| right(value, wide)));
    block
}

/// Values of one width, the longest ones cut.
fn fixed(values: Vec<String>, wide_min: usize) -> Vec<String> {
    const WIDTH_MAX: usize = 50;
    let wide = widest(&values).max(wide_min).min(WIDTH_MAX);
    let cut = |value: String| match wide < width(&value) {
        true => value.chars().take(wide - 3).chain("...".chars()).collect(),
        false => value,
    };
    values
        .into_iter()
        .map(|value| right(&cut(value), wide))
        .collect()
}

/// A column with its labels as text.
pub fn series(column: &Column, index: &Index, name: Option<&Cell>) -> String {
    let name_shown = name.map(|name| format!("Name: {}, ", name.plain()));
    if column.len() == 0 {
        let name = name_shown.unwrap_or_default();
        return format!("Series([], {name}dtype: {})", column.dtype());
    }
    let shown = Shown::of(column.len());
    let mut labels = index_block(index, &shown, 0, 2);
    let mut header = index.has_names().then(|| labels.remove(0));
    if index.levels.len() == 1 {
        // A name that is longer than its labels does not widen them.
        header = header.map(|header| header.trim_end().to_owned());
        let bare = labels.iter().map(|label| label.trim_end().to_owned());
        labels = bare.collect();
    }
    let mut values = fixed(shown_values(&column.take(&shown.places), true), 0);
    if let Some(gap) = shown.gap {
        let wide = width(&values[gap - 1]);
        let dots = if 3 < wide { "..." } else { ".." };
        let before = (wide - dots.len()) / 2;
        values.insert(gap, left(&right(dots, before + dots.len()), wide));
        labels.insert(gap, String::new());
    }
    let mut lines = adjoin(3, &[labels, values]);
    lines.splice(0..0, header);
    let length = match shown.gap {
        Some(_) => format!("Length: {}, ", column.len()),
        None => String::new(),
    };
    let name = name_shown.unwrap_or_default();
    lines.push(format!("{name}{length}dtype: {}", column.dtype()));
    lines.join("\n")
}

/// Line ends and tabs would break the layout.
pub fn escaped(text: &str) -> String {
    text.replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t")
}
