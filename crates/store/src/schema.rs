//! The tables. A store says its version in `user_version`, and that it is ours in `application_id`.

use rusqlite::Connection;

/// The schema that this program writes: so many of the [`STEPS`].
pub const VERSION: u32 = 4;

/// The first version with an audit log.
pub(crate) const AUDITED: u32 = 3;

/// "dorm"
pub(crate) const APPLICATION: i32 = 0x646f_726d;

/// Each takes a store from one version to the next; the first makes it. A step that was released never changes.
const STEPS: [&str; VERSION as usize] = [FIRST, DEMAND, AUDIT, FENCES];

const FIRST: &str = "
CREATE TABLE lead (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    cluster TEXT    NOT NULL,
    epoch   INTEGER NOT NULL CHECK (epoch >= 0),
    who     TEXT    NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
CREATE TABLE intents (
    id          INTEGER NOT NULL PRIMARY KEY,
    epoch       INTEGER NOT NULL,
    plan        INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    action      TEXT    NOT NULL CHECK (action IN ('migrate', 'wake', 'sleep', 'start', 'stop')),
    host        TEXT    NOT NULL,
    dest        TEXT    CHECK ((action = 'migrate') = (dest IS NOT NULL)),
    vm          TEXT    CHECK ((action IN ('wake', 'sleep')) = (vm IS NULL)),
    deadline_ms INTEGER NOT NULL,
    written_ms  INTEGER NOT NULL,
    sum         INTEGER NOT NULL
) STRICT;
CREATE TABLE outcomes (
    intent  INTEGER NOT NULL PRIMARY KEY REFERENCES intents (id) ON DELETE CASCADE,
    outcome TEXT    NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
CREATE TABLE memory (
    kind  TEXT    NOT NULL CHECK (kind IN ('host', 'vm', 'setting')),
    key   TEXT    NOT NULL,
    value TEXT    NOT NULL,
    sum   INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    seq    INTEGER NOT NULL PRIMARY KEY,
    at_ms  INTEGER NOT NULL,
    level  TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    fields TEXT    NOT NULL
) STRICT;
CREATE TRIGGER only_the_leader_writes BEFORE INSERT ON intents
WHEN new.epoch <> (SELECT epoch FROM lead)
BEGIN SELECT raise(ABORT, 'fenced'); END;
CREATE TRIGGER epochs_rise BEFORE UPDATE OF epoch ON lead
WHEN new.epoch <= old.epoch
BEGIN SELECT raise(ABORT, 'epoch does not rise'); END;
CREATE TRIGGER intents_stay BEFORE UPDATE ON intents
BEGIN SELECT raise(ABORT, 'an intent does not change'); END;
CREATE TRIGGER outcomes_stay BEFORE UPDATE ON outcomes
BEGIN SELECT raise(ABORT, 'an outcome does not change'); END;
CREATE TRIGGER open_intents_stay BEFORE DELETE ON intents
WHEN NOT EXISTS (SELECT 1 FROM outcomes WHERE intent = old.id)
BEGIN SELECT raise(ABORT, 'an open intent is not forgotten'); END;
";

/// What VMs needed. Rows of one span lie side by side, so that a batch is one page and forgetting one more.
const DEMAND: &str = "
CREATE TABLE demand (
    roll_up TEXT    NOT NULL CHECK (roll_up IN ('five-minutes', 'hour')),
    start_s INTEGER NOT NULL,
    vm      TEXT    NOT NULL,
    secs    INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    mean    INTEGER NOT NULL,
    max     INTEGER NOT NULL,
    mem     INTEGER NOT NULL,
    levels  TEXT    NOT NULL,
    sum     INTEGER NOT NULL,
    PRIMARY KEY (roll_up, start_s, vm)
) STRICT, WITHOUT ROWID;
";

/// The audit log. Lines come one after the other, never change, and only the oldest go.
const AUDIT: &str = "
CREATE TABLE audit (
    seq   INTEGER NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    entry TEXT    NOT NULL,
    prev  TEXT    NOT NULL,
    hash  TEXT    NOT NULL
) STRICT;
CREATE TRIGGER audit_has_no_gap BEFORE INSERT ON audit
WHEN new.seq <> (SELECT max(seq) + 1 FROM audit)
BEGIN SELECT raise(ABORT, 'a line of the audit log does not follow the one before'); END;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'a line of the audit log does not change'); END;
CREATE TRIGGER audit_keeps_its_end BEFORE DELETE ON audit
WHEN old.seq > (SELECT max(seq) - 100000 FROM audit)
BEGIN SELECT raise(ABORT, 'a line of the audit log is not forgotten so soon'); END;
";

/// An intent may be to prove a host off. A rule of a table cannot be changed, so both tables are made anew, with what was in
/// them; their triggers are those of the first version.
const FENCES: &str = "
DROP TRIGGER only_the_leader_writes;
DROP TRIGGER intents_stay;
DROP TRIGGER outcomes_stay;
DROP TRIGGER open_intents_stay;
ALTER TABLE outcomes RENAME TO old_outcomes;
ALTER TABLE intents RENAME TO old_intents;
CREATE TABLE intents (
    id          INTEGER NOT NULL PRIMARY KEY,
    epoch       INTEGER NOT NULL,
    plan        INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    action      TEXT    NOT NULL CHECK (action IN ('migrate', 'wake', 'sleep', 'start', 'stop', 'fence')),
    host        TEXT    NOT NULL,
    dest        TEXT    CHECK ((action = 'migrate') = (dest IS NOT NULL)),
    vm          TEXT    CHECK ((action IN ('wake', 'sleep', 'fence')) = (vm IS NULL)),
    deadline_ms INTEGER NOT NULL,
    written_ms  INTEGER NOT NULL,
    sum         INTEGER NOT NULL
) STRICT;
CREATE TABLE outcomes (
    intent  INTEGER NOT NULL PRIMARY KEY REFERENCES intents (id) ON DELETE CASCADE,
    outcome TEXT    NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
INSERT INTO intents SELECT * FROM old_intents;
INSERT INTO outcomes SELECT * FROM old_outcomes;
DROP TABLE old_outcomes;
DROP TABLE old_intents;
CREATE TRIGGER only_the_leader_writes BEFORE INSERT ON intents
WHEN new.epoch <> (SELECT epoch FROM lead)
BEGIN SELECT raise(ABORT, 'fenced'); END;
CREATE TRIGGER intents_stay BEFORE UPDATE ON intents
BEGIN SELECT raise(ABORT, 'an intent does not change'); END;
CREATE TRIGGER outcomes_stay BEFORE UPDATE ON outcomes
BEGIN SELECT raise(ABORT, 'an outcome does not change'); END;
CREATE TRIGGER open_intents_stay BEFORE DELETE ON intents
WHEN NOT EXISTS (SELECT 1 FROM outcomes WHERE intent = old.id)
BEGIN SELECT raise(ABORT, 'an open intent is not forgotten'); END;
";

/// From one version to the present one.
pub(crate) fn bring_up(db: &Connection, from: u32) -> rusqlite::Result<()> {
    STEPS.iter().skip(from as usize).try_for_each(|step| db.execute_batch(step))?;
    db.pragma_update(None, "user_version", VERSION)
}

/// Every table and trigger with its text, to compare a store with what it should be.
pub(crate) fn objects(db: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    db.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The same for a store as the program of that version would make it.
pub(crate) fn expected(version: u32) -> rusqlite::Result<Vec<(String, String)>> {
    let db = Connection::open_in_memory()?;
    STEPS.iter().take(version as usize).try_for_each(|step| db.execute_batch(step))?;
    objects(&db)
}
