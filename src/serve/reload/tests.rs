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
            if text == "broken" {
                return Err(FileError::BadPem(config.watched).into());
            }
            seen.lock().unwrap().push((config.limit, text));
            Ok(config.limit)
        };
        let source = Source::file(&folder.path().join("config.toml"));
        let task = tokio::spawn(follow(source, |config: &Sample| vec![config.watched.clone()], asked, apply));
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

/// As careful operators do: the new file takes the old one's place at once.
fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_loaded_and_a_broken_one_is_not() {
    let running = Running::start();
    tokio::time::sleep(LOOK + LOOK / 2).await;
    running.placed(&[]).await;
    running.write("one", "better");
    running.placed(&[(1, "better")]).await;
    running.write("one", "broken");
    tokio::time::sleep(LOOK * 3).await;
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
