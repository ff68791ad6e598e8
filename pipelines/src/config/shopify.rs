//! The section `[shopify]`: webhooks of each workspace's app, and shops that are asked.

use std::collections::BTreeMap;

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
/// The longest name of a shop: a domain name has no more.
const SHOP_BYTES_MAX: usize = 255;

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
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        };
        let named = !name.is_empty() && name.len() <= SHOP_BYTES_MAX && !name.starts_with('.');
        if !named || !name.bytes().all(plain) {
            return failed("the name of a shop is one such as acme.myshopify.com");
        }
        if self.workspace.trim().is_empty() || self.token.trim().is_empty() {
            return failed("a workspace and the name of the secret with its token are needed");
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
            [name] => Some((workspace.to_owned(), name.clone())),
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
        self.shops.iter().try_for_each(|(name, shop)| shop.check(name))
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
        assert_eq!(checked(acme, "base_url = \"http://127.0.0.1:8099/\""), Ok(()));
        for (shop, more, told) in [
            ("../etc", "", "the name of a shop"),
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
