//! Opening a file: plain, gzip or zstd, recognised by its first bytes.
//!
//! Invariant: whatever cannot be opened is a [`SourceError`] with a remedy; whatever opens gives
//! its decompressed bytes as a stream, and an [`io::Error`] where the compressed data break off.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::error::SourceError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Large enough that a system call is rare, small enough to stay in the processor's cache.
const BUFFER_BYTES: usize = 128 * 1024;

/// Where a reader's bytes come from, for its messages and its faults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// The file's name as faults show it.
    pub source: Arc<str>,
}

impl Origin {
    /// The origin of a file that faults name by its path.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), source: path.display().to_string().into() }
    }

    /// What an error in the middle of the file means, after `line` complete lines.
    #[must_use]
    pub fn broken_off(&self, line: u64, cause: io::Error) -> SourceError {
        let (problem, hint) = match cause.kind() {
            io::ErrorKind::UnexpectedEof => (
                format!("the file ends in the middle of its compressed data, after line {line}"),
                "fetch the file again; its end is missing",
            ),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => (
                format!("the compressed data are damaged after line {line}"),
                "fetch the file again; some of its bytes have changed",
            ),
            _ => (
                format!("the file cannot be read any further after line {line}"),
                "check the disk or the network drive, then try again",
            ),
        };
        let path = self.path.clone();
        SourceError { path, problem, hint: hint.to_owned(), cause: Some(cause) }
    }
}

/// An open file, decompressed on the fly.
pub struct Input {
    /// The decompressed bytes.
    pub reader: Box<dyn BufRead + Send>,
    /// How many bytes of the file itself were read so far; for progress bars.
    pub bytes_read: Arc<AtomicU64>,
    /// How many bytes the file itself has; 0 where nobody can say, as for a pipe.
    pub bytes_total: u64,
}

impl Input {
    /// Opens a file and finds out how it is compressed.
    ///
    /// # Errors
    /// [`SourceError`] for what is missing, a folder, unreadable, or not what its name says.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let metadata = std::fs::metadata(path).map_err(|cause| unopened(path, cause))?;
        if metadata.is_dir() {
            let hint = "give the files inside it, such as folder/*.json".to_owned();
            let problem = "is a folder, not a file".to_owned();
            return Err(SourceError { path: path.to_owned(), problem, hint, cause: None });
        }
        let mut file = File::open(path).map_err(|cause| unopened(path, cause))?;
        let mut head = Vec::new();
        file.by_ref().take(4).read_to_end(&mut head).map_err(|cause| unopened(path, cause))?;
        let packing = Packing::of(&head);
        packing.agrees_with_name(path, head.is_empty())?;

        let bytes_read = Arc::new(AtomicU64::new(0));
        let whole = Cursor::new(head).chain(file);
        let counted = Counted { inner: whole, bytes_read: Arc::clone(&bytes_read) };
        let packed = BufReader::with_capacity(BUFFER_BYTES, counted);
        let reader: Box<dyn BufRead + Send> = match packing {
            Packing::Plain => Box::new(packed),
            Packing::Gzip => buffered(MultiGzDecoder::new(packed)),
            Packing::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(packed);
                buffered(decoder.map_err(|cause| unopened(path, cause))?)
            }
        };
        Ok(Self { reader, bytes_read, bytes_total: metadata.len() })
    }
}

fn buffered(decoder: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
}

fn unopened(path: &Path, cause: io::Error) -> SourceError {
    let (problem, hint) = match cause.kind() {
        io::ErrorKind::NotFound => ("there is no such file", "check the spelling and the folder"),
        io::ErrorKind::PermissionDenied => {
            ("this user may not read the file", "change its permissions, or run as its owner")
        }
        _ => ("the file cannot be opened", "check the disk and the path, then try again"),
    };
    let (problem, hint) = (problem.to_owned(), hint.to_owned());
    SourceError { path: path.to_owned(), problem, hint, cause: Some(cause) }
}

/// How a file's bytes are packed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(head: &[u8]) -> Self {
        match head {
            _ if head.starts_with(&GZIP_MAGIC) => Self::Gzip,
            _ if head.starts_with(&ZSTD_MAGIC) => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// A packed file may have any name, but a plain one that claims to be packed is a failed
    /// download (an error page, an empty file) more often than a wrong name.
    fn agrees_with_name(self, path: &Path, empty: bool) -> Result<(), SourceError> {
        let claimed = match path.extension().and_then(|e| e.to_str()) {
            Some(e) if e.eq_ignore_ascii_case("gz") => "gzip",
            Some(e) if e.eq_ignore_ascii_case("zst") => "zstd",
            _ => return Ok(()),
        };
        if self != Self::Plain {
            return Ok(());
        }
        let problem = match empty {
            true => format!("the name says {claimed}, but the file is empty"),
            false => format!("the name says {claimed}, but the content is not compressed"),
        };
        let hint = "fetch the file again, or rename it if it is plain text".to_owned();
        Err(SourceError { path: path.to_owned(), problem, hint, cause: None })
    }
}

/// Counts the bytes that pass.
struct Counted<R> {
    inner: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    /// Bytes that no packing can shrink, so that half a file is half its content.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b'a' + (state >> 59) as u8 % 26
        };
        (0..len).map(|_| next()).collect()
    }

    fn read(path: &Path) -> Result<(Vec<u8>, u64, u64), (String, String)> {
        let told = |error: SourceError| (error.problem, error.hint);
        let mut input = Input::open(path).map_err(told)?;
        let mut bytes = Vec::new();
        let read = input.reader.read_to_end(&mut bytes);
        read.map_err(|cause| told(Origin::of(path).broken_off(7, cause)))?;
        Ok((bytes, input.bytes_read.load(Ordering::Relaxed), input.bytes_total))
    }

    #[test]
    fn packed_files_are_read_whatever_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let two_members = [gzip(b"one\n"), gzip(b"two\n")].concat();
        let two_frames = [zstd(b"one\n"), zstd(b"two\n")].concat();
        for (name, bytes) in [
            ("plain.csv", b"one\ntwo\n".to_vec()),
            ("a.csv.gz", two_members.clone()),
            ("a.csv.zst", two_frames.clone()),
            ("no_name", two_members),
            ("other.gz", two_frames),
        ] {
            let size = bytes.len() as u64;
            let read = read(&file(&folder, name, &bytes));
            assert_eq!(read, Ok((b"one\ntwo\n".to_vec(), size, size)), "{name}");
        }
        assert_eq!(read(&file(&folder, "empty.csv", b"")), Ok((vec![], 0, 0)));
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let problem = |path: &Path| read(path).unwrap_err().0;
        assert_eq!(problem(&folder.path().join("none.csv")), "there is no such file");
        assert_eq!(problem(folder.path()), "is a folder, not a file");
        let page = file(&folder, "page.csv.gz", b"<html>not found</html>");
        assert_eq!(problem(&page), "the name says gzip, but the content is not compressed");
        let empty = file(&folder, "empty.csv.ZST", b"");
        assert_eq!(problem(&empty), "the name says zstd, but the file is empty");
    }

    #[test]
    fn truncated_and_damaged_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("a.gz", gzip(&noise(100_000))), ("a.zst", zstd(&noise(500_000)))] {
            for keep in [5, bytes.len() / 2, bytes.len() - 1] {
                let (problem, hint) = read(&file(&folder, name, &bytes[..keep])).unwrap_err();
                let expected = "the file ends in the middle of its compressed data, after line 7";
                assert_eq!(problem, expected, "{name} cut to {keep}");
                assert_eq!(hint, "fetch the file again; its end is missing");
            }
        }
        let mut damaged = gzip(&noise(1000));
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        let (problem, _) = read(&file(&folder, "damaged.gz", &damaged)).unwrap_err();
        assert_eq!(problem, "the compressed data are damaged after line 7");
    }
}
