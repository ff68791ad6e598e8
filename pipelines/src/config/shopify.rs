//! The section `[shopify]`: webhooks of each workspace's app, and shops that are asked.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::key::Id;
use ionflux_sources::shop;
use ionflux_sources::shopify::admin::{
    API_VERSION, API_VERSION_MIN, Account, Token, version_known,
};
use serde::Deserialize;

use super::workspace;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// The section `[shopify]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shopify {
    /// For each workspace the names of its app's client secrets, in the environment or the secrets
    /// file: several while they are being rotated.
    #[serde(default)]
    pub secret_variables: BTreeMap<String, Vec<String>>,
    /// For each workspace the shops its app is installed in, where others are to be refused.
    #[serde(default)]
    pub allowed_shops: BTreeMap<String, Vec<String>>,
    /// Shops that are asked for what webhooks lost, by their names.
    #[serde(default)]
    pub shops: BTreeMap<String, Shop>,
}

/// The section `[shopify.shops."NAME"]`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// The workspace the shop belongs to.
    pub workspace: String,
    /// The name of its access token, in the environment or the secrets file.
    pub token: String,
    /// Where it answers; at its own name if this is not given.
    pub base_url: Option<String>,
    /// The version of the Admin API.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// Minutes between two sweeps.
    #[serde(default = "sweep_minutes")]
    pub sweep_minutes: u64,
    /// Whether everything there was before is read first.
    #[serde(default = "backfill")]
    pub backfill: bool,
}

/// The longest pause between two sweeps: a day.
const SWEEP_MINUTES_MAX: u64 = 1_440;

fn api_version() -> String {
    API_VERSION.to_owned()
}

fn sweep_minutes() -> u64 {
    15
}

fn backfill() -> bool {
    true
}

impl Shop {
    fn check(&self, name: &str) -> Result<(), String> {
        let failed = |problem: &str| Err(format!("shopify.shops.{name:?}: {problem}"));
        workspace::check(&self.workspace).or_else(failed)?;
        if self.token.trim().is_empty() {
            return failed("the name of the secret with its token is needed");
        }
        if !version_known(&self.api_version) {
            let problem = format!(
                "api_version {:?} is none of the quarterly ones from {API_VERSION_MIN} on",
                self.api_version
            );
            return failed(&problem);
        }
        if !(1..=SWEEP_MINUTES_MAX).contains(&self.sweep_minutes) {
            return failed(&format!("sweep_minutes is not within 1 and {SWEEP_MINUTES_MAX}"));
        }
        match &self.base_url {
            Some(url) if !url.starts_with("https://") && !on_this_machine(url) => {
                failed("base_url must begin with https://, for it is sent the token")
            }
            _ => Ok(()),
        }
    }

    /// The shop as it is asked.
    ///
    /// # Errors
    /// A usage failure that names the secret that is missing.
    pub fn account(&self, name: &str, secrets: &Secrets) -> Result<Account, Failure> {
        let name = &*shop::folded(name);
        let purpose = format!("the access token of the app in the shop {name}");
        let token = secrets.get(&self.token, &purpose)?;
        let base_url = self.base_url.clone().unwrap_or_else(|| format!("https://{name}"));
        Ok(Account {
            workspace: self.workspace.as_str().into(),
            shop: name.into(),
            base_url: base_url.into(),
            version: self.api_version.as_str().into(),
            token: Token::new(token.trim().to_owned()),
            token_name: self.token.as_str().into(),
        })
    }
}

/// Whether an address without TLS stays on this machine.
fn on_this_machine(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
    host.is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host))
}

impl Shopify {
    /// The shop of each workspace that has one only.
    #[must_use]
    pub fn only_shops(&self) -> BTreeMap<String, String> {
        let mut shops: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for (name, shop) in &self.shops {
            shops.entry(&shop.workspace).or_default().push(name);
        }
        let only = |(workspace, names): (&str, Vec<&String>)| match names[..] {
            [name] => Some((workspace.to_owned(), shop::folded(name).into_owned())),
            _ => None,
        };
        shops.into_iter().filter_map(only).collect()
    }

    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(&self) -> Result<(), String> {
        for (workspace, variables) in &self.secret_variables {
            let problem =
                |problem: &str| Err(format!("shopify.secret_variables.{workspace:?}: {problem}"));
            workspace::check(workspace).or_else(problem)?;
            if variables.is_empty() {
                return problem("a workspace needs at least one variable");
            }
        }
        for (workspace, shops) in &self.allowed_shops {
            let problem =
                |problem: &str| Err(format!("shopify.allowed_shops.{workspace:?}: {problem}"));
            workspace::check(workspace).or_else(problem)?;
            if shops.is_empty() {
                return problem("without a shop nothing would come in");
            }
            let wrong = shops.iter().find_map(|name| shop::name(name).err());
            wrong.map_or(Ok(()), |wrong| problem(&wrong.to_string()))?;
        }
        self.shops.iter().try_for_each(|(name, shop)| shop.check(name))?;
        self.check_names()
    }

    /// Every shop that is asked has a name of its own, by which its webhooks call it, too.
    fn check_names(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for (text, Shop { workspace, .. }) in &self.shops {
            let failed = |problem: &str| Err(format!("shopify.shops.{text:?}: {problem}"));
            let named = match self.allowed(workspace) {
                Some(allowed) => match shop::name(text) {
                    Ok(name) if !allowed.contains(&name) => {
                        return failed("shopify.allowed_shops has a list without it");
                    }
                    read => read,
                },
                None => shop::of_shopify(text),
            };
            let name = named.or_else(|wrong| failed(&wrong.to_string()).map(|()| Id::default()))?;
            if !seen.insert(name) {
                return failed("the shop is there twice");
            }
        }
        Ok(())
    }

    /// The shops of a workspace's app, where there is a list of them.
    #[must_use]
    pub fn allowed(&self, workspace: &str) -> Option<BTreeSet<Id>> {
        let shops = self.allowed_shops.get(workspace)?;
        Some(shops.iter().filter_map(|name| shop::name(name).ok()).collect())
    }

    /// The secrets of every workspace.
    ///
    /// # Errors
    /// A usage failure that names the secret that is missing.
    pub fn secrets(&self, secrets: &Secrets) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let purpose = "the client secret of the Shopify app that sends webhooks";
        let of = |(workspace, names): (&String, &Vec<String>)| {
            let held =
                names.iter().map(|name| secrets.get(name, purpose)).collect::<Result<_, _>>()?;
            Ok((workspace.clone(), held))
        };
        self.secret_variables.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn checked(shop: &str, more: &str) -> Result<(), String> {
        let text = format!("[shops.{shop:?}]\nworkspace = \"acme\"\ntoken = \"T\"\n{more}");
        toml::from_str::<Shopify>(&text).unwrap().check()
    }

    #[test]
    fn shops_are_checked_before_anything_is_asked() {
        let acme = "acme.myshopify.com";
        assert_eq!(checked(acme, ""), Ok(()));
        assert_eq!(checked("https://ACME.myshopify.com/", ""), Ok(()));
        let twice = "[shops.\"Acme.myshopify.com.\"]\nworkspace = \"acme\"\ntoken = \"T\"\n";
        assert!(checked(acme, twice).unwrap_err().contains("there twice"));
        assert_eq!(checked(acme, "base_url = \"http://127.0.0.1:8099/\""), Ok(()));
        for (shop, more, told) in [
            ("../etc", "", "acme.myshopify.com"),
            ("954889", "", "a number of a shop"),
            ("shop.acme.example", "", "on Shopify"),
            (acme, "base_url = \"http://shop.example\"", "https://"),
            (acme, "base_url = \"http://127.0.0.1.shop.example\"", "https://"),
            (acme, "api_version = \"2025-10\"", "2026-01"),
            (acme, "sweep_minutes = 0", "sweep_minutes"),
        ] {
            let problem = checked(shop, more).unwrap_err();
            assert!(problem.contains(told) && problem.contains("shopify.shops"), "{problem}");
        }
    }

    #[test]
    fn a_list_of_shops_holds_for_those_that_are_asked_too() {
        let list = |shops: &str| format!("[allowed_shops]\nacme = [{shops}]\n");
        let (acme, local) = ("acme.myshopify.com", "shop.localhost");
        let both = list("\"ACME.myshopify.com.\", \"shop.localhost\"");
        assert_eq!((checked(acme, &both), checked(local, &both)), (Ok(()), Ok(())));
        let shopify: Shopify = toml::from_str(&both).unwrap();
        let names = [acme, local].map(Id::from);
        assert_eq!((shopify.allowed("acme"), shopify.allowed("b")), (Some(names.into()), None));
        for (shop, shops, told) in [
            (local, list("\"acme.myshopify.com\""), "without it"),
            (acme, list(""), "allowed_shops.\"acme\": without a shop"),
            (acme, list("\"954889\""), "allowed_shops.\"acme\": \"954889\" is a number"),
        ] {
            let problem = checked(shop, &shops).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn the_shop_of_a_workspace_is_known_where_it_has_one_only() {
        let shop = |name: &str, workspace: &str| {
            format!(
                "[shopify.shops.\"{name}.myshopify.com\"]\nworkspace = \"{workspace}\"\n\
                 token = \"T\"\n"
            )
        };
        let text = [shop("a", "one"), shop("b", "two"), shop("c", "two")].concat();
        let shops = Config::parse(&text).unwrap().shopify.unwrap().only_shops();
        assert_eq!(shops, BTreeMap::from([("one".into(), "a.myshopify.com".into())]));
    }
}
