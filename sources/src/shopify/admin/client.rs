//! Asking a shop: one query, one answer, as often as it takes and no faster than it allows.
//!
//! ```text
//! ask ─▶ points there? ─▶ POST ─▶ 200 data ─▶ typed
//!          └ wait           ├ THROTTLED, 429 ─▶ wait, again
//!                           ├ 5xx, no connection ─▶ wait 1 s, 2 s, 4 s ..., again
//!                           └ 401, 403, another error ─▶ a person must act
//! ```
//!
//! Invariant: every wait ends when told to, every try is counted, and the token goes to the shop's
//! own address alone: redirects are not followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::account::Account;
use super::answer::{Answer, Verdict};
use super::error::{AdminError, SCOPES_NEEDED, short};
use super::pace::{Bucket, Patience};
use super::queries::Query;
use crate::clock::Clock;
use crate::poller::Stop;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// How long it may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The largest answer.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Tries of one query that failed for reasons that pass.
const FAILURES_MAX: u32 = 6;
/// Tries of one query for which there were no points; others of the same app may spend them.
const THROTTLED_MAX: u32 = 30;
/// The longest wait that a shop may ask for.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How long to wait where a shop says only that it was too much: a window of ShopifyQL.
const WINDOW: Duration = Duration::from_secs(60);
/// The least wait after a query was throttled.
const THROTTLED_WAIT_MIN: Duration = Duration::from_secs(1);

/// Asks one shop.
pub struct Client {
    account: Account,
    agent: ureq::Agent,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) patience: Arc<dyn Patience>,
    bucket: Bucket,
    /// What each query had to find in the bucket the last time.
    costs: BTreeMap<&'static str, u64>,
}

/// What one try came to.
enum Try {
    Good(Box<Answer>),
    Throttled(Duration),
    Failed(String, Option<Duration>),
}

impl Client {
    /// Asks a shop by a clock, waiting as told.
    #[must_use]
    pub fn new(account: Account, clock: Arc<dyn Clock>, patience: Arc<dyn Patience>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(account.secure())
            .max_redirects(0)
            .timeout_global(Some(REQUEST_MAX))
            .timeout_connect(Some(CONNECT_MAX))
            .user_agent(concat!("ionflux/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let (bucket, costs) = (Bucket::default(), BTreeMap::new());
        Self { account, agent, clock, patience, bucket, costs }
    }

    /// The shop that is asked.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Asks, and reads the answer's data as a type.
    ///
    /// # Errors
    /// [`AdminError`], which names the shop and the query.
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        query: &Query,
        variables: &Value,
        stop: &Stop,
    ) -> Result<T, AdminError> {
        let (mut failures, mut throttled) = (0, 0);
        loop {
            self.pace(query, stop)?;
            match self.attempt(query, variables)? {
                Try::Good(answer) => return self.typed(query, &answer),
                Try::Throttled(wait) if throttled < THROTTLED_MAX => {
                    throttled += 1;
                    self.wait(wait, stop)?;
                }
                Try::Throttled(_) => {
                    let reason = format!("throttled {THROTTLED_MAX} times in a row");
                    return Err(AdminError::Transient(self.about(query, &reason)));
                }
                Try::Failed(_, wait) if failures < FAILURES_MAX => {
                    let backoff = Duration::from_secs(1 << failures);
                    failures += 1;
                    self.wait(wait.unwrap_or(backoff), stop)?;
                }
                Try::Failed(reason, _) => {
                    return Err(AdminError::Transient(self.about(query, &reason)));
                }
            }
        }
    }

    /// Waits until the bucket has what a query will cost.
    fn pace(&self, query: &Query, stop: &Stop) -> Result<(), AdminError> {
        if stop.asked() {
            return Err(AdminError::Stopped);
        }
        let cost = self.costs.get(query.name).copied().unwrap_or(query.cost);
        let wait = self.bucket.wait_for(cost, self.clock.now());
        if wait.is_zero() { Ok(()) } else { self.wait(wait, stop) }
    }

    /// Waits, unless told to stop.
    pub(super) fn wait(&self, at_most: Duration, stop: &Stop) -> Result<(), AdminError> {
        match self.patience.wait(stop, at_most.min(WAIT_MAX)) {
            true => Err(AdminError::Stopped),
            false => Ok(()),
        }
    }

    /// What went wrong, with what was asked of whom.
    pub(super) fn about(&self, query: &Query, reason: &str) -> String {
        let reason = self.account.without_token(reason);
        format!("{} was asked for {}: {reason}", self.account.shop, query.name)
    }

    fn attempt(&mut self, query: &Query, variables: &Value) -> Result<Try, AdminError> {
        let body = json!({ "query": query.text, "variables": variables }).to_string();
        let sent = self
            .agent
            .post(&self.account.endpoint())
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("x-shopify-access-token", self.account.token.shown_to_the_shop())
            .send(body.as_bytes());
        let mut response = match sent {
            Ok(response) => response,
            Err(
                ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) | ureq::Error::Http(_),
            ) => {
                let reason = "its base_url or its token cannot be used in a request";
                return Err(AdminError::Permanent(self.about(query, reason)));
            }
            Err(cause) => return Ok(Try::Failed(cause.to_string(), None)),
        };
        let after = response.headers().get("retry-after").and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| after.trim().split('.').next()?.parse().ok());
        let after = after.map(Duration::from_secs);
        let status = response.status().as_u16();
        let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        self.refused(query, status)?;
        let body = match read {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let reason = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(AdminError::Costly(self.about(query, &reason)));
            }
            Err(cause) => return Ok(Try::Failed(cause.to_string(), after)),
        };
        let answer = serde_json::from_slice::<Answer>(&body);
        match (status, answer) {
            (200 | 429, Ok(answer)) => self.judged(query, status, answer, after),
            (429, Err(_)) => Ok(Try::Throttled(after.unwrap_or(WINDOW))),
            (200, Err(_)) => Ok(Try::Failed("the answer is no JSON of an API".to_owned(), after)),
            _ => Ok(Try::Failed(format!("status {status}"), after)),
        }
    }

    /// Statuses that will be the same until a person acts.
    fn refused(&self, query: &Query, status: u16) -> Result<(), AdminError> {
        let Account { token_name, version, .. } = &self.account;
        let reason = match status {
            401 | 403 => format!(
                "the access token is refused (status {status}): the secret {token_name} must hold \
                 a token of an app that is installed; {SCOPES_NEEDED}"
            ),
            404 => format!("there is no Admin API {version} at its base_url (status 404)"),
            402 | 423 => format!("the shop is closed or frozen (status {status})"),
            300..=499 if ![408, 425, 429, 430].contains(&status) => {
                format!("unexpected status {status}; redirects are not followed")
            }
            _ => return Ok(()),
        };
        Err(AdminError::Permanent(self.about(query, &reason)))
    }

    /// An answer that is one: good, or an error in its own words.
    fn judged(
        &mut self,
        query: &Query,
        status: u16,
        answer: Answer,
        after: Option<Duration>,
    ) -> Result<Try, AdminError> {
        let now = self.clock.now();
        if let Some(cost) = answer.cost() {
            self.costs.insert(query.name, cost);
        }
        if let Some(level) = answer.level() {
            self.bucket.told(level, now);
        }
        match answer.verdict() {
            Verdict::Good if status == 429 => Ok(Try::Throttled(after.unwrap_or(WINDOW))),
            Verdict::Good => Ok(Try::Good(Box::new(answer))),
            Verdict::Throttled => {
                let cost = answer.cost().unwrap_or(query.cost);
                let filled = answer.level().map(|_| self.bucket.wait_for(cost, now));
                let wait = after.or(filled).unwrap_or(WINDOW);
                Ok(Try::Throttled(wait.max(THROTTLED_WAIT_MIN)))
            }
            Verdict::Failed(reason) => Ok(Try::Failed(reason, after)),
            Verdict::Costly(reason) => Err(AdminError::Costly(self.about(query, &reason))),
            Verdict::Refused(reason) => Err(AdminError::Permanent(self.about(query, &reason))),
        }
    }

    fn typed<T: DeserializeOwned>(&self, query: &Query, answer: &Answer) -> Result<T, AdminError> {
        let data = answer.data.as_deref().map_or("null", |data| data.get());
        serde_json::from_str(data).map_err(|cause| {
            // The message of a mismatch can quote what stood there; its place is enough.
            let (line, column) = (cause.line(), cause.column());
            let reason = format!("the data has an unexpected form (line {line}, column {column})");
            AdminError::Permanent(self.about(query, &short(&reason)))
        })
    }
}
