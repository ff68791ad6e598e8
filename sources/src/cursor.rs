//! Cursors: how far a source that is asked, and does not send, was read.
//!
//! Invariant: a cursor is moved after what it covers is acknowledged, never before; a crash
//! between the two reads something again, and the ledger counts it once.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The longest cursor, in bytes; a cursor is a position and never data.
pub const CURSOR_BYTES_MAX: u64 = 1 << 20;

/// The cursors of a state, one file each.
#[derive(Clone, Debug)]
pub struct Cursors {
    folder: PathBuf,
}

impl Cursors {
    /// The cursors in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// A folder beside that of the cursors, for what is kept between two of their moves.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.with_file_name(name)
    }

    /// A cursor, if it was ever set.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than any of ours.
    pub fn get(&self, name: &str) -> io::Result<Option<String>> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(found) if found.len() > CURSOR_BYTES_MAX => {
                Err(io::Error::other(format!("{} is no cursor: too long", path.display())))
            }
            Ok(_) => fs::read_to_string(&path).map(Some),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Moves a cursor; it has the old place or the new one, also after a power cut.
    ///
    /// # Errors
    /// When that is not certain.
    pub fn set(&self, name: &str, place: &str) -> io::Result<()> {
        let (path, fresh) = (self.path(name), self.path(&format!("{name}.new")));
        let mut file = File::create(&fresh)?;
        file.write_all(place.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Names come from workspaces and shops: what no file may be called is written in digits.
    fn path(&self, name: &str) -> PathBuf {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let mut file = String::with_capacity(name.len() + 8);
        for byte in name.bytes() {
            match plain(byte) {
                true => file.push(byte.into()),
                false => file.push_str(&format!("%{byte:02x}")),
            }
        }
        self.folder.join(format!("{file}.cursor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_where_it_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let cursors = Cursors::open(&folder.path().join("cursors")).unwrap();
        assert_eq!(cursors.get("a/b").unwrap(), None);
        cursors.set("a/b", "7").unwrap();
        cursors.set("a%2fb", "8").unwrap();
        cursors.set("a/b", "9").unwrap();
        assert_eq!(cursors.get("a/b").unwrap().as_deref(), Some("9"));
        assert_eq!(cursors.get("a%2fb").unwrap().as_deref(), Some("8"));
        assert_eq!(cursors.get("..").unwrap(), None);
    }
}
