//! Tokens that were renewed, kept over a restart: what renews them may be good for one use only.
//!
//! Invariant: only their owner reads them, they are there whole or not at all, and in no message.
//! What a person configures anew outranks what was renewed from what stood there before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::client::Credentials;
use super::signature::sha256;

/// The longest file of tokens; both are some hundred bytes.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// Where the tokens of one shop are kept.
#[derive(Clone, Debug)]
pub struct Tokens {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Held {
    /// A digest of the tokens that were configured.
    given: String,
    access_token: String,
    refresh_token: Option<String>,
}

impl Tokens {
    /// The tokens of a shop in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or closed to others.
    pub fn open(folder: &Path, (workspace, shop): (&str, &str)) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        #[cfg(unix)]
        {
            let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(folder, closed)?;
        }
        // The length of the first name keeps two pairs of names apart.
        let name = sha256(format!("{} {workspace} {shop}", workspace.len()).as_bytes());
        Ok(Self { path: folder.join(format!("{name}.json")) })
    }

    /// What was renewed from the given ones, if anything was.
    pub(super) fn renewed(&self, given: &str) -> io::Result<Option<(String, Option<String>)>> {
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        // What cannot be read is worth no more than nothing: the configured ones are tried.
        let held: Option<Held> = serde_json::from_str(&text).ok();
        let held = held.filter(|held| held.given == given);
        Ok(held.map(|held| (held.access_token, held.refresh_token)))
    }

    /// Keeps what was renewed; durable when this returns.
    pub(super) fn keep(&self, given: &str, renewed: &Credentials) -> io::Result<()> {
        let Credentials { access_token, refresh_token, .. } = renewed;
        let (access_token, refresh_token) = (access_token.clone(), refresh_token.clone());
        let held = Held { given: given.into(), access_token, refresh_token };
        let bytes = serde_json::to_vec(&held).map_err(io::Error::other)?;
        let fresh = self.path.with_extension("part");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// A digest of configured tokens, by which other ones are known.
pub(super) fn digest(given: &Credentials) -> String {
    let Credentials { access_token, refresh_token, .. } = given;
    let refresh_token = refresh_token.as_deref().unwrap_or_default();
    sha256(format!("{} {access_token} {refresh_token}", access_token.len()).as_bytes())
}
