//! What asks for reports of TikTok Ads: the spend of each campaign, hour by hour.
//!
//! Invariant: days that may still be restated are read again in every round, whole; the later look
//! wins. The cursor is the first day that was never read.

use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::{Day, UtcMs, Zone};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ads::METRICS;
use super::api::{ACCOUNT, CURRENCY, OBSERVED_AT, ZONE};
use super::delivery::ADS;
use super::transport::{CallError, Transport};
use crate::clock::Clock;
use crate::cursor::Cursors;
use crate::intake::Intake;
use crate::poller::{Poll, PollError, Stop};
use crate::shopify::scalar::Scalar;

/// Days whose spend may still change.
const RESTATED_DAYS: i32 = 3;
/// The pages of one day.
const PAGES_MAX: u32 = 1_000;
/// Rows of a page, the most there may be.
const PAGE_SIZE: &str = "1000";
/// Codes of tokens that are missing, wrong or have run out; field reports, not documented.
const DENIED: [i64; 4] = [40_001, 40_100, 40_104, 40_105];
const PATH: &str = "/open_api/v1.3/report/integrated/get/";
const REMEDY: &str = "authorise the advertiser again, put its token where the configuration looks \
                      for it, and restart";

/// Whose reports are asked for.
#[derive(Clone, Debug)]
pub struct Advertiser {
    /// The tenant.
    pub workspace: Id,
    /// The advertiser's id.
    pub advertiser: Id,
    /// The currency of the advertiser's account.
    pub currency: Currency,
    /// The zone of its days and hours.
    pub zone: Zone,
    /// The API, such as `https://business-api.tiktok.com`.
    pub base_url: String,
    /// How far the first round reaches back, in days.
    pub backfill_days: u16,
}

/// The poller of one advertiser.
pub struct ReportPoller {
    advertiser: Advertiser,
    transport: Transport,
    token: String,
    intake: Intake,
    cursors: Cursors,
    clock: Arc<dyn Clock>,
}

/// What a poller of reports is connected to.
pub struct Ends {
    /// The way into the journal.
    pub intake: Intake,
    /// How far reports were read.
    pub cursors: Cursors,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    code: Scalar<'a>,
    data: Option<Report<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Report<'a> {
    list: Option<Vec<&'a RawValue>>,
    page_info: Option<PageInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageInfo {
    total_page: u32,
}

impl ReportPoller {
    /// A poller of one advertiser's reports.
    #[must_use]
    pub fn new(advertiser: Advertiser, token: String, transport: Transport, ends: Ends) -> Self {
        let Ends { intake, cursors, clock } = ends;
        Self { advertiser, transport, token, intake, cursors, clock }
    }

    fn round(&self, stop: &Stop) -> Result<(), CallError> {
        let cursor_error =
            |cause: std::io::Error| CallError::Transient(format!("the cursor: {cause}"));
        let Advertiser { workspace, advertiser, zone, backfill_days, .. } = &self.advertiser;
        let name = format!("tiktok-ads/{workspace}/{advertiser}");
        let today = zone.day(self.clock.now()).0;
        let cursor = self.cursors.get(&name).map_err(cursor_error)?;
        let cursor = cursor.and_then(|text| text.trim().parse::<i32>().ok());
        let first = today.saturating_sub((*backfill_days).into());
        let restated = today.saturating_sub(RESTATED_DAYS);
        let from = cursor.unwrap_or(first).min(restated);
        for day in from..=today {
            self.day(Day(day), stop)?;
            if cursor.is_none_or(|cursor| day >= cursor) {
                let next = day.saturating_add(1).to_string();
                self.cursors.set(&name, &next).map_err(cursor_error)?;
            }
        }
        Ok(())
    }

    fn day(&self, day: Day, stop: &Stop) -> Result<(), CallError> {
        for page in 1..=PAGES_MAX {
            let observed_at = self.clock.now();
            let text = self.page(day, page, stop)?;
            let wrong = |why: &str| CallError::Transient(format!("{PATH}: {why}"));
            let answer: Envelope<'_> =
                serde_json::from_str(&text).map_err(|_| wrong("an answer of another shape"))?;
            match answer.code.text().and_then(|code| code.parse::<i64>().ok()) {
                Some(0) => {}
                Some(code) if DENIED.contains(&code) => {
                    let why = format!("{PATH}: the access is refused (code {code})");
                    return Err(CallError::Denied(why));
                }
                Some(code) => return Err(wrong(&format!("code {code}"))),
                None => return Err(wrong("no answer of the API")),
            }
            let report = answer.data.unwrap_or_default();
            let rows = report.list.unwrap_or_default();
            if !rows.is_empty() {
                self.deliver(&rows, observed_at)?;
            }
            if page >= report.page_info.map_or(1, |info| info.total_page) {
                return Ok(());
            }
        }
        Err(CallError::Transient(format!("{PATH}: {day} has more than {PAGES_MAX} pages")))
    }

    fn page(&self, day: Day, page: u32, stop: &Stop) -> Result<String, CallError> {
        let Advertiser { advertiser, base_url, .. } = &self.advertiser;
        let (day, page) = (day.to_string(), page.to_string());
        let names = METRICS.map(|(name, _)| format!("\"{name}\"")).join(",");
        let metrics = format!("[\"spend\",{names}]");
        let answer = self.transport.send(PATH, stop, |agent| {
            let query = [
                ("advertiser_id", &**advertiser),
                ("report_type", "BASIC"),
                ("data_level", "AUCTION_CAMPAIGN"),
                ("dimensions", "[\"campaign_id\",\"stat_time_hour\"]"),
                ("metrics", &metrics),
                ("start_date", &day),
                ("end_date", &day),
                ("page_size", PAGE_SIZE),
                ("page", &page),
            ];
            let url = format!("{}{PATH}", base_url.trim_end_matches('/'));
            agent.get(url).query_pairs(query).header("Access-Token", &self.token).call()
        })?;
        match answer.status {
            200 => Ok(answer.text),
            401 | 403 => Err(CallError::Denied(format!("{PATH}: the access is refused"))),
            status => Err(CallError::Transient(format!("{PATH}: status {status}"))),
        }
    }

    fn deliver(&self, rows: &[&RawValue], observed_at: UtcMs) -> Result<(), CallError> {
        let rows: Vec<&str> = rows.iter().map(|row| row.get()).collect();
        let Advertiser { workspace, advertiser, currency, zone, .. } = &self.advertiser;
        let headers = [
            (ACCOUNT, Id::clone(advertiser)),
            (CURRENCY, currency.code().into()),
            (ZONE, zone.name().into()),
            (OBSERVED_AT, observed_at.0.to_string().into()),
        ];
        let delivery = Delivery {
            source: ADS.into(),
            workspace: workspace.clone(),
            received_at: observed_at,
            headers: headers.into_iter().map(|(name, text)| (name.into(), text)).collect(),
            body: format!("{{\"data\":{{\"list\":[{}]}}}}", rows.join(",")).into_bytes().into(),
        };
        let kept = self.intake.deliver_blocking(delivery);
        kept.map(|_| ()).map_err(|refused| CallError::Transient(refused.to_string()))
    }
}

impl Poll for ReportPoller {
    fn poll(&mut self, stop: &Stop) -> Result<(), PollError> {
        match self.round(stop) {
            Ok(()) => Ok(()),
            Err(error) => error.ends(REMEDY),
        }
    }
}
