//! A directory as the folder of a bundle.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use crate::audit::export::Folder;

/// A directory.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// A directory that is there; [`Folder`] makes none.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Names are kept only once the directory is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Folder for Directory {
    type Reader = File;
    type Writer = BufWriter<File>;

    fn create(&self, name: &str) -> io::Result<Self::Writer> {
        File::create(self.0.join(name)).map(BufWriter::new)
    }

    fn keep(&self, mut file: Self::Writer) -> io::Result<()> {
        file.flush()?;
        file.get_ref().sync_all()
    }

    fn open(&self, name: &str) -> io::Result<Option<File>> {
        match File::open(self.0.join(name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.sync()?;
        std::fs::rename(self.0.join(from), self.0.join(to))?;
        self.sync()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn files_are_written_read_and_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Directory::new(directory.path().to_owned());
        assert!(folder.open("a").unwrap().is_none());
        for text in ["longer", "text"] {
            let mut file = folder.create("a").unwrap();
            file.write_all(text.as_bytes()).unwrap();
            folder.keep(file).unwrap();
        }
        folder.rename("a", "b").unwrap();
        let mut text = String::new();
        folder.open("b").unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(folder.open("a").unwrap().is_none());
        let elsewhere = Directory::new(directory.path().join("none"));
        assert!(elsewhere.create("a").is_err() && elsewhere.open("a").unwrap().is_none());
    }
}
