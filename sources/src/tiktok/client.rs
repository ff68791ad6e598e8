//! A client of the API of TikTok Shop, for one shop.
//!
//! Invariant: an answer counts only if its own code is 0. The token, its successor and the app's
//! secret are in no message; a token that has run out is renewed once and then the matter of a
//! person.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ionflux_schemas::key::Id;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::signature;
use super::tokens::{self, Tokens};
use super::transport::{Answer, CallError, Transport};
use crate::clock::Clock;
use crate::poller::Stop;
use crate::shopify::scalar::Scalar;

/// The most orders of one request.
pub const IDS_MAX: usize = 50;
/// The records of one page.
const PAGE_SIZE: &str = "50";
/// The longest token of a page that is sent back.
const PAGE_TOKEN_BYTES_MAX: usize = 4_096;
/// Codes of credentials that are missing, wrong or have run out; field reports, not documented.
const DENIED: std::ops::RangeInclusive<i64> = 105_000..=105_999;

/// Where a shop is asked, and as what.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The API, such as `https://open-api.tiktokglobalshop.com`.
    pub base_url: String,
    /// Where tokens are renewed, such as `https://auth.tiktok-shops.com`.
    pub auth_url: String,
    /// The app's key.
    pub app_key: String,
    /// The shop's cipher.
    pub shop_cipher: String,
    /// The wait before a request is sent again.
    pub pause: Duration,
}

/// What opens the API; never shown.
pub struct Credentials {
    /// The app's secret.
    pub app_secret: String,
    /// The token of the shop.
    pub access_token: String,
    /// What renews it, if there is one.
    pub refresh_token: Option<String>,
}

/// What can be searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Orders.
    Orders,
    /// Returns.
    Returns,
    /// Cancellations.
    Cancellations,
}

impl What {
    /// Everything.
    pub const ALL: [Self; 3] = [Self::Orders, Self::Returns, Self::Cancellations];

    fn path(self) -> &'static str {
        match self {
            Self::Orders => "/order/202309/orders/search",
            Self::Returns => "/return_refund/202309/returns/search",
            Self::Cancellations => "/return_refund/202309/cancellations/search",
        }
    }

    /// The list of an answer that holds them.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Returns => "return_orders",
            Self::Cancellations => "cancellations",
        }
    }
}

/// Which of them are searched.
#[derive(Clone, Debug)]
pub enum Filter<'a> {
    /// Those that changed from an instant on and before another, in seconds.
    Changed(i64, i64),
    /// Those of some orders.
    Of(&'a [Id]),
}

/// A page of records, each the text of an object.
#[derive(Debug, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<String>,
    /// What asks for the next page.
    pub next: Option<String>,
}

/// The client.
pub struct Client {
    transport: Transport,
    asked: Asked,
    credentials: Credentials,
    clock: Arc<dyn Clock>,
    /// Where renewed tokens are kept, with a digest of the ones that were configured.
    tokens: Option<(Tokens, String)>,
    /// Tokens were renewed and are not kept yet.
    unkept: bool,
}

struct Call<'a> {
    path: &'a str,
    query: Vec<(&'a str, String)>,
    /// The body of a POST; a GET has none.
    body: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    code: Scalar<'a>,
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Listed<'a> {
    next_page_token: Scalar<'a>,
    #[serde(alias = "return_orders", alias = "cancellations")]
    orders: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Renewed {
    access_token: String,
    refresh_token: String,
}

impl Client {
    /// A client of one shop.
    #[must_use]
    pub fn new(asked: Asked, credentials: Credentials, clock: Arc<dyn Clock>) -> Self {
        let transport = Transport::new(asked.pause);
        Self { transport, asked, credentials, clock, tokens: None, unkept: false }
    }

    /// The same, keeping its tokens when it renews them, and taken up where it left off.
    ///
    /// # Errors
    /// When what was kept cannot be read.
    pub fn keeping(mut self, tokens: Tokens) -> io::Result<Self> {
        let given = tokens::digest(&self.credentials);
        if let Some((access_token, refresh_token)) = tokens.renewed(&given)? {
            (self.credentials.access_token, self.credentials.refresh_token) =
                (access_token, refresh_token);
        }
        self.tokens = Some((tokens, given));
        Ok(self)
    }

    /// Orders by their ids, each the text of an object; those that are not found are left out.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn orders(&mut self, ids: &[Id], stop: &Stop) -> Result<Vec<String>, CallError> {
        let mut orders = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_MAX) {
            let query = vec![("ids", ids.join(","))];
            let call = Call { path: "/order/202507/orders", query, body: None };
            orders.extend(self.page(&call, stop)?.records);
        }
        Ok(orders)
    }

    /// A page of what matches a filter.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn search(
        &mut self,
        what: What,
        filter: &Filter<'_>,
        page: Option<&str>,
        stop: &Stop,
    ) -> Result<Page, CallError> {
        let mut query = vec![
            ("page_size", PAGE_SIZE.to_owned()),
            ("sort_field", "update_time".to_owned()),
            ("sort_order", "ASC".to_owned()),
        ];
        query.extend(page.map(|token| ("page_token", token.to_owned())));
        let body = match filter {
            Filter::Changed(from, to) => {
                serde_json::json!({ "update_time_ge": from, "update_time_lt": to })
            }
            Filter::Of(orders) => serde_json::json!({ "order_ids": orders }),
        };
        let call = Call { path: what.path(), query, body: Some(body.to_string()) };
        self.page(&call, stop)
    }

    fn page(&mut self, call: &Call<'_>, stop: &Stop) -> Result<Page, CallError> {
        let wrong = |why: &str| CallError::Transient(format!("{}: {why}", call.path));
        let data = self.call(call, stop)?;
        let listed: Listed<'_> =
            serde_json::from_str(&data).map_err(|_| wrong("an answer of another shape"))?;
        let next = listed.next_page_token.text().map(std::borrow::Cow::into_owned);
        if next.as_ref().is_some_and(|token| token.len() > PAGE_TOKEN_BYTES_MAX) {
            return Err(wrong("the token of the next page is too long"));
        }
        let records = listed.orders.unwrap_or_default();
        Ok(Page { records: records.iter().map(|record| record.get().to_owned()).collect(), next })
    }

    /// The data of an answer, after the token was renewed if it had run out.
    fn call(&mut self, call: &Call<'_>, stop: &Stop) -> Result<String, CallError> {
        self.keep()?;
        match self.once(call, stop) {
            Err(CallError::Denied(why)) => {
                if !self.renew(stop)? {
                    return Err(CallError::Denied(why));
                }
                self.once(call, stop)
            }
            answered => answered,
        }
    }

    fn once(&self, call: &Call<'_>, stop: &Stop) -> Result<String, CallError> {
        let Call { path, query, body } = call;
        let Asked { base_url, app_key, shop_cipher, .. } = &self.asked;
        let Credentials { app_secret, access_token, .. } = &self.credentials;
        let answer = self.transport.send(path, stop, |agent| {
            // Signed anew for every try: a signature is good for some minutes only.
            let timestamp = (self.clock.now().0 / 1_000).to_string();
            let mut parameters: Vec<(&str, &str)> =
                vec![("app_key", app_key), ("shop_cipher", shop_cipher), ("timestamp", &timestamp)];
            parameters.extend(query.iter().map(|(name, value)| (*name, value.as_str())));
            let text = body.as_deref().unwrap_or_default();
            let sign = signature::request(app_secret, path, &parameters, text);
            let url = format!("{}{path}", base_url.trim_end_matches('/'));
            match body {
                None => {
                    let request = agent.get(url).query_pairs(parameters).query("sign", sign);
                    let request = request.header("content-type", "application/json");
                    request.header("x-tts-access-token", access_token).call()
                }
                Some(body) => {
                    let request = agent.post(url).query_pairs(parameters).query("sign", sign);
                    let request = request.header("content-type", "application/json");
                    request.header("x-tts-access-token", access_token).send(body)
                }
            }
        })?;
        data(path, &answer)
    }

    /// Renews the token, and says whether there is another one now.
    fn renew(&mut self, stop: &Stop) -> Result<bool, CallError> {
        let Some(refresh_token) = &self.credentials.refresh_token else { return Ok(false) };
        let path = "/api/v2/token/refresh";
        let url = format!("{}{path}", self.asked.auth_url.trim_end_matches('/'));
        let answer = self.transport.send(path, stop, |agent| {
            let query = [
                ("app_key", self.asked.app_key.as_str()),
                ("app_secret", self.credentials.app_secret.as_str()),
                ("refresh_token", refresh_token.as_str()),
                ("grant_type", "refresh_token"),
            ];
            agent.get(&url).query_pairs(query).call()
        })?;
        let denied = |_| CallError::Denied(format!("{path}: the token was not renewed"));
        // Whatever is wrong with it, the token that was held is no good either.
        let data = data(path, &answer).map_err(denied)?;
        let tokens: Renewed = serde_json::from_str(&data).unwrap_or_default();
        if tokens.access_token.is_empty() {
            return Ok(false);
        }
        self.credentials.access_token = tokens.access_token;
        if !tokens.refresh_token.is_empty() {
            self.credentials.refresh_token = Some(tokens.refresh_token);
        }
        self.unkept = self.tokens.is_some();
        self.keep()?;
        Ok(true)
    }

    /// Keeps renewed tokens; until that is done nothing else is asked, for a restart would be
    /// without them.
    fn keep(&mut self) -> Result<(), CallError> {
        let Some((tokens, given)) = self.tokens.as_ref().filter(|_| self.unkept) else {
            return Ok(());
        };
        let failed = |cause| CallError::Transient(format!("renewed tokens are not kept: {cause}"));
        tokens.keep(given, &self.credentials).map_err(failed)?;
        self.unkept = false;
        Ok(())
    }
}

/// The data of an answer whose code is 0.
fn data(path: &str, answer: &Answer) -> Result<String, CallError> {
    let envelope: Option<Envelope<'_>> = serde_json::from_str(&answer.text).ok();
    let code = envelope.as_ref().and_then(|envelope| envelope.code.text()?.parse::<i64>().ok());
    match (answer.status, code) {
        (200, Some(0)) => {
            let data = envelope.and_then(|envelope| envelope.data);
            Ok(data.map_or_else(|| "{}".to_owned(), |data| data.get().to_owned()))
        }
        (401 | 403, _) => Err(CallError::Denied(format!("{path}: the access is refused"))),
        (_, Some(code)) if DENIED.contains(&code) => {
            Err(CallError::Denied(format!("{path}: the access is refused (code {code})")))
        }
        (status, Some(code)) => {
            Err(CallError::Transient(format!("{path}: status {status}, code {code}")))
        }
        (status, None) => {
            Err(CallError::Transient(format!("{path}: status {status}, and no answer of the API")))
        }
    }
}
