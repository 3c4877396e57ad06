//! What was acknowledged outlives the process, and a disk that is full is no end.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use weir_core::durable::{AppendError, Appended, From, StreamStore};
use weir_log::{EmbeddedStreams, Engine, OpenError, Place, StreamLimits};
use weir_testkit::stream_suite::ask::{Stream, append, name, stream, text};
use weir_testkit::{DEADLINE, eventually};

/// Set where a test has started itself again; says where the files are.
const INSIDE: &str = "WEIR_TEST_DIR";

fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// This test again, in a process of its own.
fn again(mut command: Command, this: &str, dir: &Path) -> Command {
    command.args(["--exact", this, "--nocapture"]).env(INSIDE, dir);
    command
}

/// A process that would not end by itself. It ends with the test, however that ends.
struct Appending(Child);

impl Drop for Appending {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn open(dir: &Path) -> Arc<EmbeddedStreams> {
    let engine = Engine::open(Place::Directory(dir.to_owned())).unwrap();
    EmbeddedStreams::open(engine, StreamLimits::default()).unwrap()
}

/// Eight append at once until they are killed, and each says which of its appends were acknowledged. All of these are there
/// afterwards, in order, and nothing that was never sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_has_lost_nothing_that_was_acknowledged() {
    const THIS: &str = "a_killed_process_has_lost_nothing_that_was_acknowledged";
    const WRITERS: usize = 8;
    const ENOUGH: usize = 1000;
    if let Some(dir) = inside() {
        let streams = open(&dir);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(Arc::clone(&streams), writer));
        }
        writers.join_all().await;
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = [0; WRITERS];
    for life in 1..=3 {
        let mut command = again(Command::new(std::env::current_exe().unwrap()), THIS, dir.path());
        let mut process = Appending(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ours = |line: String| {
            let (writer, count) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
            Some((writer.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
        };
        for (writer, count) in lines.by_ref().filter_map(ours).take(ENOUGH) {
            acknowledged[writer] = count;
        }
        process.0.kill().unwrap();
        // What it had said before it died counts too.
        for (writer, count) in lines.filter_map(ours) {
            acknowledged[writer] = count;
        }
        drop(process);

        let streams = open(dir.path());
        for (writer, count) in acknowledged.iter_mut().enumerate() {
            let its = writer.to_string();
            let texts = stream(&*streams, &its).texts().await;
            assert!(
                texts.len() >= *count,
                "life {life}: {count} were acknowledged, {} are there",
                texts.len()
            );
            assert!(
                texts.iter().enumerate().all(|(n, text)| *text == format!("{writer}/{n}")),
                "life {life}"
            );
            *count = texts.len();
        }
        drop(streams);
    }
}

async fn write(streams: Arc<EmbeddedStreams>, writer: usize) {
    let its = writer.to_string();
    let s = stream(&*streams, &its);
    s.create(&text()).await.unwrap();
    let mut count = s.texts().await.len();
    loop {
        s.add(&format!("{writer}/{count}")).await;
        count += 1;
        // One write, so that a line is whole or not there.
        let line = format!("acknowledged {writer} {count}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

/// Appends are refused, what is there is read, and when there is room again it goes on without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_no_end() {
    const THIS: &str = "a_full_disk_is_no_end";
    if let Some(disk) = inside() {
        return fill_up(&disk).await;
    }
    let disk = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    if !rustix_is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let mount = r#"mount -t tmpfs -o size=24m none "$WEIR_TEST_DIR" && exec "$0" "$@""#;
    command.args(["--mount", "sh", "-c", mount]).arg(std::env::current_exe().unwrap());
    let done = again(command, THIS, disk.path()).output().expect("unshare (util-linux) is installed");
    assert!(
        done.status.success(),
        "no disk of its own, or it failed there: run as root, in a container with --cap-add SYS_ADMIN, or after `sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0`: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
}

fn rustix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|its| std::os::unix::fs::MetadataExt::uid(&its) == 0)
}

async fn fill_up(disk: &Path) {
    let balloon = disk.join("balloon");
    std::fs::write(&balloon, vec![1; 8 << 20]).unwrap();
    let streams = open(disk);
    let s = stream(&*streams, "s");
    s.make(&text()).await;
    let mut taken = 0;
    for round in 0..2 {
        let large = "x".repeat(100_000);
        while add(s, &large, &mut taken).await {
            assert!(taken < 1000, "the disk is never full");
        }
        for _ in 0..3 {
            // Smaller ones may still fit.
            add(s, "small", &mut taken).await;
            assert_eq!(count(&streams).await, taken, "round {round}: what is there can be read");
        }
        std::fs::OpenOptions::new()
            .write(true)
            .open(&balloon)
            .unwrap()
            .set_len((4 << 20) * (1 - round))
            .unwrap();
        eventually(DEADLINE, async || {
            let before = taken;
            add(s, &large, &mut taken).await;
            anyhow::ensure!(taken > before);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(count(&streams).await, taken);
    }
    drop(streams);
    let streams = open(disk);
    assert_eq!(count(&streams).await, taken, "all that was acknowledged, and nothing that was refused");
}

/// Whether it was taken; the only other answer is that there is no room.
async fn add(s: Stream<'_>, text: &str, taken: &mut usize) -> bool {
    match s.append(&append(text)).await {
        Ok(Appended::Written { .. }) => {
            *taken += 1;
            true
        }
        Err(AppendError::Full(_)) => false,
        other => panic!("{other:?}"),
    }
}

async fn count(streams: &EmbeddedStreams) -> usize {
    streams.read(&name("s"), From::Begin, usize::MAX).await.unwrap().chunks.len()
}

/// Two processes, or two instances of one, never share a file; a newer version's, a damaged one and a place that cannot be
/// written are told apart.
#[test]
fn what_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &Path| Engine::open(Place::Directory(path.to_owned()));
    let first = at(dir.path()).unwrap();
    assert!(matches!(at(dir.path()), Err(OpenError::InUse(_))));
    drop(first);
    drop(at(dir.path()).unwrap());

    let file = dir.path().join("weir.redb");
    {
        let database = redb::Database::create(&file).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(redb::TableDefinition::<&str, u64>::new("weir"))
            .unwrap()
            .insert("format", 99)
            .unwrap();
        txn.commit().unwrap();
    }
    let newer = at(dir.path()).unwrap_err();
    assert!(matches!(newer, OpenError::Newer { format: 99, .. }), "{newer}");

    for damage in [b"no database at all".to_vec(), vec![0; 1 << 20], vec![0xff; 5000]] {
        std::fs::write(&file, damage).unwrap();
        let damaged = at(dir.path()).unwrap_err();
        assert!(matches!(damaged, OpenError::Damaged(..)), "{damaged:?}");
    }
    let under_a_file = at(&file.join("below"));
    assert!(matches!(under_a_file, Err(OpenError::Directory(..))));
}
