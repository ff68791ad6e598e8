//! The objects of a lake: read whole, listed, put, put if new, removed.
//!
//! Invariant: what was put is on the disk when the answer comes, name and content; a message names
//! neither a row's workspace nor anything an address could hide.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};
use tokio::task::spawn_blocking;
use tokio_stream::StreamExt;

use super::config::{Cloud, Home};
use crate::error::SinkError;

/// Bytes of an object.
pub(super) type Bytes = <PutPayload as IntoIterator>::Item;

/// How long one request may take: enough for the largest file over a slow line.
const REQUEST_S: u64 = 120;
/// The driver tries again by itself; the client only bridges a single bad answer.
const RETRIES: usize = 2;
const RETRY_S: u64 = 60;

/// An object as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Listed {
    pub(super) path: String,
    /// When it was put, by the store's own clock, in milliseconds.
    pub(super) at: i64,
    pub(super) size: u64,
}

/// The objects below one address.
#[derive(Clone, Debug)]
pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// The same on a disk, where putting does not yet mean keeping.
    disk: Option<Arc<LocalFileSystem>>,
}

impl Store {
    /// Any store.
    pub(super) fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, disk: None }
    }

    /// The store at an address; a folder is made if it is missing.
    pub(super) fn open(home: &Home) -> Result<Self, SinkError> {
        let (cloud, bucket, prefix) = match home {
            Home::Disk(folder) => return Self::on_disk(folder),
            Home::Bucket { cloud, bucket, prefix } => (*cloud, bucket, prefix),
        };
        let options = ClientOptions::new().with_timeout(Duration::from_secs(REQUEST_S));
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: Duration::from_secs(RETRY_S),
            ..RetryConfig::default()
        };
        let objects: object_store::Result<Arc<dyn ObjectStore>> = match cloud {
            Cloud::S3 => {
                let builder = AmazonS3Builder::from_env().with_client_options(http(options));
                builder.with_url(bucket).with_retry(retry).build().map(|s| Arc::new(s) as _)
            }
            Cloud::Google => {
                let builder = GoogleCloudStorageBuilder::from_env().with_client_options(options);
                builder.with_url(bucket).with_retry(retry).build().map(|s| Arc::new(s) as _)
            }
            Cloud::Azure => {
                let builder = MicrosoftAzureBuilder::from_env().with_client_options(options);
                builder.with_url(bucket).with_retry(retry).build().map(|s| Arc::new(s) as _)
            }
        };
        let objects = objects.map_err(|error| failed("open the store", &error))?;
        let before = at(prefix)?;
        let objects = match prefix.is_empty() {
            true => objects,
            false => Arc::new(PrefixStore::new(objects, before)),
        };
        Ok(Self::over(objects))
    }

    fn on_disk(folder: &PathBuf) -> Result<Self, SinkError> {
        let failing = |error: io::Error| {
            SinkError::transient(format!("lake: open the folder: {}", error.kind()))
        };
        fs::create_dir_all(folder).map_err(failing)?;
        let disk = LocalFileSystem::new_with_prefix(folder);
        let disk = Arc::new(disk.map_err(|error| failed("open the folder", &error))?);
        Ok(Self { objects: Arc::clone(&disk) as _, disk: Some(disk) })
    }

    /// An object's bytes; `None` where there is no such object.
    pub(super) async fn read(
        &self,
        step: &str,
        path: &str,
        bytes_max: u64,
    ) -> Result<Option<Bytes>, SinkError> {
        let got = match self.objects.get(&at(path)?).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(|error| failed(step, &error))?,
        };
        if got.meta.size > bytes_max {
            let size = got.meta.size;
            let what = format!("lake: {step}: an object of {size} bytes, over {bytes_max}");
            return Err(SinkError::permanent(what));
        }
        match got.bytes().await {
            Err(Error::NotFound { .. }) => Ok(None),
            bytes => bytes.map(Some).map_err(|error| failed(step, &error)),
        }
    }

    /// Calls `each` with the objects below a folder, or all; only those whose path follows `after`
    /// in the order of bytes, if one is given.
    pub(super) async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        mut each: impl FnMut(Listed),
    ) -> Result<(), SinkError> {
        let folder = at(folder)?;
        let folder = (!folder.as_ref().is_empty()).then_some(&folder);
        let mut found = match after {
            Some(after) => self.objects.list_with_offset(folder, &at(after)?),
            None => self.objects.list(folder),
        };
        while let Some(object) = found.next().await {
            let object = object.map_err(|error| failed("list objects", &error))?;
            let path = object.location.as_ref().to_owned();
            each(Listed { path, at: object.last_modified.timestamp_millis(), size: object.size });
        }
        Ok(())
    }

    /// Puts an object, whole or not at all.
    pub(super) async fn put(
        &self,
        step: &str,
        path: &str,
        bytes: Vec<u8>,
    ) -> Result<(), SinkError> {
        let place = at(path)?;
        let done = self.objects.put(&place, bytes.into()).await;
        done.map_err(|error| failed(step, &error))?;
        self.sync(step, &place).await
    }

    /// Puts an object unless there is one of that name; says whether it did.
    pub(super) async fn create(
        &self,
        step: &str,
        path: &str,
        bytes: Vec<u8>,
        nonce: u64,
    ) -> Result<bool, SinkError> {
        let place = at(path)?;
        let done = if self.disk.is_some() {
            // A name must not be there before what it names is on the disk.
            let beside = format!("{path}.{nonce:016x}.part");
            self.put(step, &beside, bytes).await?;
            let linked = self.objects.copy_if_not_exists(&at(&beside)?, &place).await;
            self.remove(vec![beside]).await?;
            linked
        } else {
            let options = PutOptions::from(PutMode::Create);
            self.objects.put_opts(&place, bytes.into(), options).await.map(drop)
        };
        match done {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(failed(step, &error)),
            Ok(()) => self.sync(step, &place).await.map(|()| true),
        }
    }

    /// Removes objects; one that is gone already is none the less gone.
    pub(super) async fn remove(&self, paths: Vec<String>) -> Result<(), SinkError> {
        let places: Result<Vec<Path>, SinkError> = paths.iter().map(|path| at(path)).collect();
        let places = places?.into_iter().map(Ok);
        let mut removed = self.objects.delete_stream(Box::pin(tokio_stream::iter(places)));
        while let Some(answer) = removed.next().await {
            match answer {
                Err(Error::NotFound { .. }) | Ok(_) => {}
                Err(error) => return Err(failed("remove old objects", &error)),
            }
        }
        Ok(())
    }

    /// Waits until an object and its name would survive a power cut.
    async fn sync(&self, step: &str, place: &Path) -> Result<(), SinkError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let file = disk.path_to_filesystem(place).map_err(|error| failed(step, &error))?;
        let folders = place.parts().count();
        let synced = spawn_blocking(move || {
            file.ancestors().take(folders + 1).try_for_each(|it| File::open(it)?.sync_all())
        });
        let failing = |kind| SinkError::transient(format!("lake: {step}: sync: {kind}"));
        let synced = synced.await.map_err(|_| failing(io::ErrorKind::Interrupted))?;
        synced.map_err(|error| failing(error.kind()))
    }
}

/// Plain HTTP where the environment says so, as for a store on the same machine.
fn http(options: ClientOptions) -> ClientOptions {
    let allowed = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true");
    options.with_allow_http(allowed)
}

/// The name of an object, which is ours and escaped already.
fn at(path: &str) -> Result<Path, SinkError> {
    Path::parse(path).map_err(|_| SinkError::permanent("lake: a name is not one of an object"))
}

/// What an error of the store means.
fn failed(step: &str, error: &Error) -> SinkError {
    let (passing, why) = match error {
        Error::NotFound { .. } => (true, "there is no such object, folder or bucket".to_owned()),
        Error::PermissionDenied { .. } => (false, "the credentials may not do that".to_owned()),
        Error::Unauthenticated { .. } => {
            (false, "the credentials of the environment are missing or refused".to_owned())
        }
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            (false, "the store cannot do that; it must put an object only if new".to_owned())
        }
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => {
            (false, "the address or a setting of the environment is not one".to_owned())
        }
        other => (true, said(&other.to_string())),
    };
    let what = format!("lake: {step}: {why}");
    if passing { SinkError::transient(what) } else { SinkError::permanent(what) }
}

/// What a client says without addresses, paths, quoted values and bodies of answers.
fn said(text: &str) -> String {
    const LETTERS_MAX: usize = 200;
    let head = text.lines().next().unwrap_or_default();
    let head = head.split('<').next().unwrap_or_default();
    let plain = |word: &&str| !word.contains(['/', '?', '"', '=', '\'']);
    let words: Vec<&str> = head.split_whitespace().filter(plain).collect();
    words.join(" ").chars().take(LETTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_no_path_and_no_secret() {
        let source =
            "Error performing PUT https://b.example/w%3D1?sig=hunter2 in 2s - <Key>AK</Key>";
        let error = Error::Generic { store: "S3", source: source.into() };
        let error = failed("put a file", &error);
        assert!(error.passing());
        let expected = "lake: put a file: Generic S3 error: Error performing PUT in 2s -";
        assert_eq!(error.to_string(), expected);
        let (path, source) = ("w=1".to_owned(), "no".into());
        let error = failed("put a file", &Error::PermissionDenied { path, source });
        assert!(!error.passing() && !error.to_string().contains("w=1"), "{error}");
    }
}
