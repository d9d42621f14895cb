use std::path::Path;
use std::sync::Mutex;

use serde::Deserialize;

use super::*;
use crate::config::PathKey;

#[derive(Clone, Deserialize)]
struct Sample {
    watched: PathBuf,
    limit: usize,
}

impl Config for Sample {
    fn paths(&mut self) -> Vec<PathKey<'_>> {
        vec![PathKey { key: "watched", path: &mut self.watched, must_exist: None }]
    }
}

/// What was put in place: the limit, and what stands in the file that is named.
type Placed = Arc<Mutex<Vec<(usize, String)>>>;

struct Running {
    folder: tempfile::TempDir,
    placed: Placed,
    asker: Asker,
    _task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one", "good");
        write(folder.path(), "config.toml", "watched = \"one\"\nlimit = 1\n");
        let (placed, (asker, asked)) = (Placed::default(), Asker::new());
        let seen = Arc::clone(&placed);
        let apply = move |config: Sample| {
            let text = std::fs::read_to_string(&config.watched).unwrap_or_default();
            let early = text == "good later" && !config.watched.with_extension("begun").exists();
            if text == "broken" || early {
                return Err(FileError::BadPem(config.watched).into());
            }
            seen.lock().unwrap().push((config.limit, text));
            Ok(config.limit)
        };
        let source = Source::file(&folder.path().join("config.toml"));
        let mut watched = Watched::of(&source, |config: &Sample| vec![config.watched.clone()]);
        watched.again = AFTER;
        let task = tokio::spawn(follow(watched, asked, apply));
        Self { folder, placed, asker, _task: task }
    }

    fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    async fn placed(&self, expected: &[(usize, &str)]) {
        let expected: Vec<(usize, String)> =
            expected.iter().map(|(limit, text)| (*limit, (*text).to_owned())).collect();
        for _ in 0..100 {
            if *self.placed.lock().unwrap() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(*self.placed.lock().unwrap(), expected);
    }
}

/// Longer than anything waits here.
const REST: Duration = Duration::from_millis(2500);

/// When what can't be used is tried again.
const AFTER: Duration = Duration::from_secs(4);

/// As careful operators do: the new file takes the old one's place at once.
fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_loaded_and_a_broken_one_is_not() {
    let running = Running::start();
    tokio::time::sleep(REST).await;
    running.placed(&[]).await;
    running.write("one", "better");
    running.placed(&[(1, "better")]).await;
    running.write("one", "broken");
    tokio::time::sleep(REST).await;
    running.placed(&[(1, "better")]).await;
    running.write("one", "mended");
    running.placed(&[(1, "better"), (1, "mended")]).await;
    running.write("config.toml", "watched = \"two\"\nlimit = 2\n");
    running.placed(&[(1, "better"), (1, "mended"), (2, "")]).await;
    running.write("two", "there");
    running.placed(&[(1, "better"), (1, "mended"), (2, ""), (2, "there")]).await;
}

#[tokio::test]
async fn whoever_asks_is_told_what_came_of_it() {
    let running = Running::start();
    assert_eq!(running.asker.ask().await, Ok(1));
    running.write("one", "broken");
    let why = running.asker.ask().await.unwrap_err();
    assert!(why.contains("damaged PEM"), "{why}");
    running.write("config.toml", "limit = \"none\"\n");
    let why = running.asker.ask().await.unwrap_err();
    assert!(why.contains("config.toml"), "{why}");
    running.placed(&[(1, "good")]).await;
}

/// Who is on a new list is cut within a second (guarantee G7): most of it is for the sweep that follows.
#[tokio::test]
async fn a_changed_file_acts_within_a_second() {
    let running = Running::start();
    for nth in 1..=5 {
        let text = format!("list {nth}");
        running.write("one", &text);
        let start = std::time::Instant::now();
        while running.placed.lock().unwrap().last().is_none_or(|(_, last)| *last != text) {
            assert!(start.elapsed() < Duration::from_millis(900), "not in force after {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(running.placed.lock().unwrap().len(), 5, "each once");
}

/// A list that comes over a slow line into its place, and not beside it as it should.
#[tokio::test]
async fn what_is_being_written_does_not_count() {
    use std::io::Write as _;
    let running = Running::start();
    let mut file = std::fs::File::create(running.folder.path().join("one")).unwrap();
    for _ in 0..8 {
        file.write_all(b"piece ").unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    running.placed(&[]).await;
    drop(file);
    running.placed(&[(1, "piece ".repeat(8).as_str())]).await;
}

/// A certificate whose key comes a moment later.
#[tokio::test]
async fn what_does_not_fit_yet_is_tried_again() {
    let running = Running::start();
    running.write("one", "broken");
    tokio::time::sleep(Duration::from_millis(1000)).await;
    running.write("one", "whole");
    running.placed(&[(1, "whole")]).await;
}

/// A certificate that begins tomorrow; also where the configuration came to name it just now.
#[tokio::test]
async fn what_becomes_good_without_a_change_is_loaded() {
    for names_it_anew in [false, true] {
        let running = Running::start();
        let name = if names_it_anew { "two" } else { "one" };
        running.write(name, "good later");
        running.write("config.toml", &format!("watched = {name:?}\nlimit = 3\n"));
        tokio::time::sleep(REST).await;
        running.placed(&[]).await;
        running.write(&format!("{name}.begun"), "");
        running.placed(&[(3, "good later")]).await;
        tokio::time::sleep(AFTER + REST).await;
        running.placed(&[(3, "good later")]).await;
    }
}
