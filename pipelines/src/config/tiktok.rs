//! The section `[tiktok]`: webhooks, and shops and advertisers that are asked.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::currency::Currency;
use ionflux_schemas::time::Zone;
use serde::Deserialize;

use super::workspace;

/// The section `[tiktok]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tiktok {
    /// For each workspace its app on TikTok Shop.
    pub apps: BTreeMap<String, App>,
    /// Shops that are asked for their orders.
    pub shops: Vec<Shop>,
    /// For each workspace the names of the client secrets of its app on TikTok for Developers.
    pub developer_secret_variables: BTreeMap<String, Vec<String>>,
    /// How many seconds the signature of a developer webhook may be old.
    pub tolerance_s: u32,
    /// Advertisers whose spend is asked for.
    pub advertisers: Vec<Advertiser>,
    /// The API of TikTok Shop.
    pub shop_url: String,
    /// Where the tokens of shops are renewed.
    pub auth_url: String,
    /// The API of TikTok Ads.
    pub ads_url: String,
    /// Minutes between two sweeps.
    pub sweep_minutes: u16,
    /// How many days the first sweep reaches back.
    pub backfill_days: u16,
}

/// An app on TikTok Shop.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its key, which is no secret.
    pub key: String,
    /// The names of its secrets: several while they are being rotated, the one in use first.
    pub secret_variables: Vec<String>,
}

/// A shop that is asked for its orders.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// The tenant.
    pub workspace: String,
    /// The shop's id.
    pub id: String,
    /// The shop's cipher, which is no secret.
    pub cipher: String,
    /// The name of its access token.
    pub token_variable: String,
    /// The name of what renews the token, if it is to be renewed.
    pub refresh_token_variable: Option<String>,
    /// The zone of its days.
    pub timezone: Option<String>,
}

/// An advertiser whose spend is asked for.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advertiser {
    /// The tenant.
    pub workspace: String,
    /// The advertiser's id.
    pub id: String,
    /// The currency of its account.
    pub currency: String,
    /// The zone of its account.
    pub timezone: String,
    /// The name of its access token.
    pub token_variable: String,
}

/// A signature may not be older than TikTok tries to deliver, and five minutes.
const TOLERANCE_S_MAX: u32 = 72 * 3_600 + 300;
/// The furthest a first sweep reaches.
const BACKFILL_DAYS_MAX: u16 = 3_650;

impl Default for Tiktok {
    fn default() -> Self {
        Self {
            apps: BTreeMap::new(),
            shops: Vec::new(),
            developer_secret_variables: BTreeMap::new(),
            tolerance_s: 300,
            advertisers: Vec::new(),
            shop_url: "https://open-api.tiktokglobalshop.com".into(),
            auth_url: "https://auth.tiktok-shops.com".into(),
            ads_url: "https://business-api.tiktok.com".into(),
            sweep_minutes: 15,
            backfill_days: 60,
        }
    }
}

impl Tiktok {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        for (workspace, app) in &self.apps {
            let failed = |problem: &str| Err(format!("tiktok.apps.{workspace:?}: {problem}"));
            workspace::check(workspace).or_else(failed)?;
            if blank(&app.key) || app.secret_variables.is_empty() {
                return failed("a key and at least one variable are needed");
            }
        }
        for (workspace, variables) in &self.developer_secret_variables {
            let failed = |problem: &str| {
                Err(format!("tiktok.developer_secret_variables.{workspace:?}: {problem}"))
            };
            workspace::check(workspace).or_else(failed)?;
            if variables.is_empty() {
                return failed("at least one variable is needed");
            }
        }
        self.check_shops()?;
        self.check_advertisers()?;
        for (name, url) in
            [("shop_url", &self.shop_url), ("auth_url", &self.auth_url), ("ads_url", &self.ads_url)]
        {
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(format!("tiktok.{name}: {url:?} begins with neither https nor http"));
            }
        }
        let within = |name: &str, value: u32, from: u32, to: u32| match (from..=to).contains(&value)
        {
            true => Ok(()),
            false => Err(format!("tiktok.{name} is {value}, outside {from} to {to}")),
        };
        within("tolerance_s", self.tolerance_s, 1, TOLERANCE_S_MAX)?;
        within("sweep_minutes", self.sweep_minutes.into(), 1, 1_440)?;
        within("backfill_days", self.backfill_days.into(), 1, BACKFILL_DAYS_MAX.into())
    }

    fn check_shops(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for shop in &self.shops {
            let Shop { workspace, id, cipher, token_variable, timezone, .. } = shop;
            if [workspace, id, cipher, token_variable].iter().any(|text| blank(text)) {
                let problem = "workspace, id, cipher and token_variable are needed";
                return Err(format!("tiktok.shops {id:?}: {problem}"));
            }
            if !self.apps.contains_key(workspace) {
                return Err(format!("tiktok.shops {id:?}: tiktok.apps has no {workspace:?}"));
            }
            if !seen.insert((workspace, id)) {
                return Err(format!("tiktok.shops {id:?} is there twice"));
            }
            let zone = timezone.as_deref().map(Zone::parse).transpose();
            zone.map_err(|error| format!("tiktok.shops {id:?}: timezone: {error}"))?;
        }
        Ok(())
    }

    fn check_advertisers(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for advertiser in &self.advertisers {
            let Advertiser { workspace, id, currency, timezone, token_variable } = advertiser;
            if [id, token_variable].iter().any(|text| blank(text)) {
                let problem = "id and token_variable are needed";
                return Err(format!("tiktok.advertisers {id:?}: {problem}"));
            }
            workspace::check(workspace)
                .map_err(|problem| format!("tiktok.advertisers {id:?}: {problem}"))?;
            if !seen.insert((workspace, id)) {
                return Err(format!("tiktok.advertisers {id:?} is there twice"));
            }
            let wrong = |problem: String| format!("tiktok.advertisers {id:?}: {problem}");
            Currency::parse(currency).map_err(|error| wrong(error.to_string()))?;
            Zone::parse(timezone).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(())
    }
}

fn blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn mistakes_are_named() {
        let app = "[tiktok.apps.a]\nkey = \"k\"\nsecret_variables = [\"S\"]\n";
        let shop = "[[tiktok.shops]]\nworkspace = \"a\"\nid = \"1\"\ncipher = \"c\"\n\
                    token_variable = \"T\"\n";
        let ads = "[[tiktok.advertisers]]\nworkspace = \"a\"\nid = \"7\"\ncurrency = \"CAN\"\n\
                   timezone = \"UTC\"\ntoken_variable = \"T\"\n";
        assert!(Config::parse(&[app, shop].concat()).is_ok());
        assert!(Config::parse("[tiktok]").is_ok());
        let zoned = |zone: &str| [app, shop, &format!("timezone = {zone:?}\n")].concat();
        assert!(Config::parse(&zoned("Asia/Jakarta")).is_ok());
        for (text, named) in [
            (shop.to_owned(), "tiktok.apps has no"),
            ([app, shop, shop].concat(), "there twice"),
            (app.replace("[\"S\"]", "[]"), "tiktok.apps.\"a\""),
            (zoned("Jakarta"), "tiktok.shops \"1\": timezone"),
            (app.replace("apps.a", "apps.\"a?b\""), "tiktok.apps.\"a?b\""),
            (ads.replace("\"a\"", "\" a\"").replace("CAN", "CAD"), "tiktok.advertisers \"7\""),
            (
                "[tiktok.developer_secret_variables]\n\"a/b\" = [\"S\"]".to_owned(),
                "developer_secret_variables.\"a/b\"",
            ),
            (ads.to_owned(), "CAN"),
            ("[tiktok]\ntolerance_s = 0".to_owned(), "tolerance_s"),
            ("[tiktok]\nshop_url = \"ftp://x\"".to_owned(), "shop_url"),
            ("[tiktok]\nsecret = \"x\"".to_owned(), "secret"),
        ] {
            let problem = Config::parse(&text).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }
}
