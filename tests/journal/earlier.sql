-- A journal as the version of November 2026 wrote it.
PRAGMA application_id = 1650684024;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        run TEXT NOT NULL DEFAULT '',
        host TEXT NOT NULL DEFAULT '',
        rule TEXT NOT NULL DEFAULT '',
        action TEXT NOT NULL DEFAULT '',
        mode TEXT NOT NULL DEFAULT '',
        actor TEXT NOT NULL DEFAULT '',
        outcome TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '{}', panel_url TEXT NOT NULL DEFAULT '', panel_pin TEXT NOT NULL DEFAULT '', checksum TEXT NOT NULL DEFAULT '',
        -- Without a run an outcome would settle intents that it knows nothing of.
        CHECK (run != '' OR kind NOT IN ('intent', 'outcome'))
    );
INSERT INTO "entries" VALUES(1,1799800000.0,'intent','r1','mx1','purge','delete','enforce','rule','','About to delete 2 messages.','{"why": {"queue_frozen_messages > 1": 2.0}, "for_seconds": 300.0, "planned": 2, "reason": "few enough", "as_a_whole": false, "listed_at": 1.0, "verify": ["queue_frozen_messages < 1"]}','https://a.example.com:8000/api/api.php','aa','f2213d284798cbd1');
INSERT INTO "entries" VALUES(2,1799800001.0,'reply','r1','mx1','purge','delete','enforce','rule','done','Deleted.','{"id": "1abcde-000001-AB"}','https://a.example.com:8000/api/api.php','aa','0cdea2f796176433');
INSERT INTO "entries" VALUES(3,1799800010.0,'outcome','r1','mx1','purge','delete','enforce','rule','verify_failed','1 of 2 is gone.','{"planned": 2, "replies": {"done": 1, "failed": 1}, "gone": 1, "still_there": 1, "removed": 1}','https://a.example.com:8000/api/api.php','aa','cb8595b48acc8dbc');
INSERT INTO "entries" VALUES(4,1799950000.0,'intent','r2','mx1','purge','delete','enforce','rule','','About to delete 2 messages.','{"why": {"queue_frozen_messages > 1": 2.0}, "for_seconds": 300.0, "planned": 2, "reason": "few enough", "as_a_whole": false, "listed_at": 1.0, "verify": ["queue_frozen_messages < 1"]}','https://a.example.com:8000/api/api.php','aa','5f9161edce04d278');
INSERT INTO "entries" VALUES(5,1799950010.0,'outcome','r2','mx1','purge','delete','enforce','rule','ok','Stopped.','{"planned": 2, "replies": {"not_asked": 2}, "stopped_by": {"guard": "pause", "reason": "The pause file exists."}, "gone": 0, "still_there": 2, "removed": 0}','https://a.example.com:8000/api/api.php','aa','b5a4ba8a4574b8b6');
INSERT INTO "entries" VALUES(6,1799997000.0,'intent','r3','mx1','purge','delete','enforce','rule','','About to delete 2 messages.','{"why": {"queue_frozen_messages > 1": 2.0}, "for_seconds": 300.0, "planned": 2, "reason": "few enough", "as_a_whole": false, "listed_at": 1.0, "verify": ["queue_frozen_messages < 1"]}','https://a.example.com:8000/api/api.php','aa','c3c4205ad75894b3');
INSERT INTO "entries" VALUES(7,1799997010.0,'outcome','r3','mx1','purge','delete','enforce','rule','verify_failed','1 of 2 is gone.','{"planned": 2, "gone": 1, "removed": 1, "settled": true}','https://a.example.com:8000/api/api.php','aa','6ec45112ac2b0d8b');
INSERT INTO "entries" VALUES(8,1799999000.0,'approval_requested','a1','mx1','purge','delete','enforce','rule','','Asks to delete 2 messages.','{"why": {"queue_frozen_messages > 1": 2.0}, "planned": 2, "deed": "delete", "listed_at": 1799998990.0}','https://a.example.com:8000/api/api.php','aa','a301f8a4b282400e');
INSERT INTO "entries" VALUES(9,1799999001.0,'blocked','','mx1','purge','delete','enforce','rule','approval','It waits for a person to approve it.','{"queue_frozen_messages > 1": 2.0}','https://a.example.com:8000/api/api.php','aa','e5aabc14f2d6376b');
INSERT INTO "entries" VALUES(10,1799999002.0,'asked','','mx1','purge','delete','enforce','alertmanager:QueueFull','','Asked for by alertmanager:QueueFull.','{"alert": "QueueFull", "key": "k", "of": "f", "since": "2026-11-30T00:00:00Z"}','https://a.example.com:8000/api/api.php','aa','26bc6f33133932b0');
INSERT INTO "entries" VALUES(11,1799999100.0,'approved','a1','mx1','purge','delete','','person:anna','','Approved by anna.','{}','https://a.example.com:8000/api/api.php','aa','59f3dd3ccfe4b3b9');
INSERT INTO "entries" VALUES(12,1799999200.0,'stopped','','mx2','retry','delete','enforce','rule','','Stopped: 3 verifications in a row failed.','{}','','','75b1f4b3c4d8f539');
INSERT INTO "entries" VALUES(13,1799999300.0,'paused','','','','','','person:anna','','Paused by anna at 2027-01-15 07:48 UTC.','{}','','','9fe273b10cefdcce');
INSERT INTO "entries" VALUES(14,1799999400.0,'intent','r4','mx1','','delete','enforce','person:boris','','About to delete 1 message, by hand.','{"planned": 1, "reason": "", "as_a_whole": true, "listed_at": 1799999399.0}','https://a.example.com:8000/api/api.php','aa','a2d3d5ab539a74bf');
CREATE TABLE horizon (only INTEGER PRIMARY KEY CHECK (only = 1), before REAL);
INSERT INTO "horizon" VALUES(1,NULL);
CREATE TABLE messages (
        entry INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        sender TEXT,
        recipients TEXT,
        age REAL,
        size INTEGER,
        frozen INTEGER,
        PRIMARY KEY (entry, position)
    ) WITHOUT ROWID;
INSERT INTO "messages" VALUES(1,0,'1abcde-000001-AB','a@example.com','["b@example.org"]',7200.0,1024,1);
INSERT INTO "messages" VALUES(1,1,'1abcde-000002-AB',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "messages" VALUES(4,0,'1abcde-000001-AB','a@example.com','["b@example.org"]',7200.0,1024,1);
INSERT INTO "messages" VALUES(4,1,'1abcde-000002-AB',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "messages" VALUES(6,0,'1abcde-000001-AB','a@example.com','["b@example.org"]',7200.0,1024,1);
INSERT INTO "messages" VALUES(6,1,'1abcde-000002-AB',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "messages" VALUES(8,0,'1abcde-000001-AB','a@example.com','["b@example.org"]',7200.0,1024,1);
INSERT INTO "messages" VALUES(8,1,'1abcde-000002-AB',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "messages" VALUES(14,0,'1abcde-000001-AB','a@example.com','["b@example.org"]',7200.0,1024,1);
CREATE TABLE states (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
CREATE TABLE unsettled (entry INTEGER PRIMARY KEY REFERENCES entries (id), run TEXT NOT NULL);
INSERT INTO "unsettled" VALUES(14,'r4');
CREATE INDEX entries_of_a_rule ON entries (host, rule, kind);
CREATE INDEX entries_of_a_run ON entries (run, kind);
CREATE INDEX entries_by_kind ON entries (kind);
CREATE INDEX entries_by_time ON entries (at);
CREATE INDEX intents_of_a_rule ON entries (host, rule, at) WHERE kind = 'intent';
CREATE INDEX intents_of_rules ON entries (at) WHERE kind = 'intent' AND rule != '';
CREATE INDEX outcomes_of_a_rule ON entries (host, rule, outcome) WHERE kind = 'outcome';
CREATE INDEX unsettled_by_run ON unsettled (run);
CREATE TRIGGER an_intent_is_unsettled AFTER INSERT ON entries WHEN NEW.kind = 'intent'
        BEGIN INSERT INTO unsettled VALUES (NEW.id, NEW.run); END;
CREATE TRIGGER an_outcome_settles AFTER INSERT ON entries WHEN NEW.kind = 'outcome'
        BEGIN DELETE FROM unsettled WHERE run = NEW.run; END;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
        WHEN NOT ifnull(OLD.at < (SELECT before FROM horizon), 0)
            OR OLD.kind IN ('stopped', 'disabled', 'rule_resumed', 'paused', 'resumed')
            OR EXISTS (SELECT 1 FROM unsettled WHERE entry = OLD.id)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER entries_are_not_replaced BEFORE INSERT ON entries
        WHEN EXISTS (SELECT 1 FROM entries WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER messages_stay BEFORE UPDATE ON messages
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER messages_are_kept BEFORE DELETE ON messages
        WHEN EXISTS (SELECT 1 FROM entries WHERE id = OLD.entry)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER messages_come_with_their_entry BEFORE INSERT ON messages
        WHEN NEW.entry IS NOT (SELECT max(id) FROM entries) OR EXISTS (
            SELECT 1 FROM messages WHERE entry = NEW.entry AND position = NEW.position)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER the_unsettled_stay BEFORE UPDATE ON unsettled
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER only_an_outcome_settles BEFORE DELETE ON unsettled
        WHEN NOT EXISTS (SELECT 1 FROM entries WHERE run = OLD.run AND kind = 'outcome')
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE INDEX entries_of_a_panel ON entries (
        (CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END), rule, kind);
CREATE INDEX intents_of_a_panel ON entries (
        (CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END), rule, at)
        WHERE kind = 'intent';
CREATE INDEX outcomes_of_a_panel ON entries (
        (CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END), rule, outcome)
        WHERE kind = 'outcome';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('entries',14);
COMMIT;
