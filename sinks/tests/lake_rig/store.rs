//! An object store that makes trouble by script, over one that does not.
//!
//! Invariant: each call is struck at most once, before its effect, after it, or with half of it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio_stream::{Stream, StreamExt};

type Async<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
type Many<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// Which call is struck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// The one after so many.
    Call(u32),
    /// The next that puts an object.
    Put,
    /// The next that puts a manifest.
    Manifest,
}

/// How.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strike {
    Before,
    After,
    /// Half an object is put.
    Torn,
    /// Somebody else puts an object of that name first.
    Rival,
}

#[derive(Debug, Default)]
struct Script {
    strikes: Vec<(When, Strike)>,
    /// How often a call lets others go first, before its effect and after.
    yields: u32,
    now_ms: u64,
    put_at: HashMap<Path, u64>,
    puts: Vec<String>,
}

/// The store; clones are the same.
#[derive(Clone, Debug)]
pub struct Troubled {
    pub inner: Arc<dyn ObjectStore>,
    script: Arc<Mutex<Script>>,
}

impl Troubled {
    pub fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// Strikes a later call.
    pub fn strike(&self, when: When, strike: Strike) {
        self.script().strikes.push((when, strike));
    }

    /// Whether everything has struck.
    pub fn done(&self) -> bool {
        self.script().strikes.is_empty()
    }

    pub fn calm(&self) {
        let mut script = self.script();
        (script.strikes, script.yields) = (Vec::new(), 0);
    }

    pub fn slow(&self, yields: u32) {
        self.script().yields = yields;
    }

    /// Sets the clock that objects put from now on are dated by.
    pub fn at(&self, now_ms: u64) {
        self.script().now_ms = now_ms;
    }

    /// The paths that were put since this was last asked.
    pub fn puts(&self) -> Vec<String> {
        std::mem::take(&mut self.script().puts)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn next(&self, put: Option<&Path>) -> (Option<Strike>, u32) {
        let mut script = self.script();
        let manifest = put.is_some_and(|path| {
            path.as_ref().starts_with("manifests/") && path.as_ref().ends_with(".json")
        });
        let yields = script.yields;
        let Some((when, strike)) = script.strikes.first_mut() else { return (None, yields) };
        let (hit, strike) = match when {
            When::Call(0) => (true, *strike),
            When::Call(left) => {
                *left -= 1;
                (false, *strike)
            }
            When::Put => (put.is_some(), *strike),
            When::Manifest => (manifest, *strike),
        };
        if hit {
            script.strikes.remove(0);
        }
        (hit.then_some(strike), yields)
    }

    async fn call<T>(
        &self,
        put: Option<&Path>,
        torn: Async<'_, T>,
        rival: Async<'_, T>,
        effect: Async<'_, T>,
    ) -> Result<T> {
        let (strike, yields) = self.next(put);
        wait(yields).await;
        match strike {
            Some(Strike::Before) => return Err(struck()),
            Some(Strike::Torn) => drop(torn.await),
            Some(Strike::Rival) => drop(rival.await),
            _ => {}
        }
        if strike == Some(Strike::Torn) {
            return Err(struck());
        }
        let done = effect.await;
        if let (Some(path), true) = (put, done.is_ok()) {
            let mut script = self.script();
            let now_ms = script.now_ms;
            script.put_at.insert(path.clone(), now_ms);
            script.puts.push(path.to_string());
        }
        wait(yields).await;
        if strike == Some(Strike::After) { Err(struck()) } else { done }
    }

    async fn plain<T>(&self, put: Option<&Path>, effect: Async<'_, T>) -> Result<T> {
        let nothing = || Box::pin(async { Err(struck()) });
        self.call(put, nothing(), nothing(), effect).await
    }
}

async fn wait(yields: u32) {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
}

fn struck() -> Error {
    Error::Generic { store: "troubled", source: "the line is down".into() }
}

impl fmt::Display for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a troubled store")
    }
}

impl ObjectStore for Troubled {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Async<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let whole: Vec<u8> = payload.iter().flat_map(|bytes| bytes.to_vec()).collect();
        let half = whole[..whole.len() / 2].to_vec();
        let torn = self.inner.put_opts(location, half.clone().into(), opts.clone());
        let rival = self.inner.put_opts(location, half.into(), opts.clone());
        let effect = self.inner.put_opts(location, payload, opts);
        Box::pin(self.call(Some(location), torn, rival, effect))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        _: &'b Path,
        _: PutMultipartOptions,
    ) -> Async<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async { Err(struck()) })
    }

    fn get_opts<'a, 'b, 'c>(&'a self, at: &'b Path, options: GetOptions) -> Async<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.plain(None, self.inner.get_opts(at, options)))
    }

    fn delete_stream(&self, locations: Many<Path>) -> Many<Path> {
        let troubled = self.clone();
        Box::pin(locations.then(move |path| {
            let troubled = troubled.clone();
            async move {
                let path = path?;
                let remove = Box::pin(async { troubled.inner.delete(&path).await });
                troubled.plain(None, remove).await.map(|()| path.clone())
            }
        }))
    }

    fn list(&self, prefix: Option<&Path>) -> Many<ObjectMeta> {
        if matches!(self.next(None).0, Some(Strike::Before | Strike::After | Strike::Torn)) {
            return Box::pin(tokio_stream::once(Err(struck())));
        }
        let dated = self.script().put_at.clone();
        Box::pin(self.inner.list(prefix).map(move |meta| {
            let mut meta = meta?;
            let ms = dated.get(&meta.location).copied().unwrap_or_default();
            meta.last_modified = (SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).into();
            Ok(meta)
        }))
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, at: Option<&'b Path>) -> Async<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.list_with_delimiter(at)
    }

    fn copy_opts<'a, 'b, 'd, 'c>(
        &'a self,
        from: &'b Path,
        to: &'d Path,
        options: CopyOptions,
    ) -> Async<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(self.plain(Some(to), self.inner.copy_opts(from, to, options)))
    }
}
