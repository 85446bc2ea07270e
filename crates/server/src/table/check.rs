//! Every fault of a body against a structure, and not only the first.

use strongroom_core::structure::Column;

use super::{
    Body, TableError,
    laws::{Laws, breach},
    open,
    places::Places,
};

/// Faults that are told one by one.
pub const FAULTS_MAX: usize = 100;

/// What a check came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checked {
    pub rows: u64,
    pub faults: u64,
    /// The first of them.
    pub told: Vec<Fault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1; absent where the body as a whole is at fault.
    pub row: Option<u64>,
    pub column: Option<String>,
    pub why: String,
}

impl Checked {
    fn fault(&mut self, row: Option<u64>, column: Option<String>, why: String) {
        self.faults += 1;
        if self.told.len() < FAULTS_MAX {
            self.told.push(Fault { row, column, why });
        }
    }

    fn end(mut self, ended: Result<(), TableError>) -> Result<Self, TableError> {
        match ended {
            Ok(()) => Ok(self),
            // What cannot be read cannot be checked any further.
            Err(TableError::Body(why)) => {
                self.fault(None, None, why);
                Ok(self)
            }
            Err(other) => Err(other),
        }
    }
}

/// Checks every row.
///
/// # Errors
///
/// [`TableError`] when the check itself could not be made; what is wrong with
/// the body is in what it came to.
pub fn check(body: Body) -> Result<Checked, TableError> {
    let mut checked = Checked::default();
    let ended = rows(body, &mut checked);
    checked.end(ended)
}

fn rows(body: Body, checked: &mut Checked) -> Result<(), TableError> {
    let reading = body.reading.clone();
    let mut laws = Laws::of(&reading)?;
    let mut rows = open(body)?;
    laws.names(&*rows)?;
    let given: &[Column] = reading.columns.as_deref().unwrap_or_default();
    let mut places = Places::of(given.iter().map(|column| column.name.clone()));
    while rows.advance()? {
        checked.rows += 1;
        let row = Some(checked.rows);
        laws.later_names(checked.rows, &*rows)?;
        places.look(&*rows);
        for (column, cell) in given.iter().zip(places.cells(&*rows)) {
            if let Some(why) = breach(column, cell) {
                checked.fault(row, Some(column.name.clone()), why);
            }
        }
        if let Some(breach) = laws.schema_breach(&*rows)? {
            checked.fault(row, breach.column, breach.why);
        }
    }
    Ok(())
}
