//! The identity of a state: whose epochs a target says it holds.
//!
//! Invariant: two histories that count the same epoch differently never go by the same identity, so
//! whoever counts epochs that are not in the journal renews it first.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::OnceLock;

use ionflux_operators::list;
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{State, unusable, write_whole};
use crate::failure::Failure;

/// The file of the identity, beside `FORMAT`.
const FILE: &str = "ID";

impl State {
    /// The identity of this folder's epochs, as this build of the program counts them: another one,
    /// or other definitions of views, may count the same epoch differently.
    ///
    /// # Errors
    /// When it cannot be read, or there is none yet and it cannot be written.
    pub fn identity(&self) -> Result<u128, Failure> {
        let path = self.folder.join(FILE);
        let id = match fs::read_to_string(&path) {
            Ok(text) => Uuid::parse_str(text.trim()).map_err(|cause| {
                let problem = format!("{}: {cause}", path.display());
                Failure::world(problem, "remove the file: sinks are then brought up to date whole")
            })?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => self.renew()?,
            Err(cause) => return Err(unusable(&path, &cause)),
        };
        counted_by(id)
    }

    /// Another identity from now on: every sink gets a snapshot when it is served next.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn renew_identity(&self) -> Result<u128, Failure> {
        self.renew().and_then(counted_by)
    }

    fn renew(&self) -> Result<Uuid, Failure> {
        let (path, id) = (self.folder.join(FILE), Uuid::now_v7());
        write_whole(&path, id.to_string().as_bytes()).map_err(|cause| unusable(&path, &cause))?;
        Ok(id)
    }
}

fn counted_by(id: Uuid) -> Result<u128, Failure> {
    let mut said = format!("{id} {:032x}", build()?);
    list::views().iter().for_each(|view| said += &format!(" {view:?}"));
    Ok(xxh3_128(said.as_bytes()))
}

/// What tells this build of the program from any other, whatever either calls its version: a hash
/// of the program's file.
fn build() -> Result<u128, Failure> {
    static BUILD: OnceLock<u128> = OnceLock::new();
    if let Some(known) = BUILD.get() {
        return Ok(*known);
    }
    let path = env::current_exe().map_err(|cause| unusable(Path::new("the program"), &cause))?;
    let hash = || {
        let (mut file, mut hash) = (File::open(&path)?, Xxh3::new());
        let mut bytes = vec![0; 1 << 20];
        loop {
            match file.read(&mut bytes)? {
                0 => return Ok(hash.digest128()),
                read => hash.update(&bytes[..read]),
            }
        }
    };
    let hash = hash().map_err(|cause| unusable(&path, &cause))?;
    Ok(*BUILD.get_or_init(|| hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_lasts_until_it_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = State::create(&path).unwrap().identity().unwrap();
        let state = State::create(&path).unwrap();
        assert_eq!(state.identity().unwrap(), first);
        let second = state.renew_identity().unwrap();
        assert_ne!(second, first);
        assert_eq!(state.identity().unwrap(), second);
        fs::write(path.join(FILE), "nobody").unwrap();
        let problem = state.identity().unwrap_err().problem;
        assert!(problem.contains("ID"), "{problem}");
    }
}
