//! One connection to the database, whichever it is.
//!
//! SQLite answers on the thread that asks: a question by its keys takes a few
//! microseconds, which is less than it takes to wake another thread. Its
//! statements stay prepared. Absent on purpose: any difference between the two
//! databases above this file.

use rusqlite::Statement;
use sqlx::{Column as _, PgConnection, Postgres, Row as _, postgres::PgRow};

use crate::{
    error::{DatabaseError, StoreError},
    fields::{Cell, Columns, Fields},
    question::{Bound, Question},
};

/// The way to a database.
pub(crate) enum Link {
    Sqlite(rusqlite::Connection),
    Postgres(sqlx::pool::PoolConnection<Postgres>),
}

/// A link with the attempt that its errors are named for.
pub(crate) struct Connection {
    pub link: Link,
    pub attempt: &'static str,
}

impl Connection {
    /// Runs a statement; how many rows it changed.
    pub async fn execute(&mut self, question: Question<'_>) -> Result<u64, StoreError> {
        let done = match &mut self.link {
            Link::Sqlite(sqlite) => sqlite_execute(sqlite, &question),
            Link::Postgres(postgres) => postgres_execute(postgres, question).await,
        };
        done.map_err(StoreError::db(self.attempt))
    }

    pub async fn one(&mut self, question: Question<'_>) -> Result<Option<Fields>, StoreError> {
        let mut rows = self.some(question, 1).await?;
        Ok(rows.pop())
    }

    pub async fn all(&mut self, question: Question<'_>) -> Result<Vec<Fields>, StoreError> {
        // Answers that need no waiting still give way to others now and then.
        tokio::task::coop::consume_budget().await;
        self.some(question, usize::MAX).await
    }

    /// The number that a `SELECT COUNT(*) AS number` answers.
    pub async fn count(&mut self, question: Question<'_>) -> Result<i64, StoreError> {
        match self.one(question).await? {
            Some(row) => row.number("number"),
            None => Ok(0),
        }
    }

    /// The first `most` rows.
    async fn some(
        &mut self,
        question: Question<'_>,
        most: usize,
    ) -> Result<Vec<Fields>, StoreError> {
        let rows = match &mut self.link {
            Link::Sqlite(sqlite) => sqlite_rows(sqlite, &question, most),
            Link::Postgres(postgres) => postgres_rows(postgres, question).await,
        };
        rows.map_err(StoreError::db(self.attempt))
    }
}

fn sqlite_execute(
    sqlite: &rusqlite::Connection,
    question: &Question<'_>,
) -> Result<u64, DatabaseError> {
    let mut statement = sqlite.prepare_cached(question.text)?;
    bind(&mut statement, question)?;
    Ok(statement.raw_execute()? as u64)
}

fn sqlite_rows(
    sqlite: &rusqlite::Connection,
    question: &Question<'_>,
    most: usize,
) -> Result<Vec<Fields>, DatabaseError> {
    let mut statement = sqlite.prepare_cached(question.text)?;
    bind(&mut statement, question)?;
    let columns: Columns = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        let cells = (0..columns.len()).map(|index| row.get(index));
        let cells = cells.collect::<Result<Vec<Cell>, _>>()?;
        found.push(Fields::new(Columns::clone(&columns), cells));
    }
    Ok(found)
}

/// SQLite numbers `$2` by where it stands first, and we by what it says.
fn bind(statement: &mut Statement<'_>, question: &Question<'_>) -> Result<(), DatabaseError> {
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place);
        let number = name.and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| question.values.get(number.checked_sub(1)?));
        let Some(value) = value else {
            return Err(DatabaseError::Unbound(question.text));
        };
        match value {
            Bound::Text(text) => statement.raw_bind_parameter(place, text.as_deref())?,
            Bound::Number(number) => statement.raw_bind_parameter(place, number)?,
        }
    }
    Ok(())
}

type PostgresQuery = sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>;

fn postgres_query(question: Question<'_>) -> PostgresQuery {
    let query = sqlx::query(question.text);
    question
        .values
        .into_iter()
        .fold(query, |query, value| match value {
            Bound::Text(text) => query.bind(text.map(String::from)),
            Bound::Number(number) => query.bind(number),
        })
}

async fn postgres_execute(
    postgres: &mut PgConnection,
    question: Question<'_>,
) -> Result<u64, DatabaseError> {
    let done = postgres_query(question).execute(postgres).await?;
    Ok(done.rows_affected())
}

async fn postgres_rows(
    postgres: &mut PgConnection,
    question: Question<'_>,
) -> Result<Vec<Fields>, DatabaseError> {
    let rows = postgres_query(question).fetch_all(postgres).await?;
    let Some(first) = rows.first() else {
        return Ok(Vec::new());
    };
    let names = first
        .columns()
        .iter()
        .map(|column| column.name().to_owned());
    let columns: Columns = names.collect();
    let fields = |row: &PgRow| {
        let cells = (0..columns.len()).map(|index| postgres_cell(row, index));
        let cells = cells.collect::<Result<Vec<Cell>, sqlx::Error>>()?;
        Ok(Fields::new(Columns::clone(&columns), cells))
    };
    rows.iter().map(fields).collect()
}

/// `TEXT` or a whole number: the tables have nothing else.
fn postgres_cell(row: &PgRow, index: usize) -> Result<Cell, sqlx::Error> {
    let cell = match row.try_get::<Option<String>, _>(index) {
        Ok(text) => text.map(Cell::Text),
        Err(_) => row.try_get::<Option<i64>, _>(index)?.map(Cell::Number),
    };
    Ok(cell.unwrap_or(Cell::Null))
}
