//! Downloading the file of a bulk operation, piece by piece.
//!
//! ```text
//! have ─▶ Range: have to the next boundary ─▶ append, sync ─▶ ... ─▶ whole
//!           ├ the line drops: what came stays      └ an address that expired: a new one is needed
//!           └ no ranges (200): from the beginning
//! ```
//!
//! Invariant: what a file holds up to its last boundary is on disk; after a crash it goes on from
//! there. No credential is sent, and the address is in no message.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::Response;

use super::client::Client;
use super::error::AdminError;
use crate::poller::Stop;

/// How much is asked for at once, and synced at once.
pub const PIECE_BYTES: u64 = 8 << 20;
/// The largest export that is taken.
const FILE_BYTES_MAX: u64 = 64 << 30;
/// How long one piece may take.
const PIECE_MAX: Duration = Duration::from_secs(600);
/// How long nothing may come.
const READ_MAX: Duration = Duration::from_secs(30);
/// How long it may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Tries in a row that bring nothing.
const STALLS_MAX: u32 = 6;
/// Storage may send elsewhere, a few times.
const REDIRECTS_MAX: u32 = 3;

/// What a download came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// The file is whole and on disk.
    Whole,
    /// The address opens nothing any more.
    Expired,
}

/// What one try came to.
enum Piece {
    Whole,
    More,
    Dropped(String),
    Expired,
}

/// Downloads a file to a path, going on where it was left.
pub fn fetch(
    client: &Client,
    url: &str,
    (path, piece_bytes): (&Path, u64),
    stop: &Stop,
) -> Result<Fetched, AdminError> {
    let secure = client.account().secure();
    if secure && !url.starts_with("https://") {
        let reason = "the file of a bulk operation is not offered over TLS";
        return Err(AdminError::Permanent(format!("{}: {reason}", client.account().shop)));
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .https_only(secure)
        .max_redirects(REDIRECTS_MAX)
        .timeout_global(Some(PIECE_MAX))
        .timeout_connect(Some(CONNECT_MAX))
        .timeout_per_read(Some(READ_MAX))
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let disk = |cause: io::Error| AdminError::disk(&path.display().to_string(), &cause);
    let mut file = open(path, piece_bytes).map_err(disk)?;
    let mut stalls = 0;
    loop {
        if stop.asked() {
            return Err(AdminError::Stopped);
        }
        let before = file.seek(SeekFrom::End(0)).map_err(disk)?;
        let piece = piece(&agent, url, (&mut file, before, piece_bytes), stop).map_err(disk)?;
        let after = file.seek(SeekFrom::End(0)).map_err(disk)?;
        if after > FILE_BYTES_MAX {
            let reason = format!("an export of more than {FILE_BYTES_MAX} bytes");
            return Err(AdminError::Permanent(format!("{}: {reason}", client.account().shop)));
        }
        match piece {
            Piece::Whole => {
                file.sync_all().map_err(disk)?;
                return Ok(Fetched::Whole);
            }
            Piece::Expired => return Ok(Fetched::Expired),
            Piece::More => stalls = 0,
            Piece::Dropped(reason) => {
                stalls = if after > before { 0 } else { stalls + 1 };
                if stalls > STALLS_MAX {
                    let shop = &client.account().shop;
                    let reason = format!("{shop}: the file of a bulk operation: {reason}");
                    return Err(AdminError::Transient(reason));
                }
                client.wait(Duration::from_secs(1 << stalls), stop)?;
            }
        }
    }
}

/// Opens a file that may have been begun, without what may not have reached the disk.
fn open(path: &Path, piece_bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    file.set_len(length - length % piece_bytes.max(1))?;
    Ok(file)
}

/// Whether a failure of reading was the disk's; the line's are told by the answer.
fn piece(
    agent: &ureq::Agent,
    url: &str,
    (file, have, piece_bytes): (&mut File, u64, u64),
    stop: &Stop,
) -> io::Result<Piece> {
    let end = (have / piece_bytes.max(1) + 1).saturating_mul(piece_bytes.max(1)) - 1;
    let asked = agent
        .get(url)
        .header("range", format!("bytes={have}-{end}"))
        .header("accept-encoding", "identity")
        .call();
    let mut response = match asked {
        Ok(response) => response,
        // Other errors can quote the address.
        Err(ureq::Error::Timeout(_)) => return Ok(Piece::Dropped("it took too long".to_owned())),
        Err(_) => return Ok(Piece::Dropped("it cannot be reached".to_owned())),
    };
    let status = response.status().as_u16();
    match status {
        206 => {
            let Some(total) = total_of(&response, have) else {
                return Ok(Piece::Dropped("another range came than was asked for".to_owned()));
            };
            let read = copy(response.body_mut().as_reader(), file, stop)?;
            file.sync_data()?;
            let whole = file.metadata()?.len() >= total;
            Ok(match read {
                _ if whole => Piece::Whole,
                Some(0) => Piece::Dropped("a range came empty".to_owned()),
                Some(_) => Piece::More,
                None => Piece::Dropped("the connection broke".to_owned()),
            })
        }
        200 => {
            file.set_len(0)?;
            let read = copy(response.body_mut().as_reader(), file, stop)?;
            file.sync_data()?;
            if read.is_some() {
                return Ok(Piece::Whole);
            }
            file.set_len(0)?;
            Ok(Piece::Dropped("the connection broke, and it cannot be taken up again".to_owned()))
        }
        // Nothing is beyond what we have; or what we have is not this file.
        416 if total_of_none(&response) == Some(have) => Ok(Piece::Whole),
        416 => {
            file.set_len(0)?;
            Ok(Piece::Dropped("it is shorter than before".to_owned()))
        }
        400 | 401 | 403 | 404 | 410 => Ok(Piece::Expired),
        _ => Ok(Piece::Dropped(format!("status {status}"))),
    }
}

/// The length of the whole file, where the range that came begins where it should.
fn total_of<T>(response: &Response<T>, from: u64) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    let (first, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
    let (_, total) = rest.split_once('/')?;
    (first.parse::<u64>().ok()? == from).then(|| total.parse().ok())?
}

/// The length of a file that has nothing in the range.
fn total_of_none<T>(response: &Response<T>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes */")?.parse().ok()
}

/// Copies a body to a file; says how much came, and nothing if the line broke or we were told to
/// stop.
fn copy(mut body: impl Read, file: &mut File, stop: &Stop) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        if stop.asked() || copied > FILE_BYTES_MAX {
            return Ok(None);
        }
        match body.read(&mut buffer) {
            Ok(0) => return Ok(Some(copied)),
            Ok(read) => {
                file.write_all(buffer.get(..read).unwrap_or_default())?;
                copied += read as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
}
