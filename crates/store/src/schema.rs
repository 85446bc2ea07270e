//! The tables, as numbered steps that run once each.
//!
//! The text is portable: `TEXT` and `BIGINT` only, no defaults, no sequences,
//! no triggers. A step that has run is never edited; a change is a new step.
//! A database from a newer program is refused, not guessed at.

use crate::{Tx, database::Connections, error::StoreError, question::query};

const VERSIONS: &str = "
    CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)";

const FOUND: &str = "SELECT COALESCE(MAX(version), 0) AS number FROM schema_version";

const RECORD: &str = "INSERT INTO schema_version (version) VALUES ($1)";

/// Step `n` leads from version `n` to `n + 1`.
const STEPS: [&[&str]; 10] = [
    FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, EIGHTH, NINTH, TENTH,
];

const FIRST: &[&str] = &[
    "CREATE TABLE station_user (
        name TEXT PRIMARY KEY,
        admin BIGINT NOT NULL,
        at_ms BIGINT NOT NULL)",
    "CREATE TABLE token (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL REFERENCES station_user (name),
        label TEXT NOT NULL,
        secret_hash TEXT NOT NULL UNIQUE,
        at_ms BIGINT NOT NULL,
        until_ms BIGINT,
        revoked BIGINT NOT NULL)",
    "CREATE INDEX token_by_owner ON token (owner, id)",
    "CREATE TABLE blob_owner (
        owner TEXT NOT NULL REFERENCES station_user (name),
        digest TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        PRIMARY KEY (owner, digest))",
    "CREATE TABLE tree (
        digest TEXT PRIMARY KEY,
        content TEXT NOT NULL)",
    "CREATE TABLE dataset_version (
        owner TEXT NOT NULL REFERENCES station_user (name),
        name TEXT NOT NULL,
        number BIGINT NOT NULL,
        version TEXT NOT NULL,
        parent TEXT,
        tree TEXT NOT NULL REFERENCES tree (digest),
        message TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        file_count BIGINT NOT NULL,
        size_bytes BIGINT NOT NULL,
        PRIMARY KEY (owner, name, number),
        UNIQUE (owner, name, version))",
    "CREATE INDEX dataset_version_by_digest ON dataset_version (version)",
    "CREATE TABLE function_content (
        version TEXT PRIMARY KEY,
        tree TEXT NOT NULL REFERENCES tree (digest),
        manifest TEXT NOT NULL)",
    "CREATE TABLE function_version (
        owner TEXT NOT NULL REFERENCES station_user (name),
        name TEXT NOT NULL,
        number BIGINT NOT NULL,
        version TEXT NOT NULL REFERENCES function_content (version),
        message TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        PRIMARY KEY (owner, name, number))",
    "CREATE INDEX function_version_by_digest ON function_version (version)",
    "CREATE TABLE plan (
        digest TEXT PRIMARY KEY,
        content TEXT NOT NULL)",
    "CREATE TABLE request (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        caller TEXT NOT NULL REFERENCES station_user (name),
        run TEXT NOT NULL UNIQUE,
        function TEXT,
        function_version TEXT NOT NULL,
        plan TEXT NOT NULL REFERENCES plan (digest),
        inputs TEXT NOT NULL,
        purpose TEXT NOT NULL,
        at_ms BIGINT NOT NULL)",
    "CREATE INDEX request_by_caller ON request (caller, id)",
    "CREATE INDEX request_by_state ON request (state, at_ms)",
    "CREATE TABLE approval (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL REFERENCES station_user (name),
        caller TEXT NOT NULL REFERENCES station_user (name),
        request TEXT NOT NULL REFERENCES request (id),
        scope TEXT NOT NULL,
        limits_max TEXT NOT NULL,
        uses_left BIGINT,
        until_ms BIGINT,
        revoked BIGINT NOT NULL,
        at_ms BIGINT NOT NULL)",
    "CREATE INDEX approval_by_owner ON approval (owner, caller, revoked)",
    "CREATE TABLE verdict (
        request TEXT NOT NULL REFERENCES request (id),
        owner TEXT NOT NULL REFERENCES station_user (name),
        answer TEXT NOT NULL,
        approval TEXT REFERENCES approval (id),
        content TEXT NOT NULL,
        PRIMARY KEY (request, owner))",
    "CREATE INDEX verdict_by_owner ON verdict (owner, answer, request)",
    "CREATE INDEX verdict_by_approval ON verdict (approval)",
    "CREATE TABLE run (
        id TEXT PRIMARY KEY,
        request TEXT NOT NULL UNIQUE REFERENCES request (id),
        caller TEXT NOT NULL REFERENCES station_user (name),
        kind TEXT NOT NULL,
        plan TEXT NOT NULL REFERENCES plan (digest),
        state TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        started_ms BIGINT,
        ended_ms BIGINT,
        boot TEXT,
        cancel_by TEXT,
        reason TEXT,
        usage TEXT,
        value TEXT,
        files TEXT,
        enforced TEXT)",
    "CREATE INDEX run_by_state ON run (state, caller, id)",
    "CREATE INDEX run_by_caller ON run (caller, id)",
    "CREATE TABLE idempotency (
        caller TEXT NOT NULL REFERENCES station_user (name),
        label TEXT NOT NULL,
        body TEXT NOT NULL,
        run TEXT NOT NULL REFERENCES run (id),
        PRIMARY KEY (caller, label))",
    "CREATE TABLE log_chunk (
        run TEXT NOT NULL REFERENCES run (id),
        seq_first BIGINT NOT NULL,
        seq_last BIGINT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (run, seq_last))",
    "CREATE TABLE rule (
        owner TEXT PRIMARY KEY REFERENCES station_user (name),
        content TEXT NOT NULL,
        at_ms BIGINT NOT NULL)",
    "CREATE TABLE audit (
        seq BIGINT PRIMARY KEY,
        at_ms BIGINT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        chain TEXT NOT NULL)",
    "CREATE TABLE audit_party (
        party TEXT NOT NULL,
        seq BIGINT NOT NULL REFERENCES audit (seq),
        PRIMARY KEY (party, seq))",
];

/// Whose database it is.
const SECOND: &[&str] = &["CREATE TABLE home (
        identity TEXT PRIMARY KEY)"];

/// The runtimes that somebody added.
const THIRD: &[&str] = &["CREATE TABLE runtime (
        name TEXT PRIMARY KEY,
        tree TEXT NOT NULL REFERENCES tree (digest),
        author TEXT NOT NULL REFERENCES station_user (name),
        at_ms BIGINT NOT NULL)"];

/// What versions say of themselves, where they come from, and what was found
/// by reading their bodies.
const FOURTH: &[&str] = &[
    "ALTER TABLE dataset_version ADD COLUMN says TEXT",
    "ALTER TABLE dataset_version ADD COLUMN title TEXT",
    "CREATE TABLE dataset_says (
        digest TEXT PRIMARY KEY,
        content TEXT NOT NULL)",
    "CREATE TABLE dataset_origin (
        version TEXT NOT NULL,
        owner TEXT NOT NULL REFERENCES station_user (name),
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        PRIMARY KEY (version, owner, name, origin))",
    "CREATE INDEX dataset_origin_by_name ON dataset_origin (owner, name, version)",
    "CREATE TABLE profile (
        body TEXT NOT NULL,
        reading TEXT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (body, reading))",
];

/// The stages of runs, who lets data be exposed, and what inputs were made of.
const FIFTH: &[&str] = &[
    "CREATE TABLE run_stage (
        run TEXT NOT NULL REFERENCES run (id),
        stage TEXT NOT NULL,
        number BIGINT NOT NULL,
        started_ms BIGINT NOT NULL,
        log_before BIGINT NOT NULL,
        ended_ms BIGINT,
        reason TEXT,
        usage TEXT,
        value_digest TEXT,
        value_bytes BIGINT,
        value TEXT,
        PRIMARY KEY (run, stage))",
    "ALTER TABLE approval ADD COLUMN expose BIGINT",
    "ALTER TABLE request ADD COLUMN labels TEXT",
];

/// Users' secrets, and what runs asked of the network.
const SIXTH: &[&str] = &[
    "CREATE TABLE secret (
        owner TEXT NOT NULL REFERENCES station_user (name),
        name TEXT NOT NULL,
        sealed TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        PRIMARY KEY (owner, name))",
    "CREATE TABLE request_made (
        run TEXT NOT NULL REFERENCES run (id),
        number BIGINT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (run, number))",
];

/// Versions that runs are to make.
const SEVENTH: &[&str] = &[
    "CREATE TABLE transform (
        run TEXT PRIMARY KEY REFERENCES run (id),
        owner TEXT NOT NULL REFERENCES station_user (name),
        name TEXT NOT NULL,
        parent TEXT,
        mode TEXT NOT NULL,
        title TEXT NOT NULL,
        message TEXT NOT NULL,
        is_open BIGINT NOT NULL,
        outcome TEXT)",
    "CREATE INDEX transform_by_open ON transform (is_open, run)",
];

/// The runs whose work a version took over from another one.
const EIGHTH: &[&str] = &["CREATE TABLE dataset_maker (
        version TEXT NOT NULL,
        run TEXT NOT NULL,
        PRIMARY KEY (version, run))"];

/// Where in the record rules were put, and where it was when they were asked.
/// What was asked before this step is always judged anew.
const NINTH: &[&str] = &[
    "ALTER TABLE rule ADD COLUMN put_seq BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE request ADD COLUMN asked_seq BIGINT NOT NULL DEFAULT -1",
];

/// Where in the record an approval was given. One from before this step was
/// given before all rules, as far as anybody knows.
const TENTH: &[&str] = &["ALTER TABLE approval ADD COLUMN given_seq BIGINT NOT NULL DEFAULT -1"];

/// Brings the tables to what this program knows.
pub(crate) async fn migrate(connections: &Connections) -> Result<(), StoreError> {
    let attempt = "prepare the database's tables";
    connections
        .change(attempt, |tx| Box::pin(async move { steps(tx).await }))
        .await
}

async fn steps(tx: &mut Tx) -> Result<(), StoreError> {
    tx.execute(query(VERSIONS)).await?;
    let found = tx.count(query(FOUND)).await?;
    let known = STEPS.len() as i64;
    if known < found {
        return Err(StoreError::Newer { found, known });
    }
    for (step, version) in STEPS.iter().zip(1i64..) {
        if version <= found {
            continue;
        }
        for statement in *step {
            tx.execute(query(statement)).await?;
        }
        tx.execute(query(RECORD).bind(version)).await?;
    }
    Ok(())
}
