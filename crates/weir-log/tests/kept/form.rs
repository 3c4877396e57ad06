//! The file as it is written, spelt out by hand.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableDefinition};
use weir_core::log::EventLog as _;
use weir_core::name::Session;
use weir_log::embedded::LoadError;
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{events, loaded, plain};

use super::{Hands, START_MS, config, open};

const FILE: &str = "weir.redb";

type Row<'a> = (u8, u64, u64, &'a str, &'a str, &'a str, &'a str);

const FACTS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("events.facts");
const ENTRIES: TableDefinition<'_, (u64, u64), Row<'_>> = TableDefinition::new("events.entries");

fn change(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let file = Database::create(dir.join(FILE)).unwrap();
    let writing = file.begin_write().unwrap();
    change(&writing);
    writing.commit().unwrap();
}

/// What version 1 has written is read for ever.
#[tokio::test]
async fn a_file_of_form_1_is_read() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    drop(open(dir.path(), config(Limits::default()), &hands).unwrap());
    change(dir.path(), |file| {
        let mut entries = file.open_table(ENTRIES).unwrap();
        entries.insert((START_MS, 3), (0, 5, 60, "s", "t", "k", "a\nb")).unwrap();
        file.open_table(FACTS).unwrap().insert("newest", (START_MS, 9)).unwrap();
    });
    let log = open(dir.path(), config(Limits::default()), &hands).unwrap();
    let mut reader = log.reader();
    let load = loaded(&mut reader).await;
    let [entry] = &load.entries[..] else { panic!("{load:?}") };
    let weir_core::entry::Content::Event(event) = &entry.content else { panic!("{entry:?}") };
    let parts = (event.id.to_string(), event.ts, event.snapshot, event.data());
    assert_eq!(parts, (format!("{START_MS}-3"), 5, Some(60), "a\nb"));
    assert_eq!(event.session, Session::parse("s").unwrap());
    // Ids that were given once are not given again, whether or not their entries are left.
    log.append(&[plain("new")], None).await.unwrap();
    assert_eq!(events(&mut reader, 1).await[0].id.to_string(), format!("{START_MS}-10"));
    drop((reader, log));
    let file = Database::create(dir.path().join(FILE)).unwrap();
    let rows = file.begin_read().unwrap().open_table(ENTRIES).unwrap();
    let row = rows.get((START_MS, 10)).unwrap().unwrap();
    assert_eq!(row.value(), (0, START_MS, 0, plain("").session.as_str(), "", "", "new"));
}

#[tokio::test]
async fn another_form_is_refused() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    drop(open(dir.path(), config(Limits::default()), &hands).unwrap());
    change(dir.path(), |file| {
        file.open_table(FACTS).unwrap().insert("form", (2, 0)).unwrap();
    });
    let error = open(dir.path(), config(Limits::default()), &hands).unwrap_err();
    assert!(matches!(error, LoadError::Form { found: 2 }), "{error:?}");
    assert!(error.to_string().contains("start the version that wrote it, or a newer one"), "{error}");
}

/// A row that was not written by weir, or not as it is.
#[tokio::test]
async fn a_row_that_makes_no_sense_is_refused() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    drop(open(dir.path(), config(Limits::default()), &hands).unwrap());
    change(dir.path(), |file| {
        file.open_table(ENTRIES).unwrap().insert((1, 1), (9, 0, 0, "s", "", "", "x")).unwrap();
    });
    let error = open(dir.path(), config(Limits::default()), &hands).unwrap_err();
    assert!(error.to_string().contains("makes no sense"), "{error}");
}
