-- A store as version 1 of the schema left it.
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
INSERT INTO lead VALUES (1, '00000000-0000-4000-8000-00000000beef', 1, 'test', 42097142);
INSERT INTO intents VALUES (1, 1, 3, 1, 'migrate', 'lab07', 'lab01', '00000000-0000-0000-0000-000000000007', 60000, 1795000000000, 1298497431);
INSERT INTO intents VALUES (2, 1, 3, 1, 'sleep', 'lab07', NULL, NULL, 60000, 1795000000000, 1734558864);
INSERT INTO outcomes VALUES (1, '{"done":{"downtime":21}}', 2161614714);
INSERT INTO memory VALUES ('host', 'lab07', '{"state":"stopping"}', 1074979911);
INSERT INTO memory VALUES ('vm', 'pc07', '{"at":"lab01"}', 2701300592);
INSERT INTO events VALUES (1, 5, 'info', 'plan.over', '[]');
PRAGMA application_id = 1685025389;
PRAGMA user_version = 1;
