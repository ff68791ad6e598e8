//! Shopify: the door for webhooks, and the shops that are asked.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ionflux_schemas::health::{Condition, Health};
use ionflux_sources::poller::Poller;
use ionflux_sources::shop::folded;
use ionflux_sources::shopify::admin::poll::Admin;
use ionflux_sources::shopify::admin::{Account, Client, Patient};
use ionflux_sources::shopify::door::{self, App};
use ionflux_sources::shopify::signature::Secrets;

use super::{Connected, World};
use crate::config::{Config, Shop, Shopify};
use crate::failure::Failure;

/// Where exports are kept while they are delivered, beside the cursors.
const DOWNLOADS: &str = "downloads";

/// Opens the door of the section `[shopify]`, and asks its shops.
///
/// # Errors
/// When a secret is missing.
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    sweep(config, &world.cursors.beside(DOWNLOADS));
    let Some(shopify) = &config.shopify else { return Ok(()) };
    let secrets = shopify.secrets(&world.secrets)?.into_iter();
    let app = |(workspace, held): (String, Vec<String>)| {
        let (secrets, shops) = (Secrets::new(held), shopify.allowed(&workspace));
        (workspace, App { secrets, shops })
    };
    let apps = secrets.map(app).collect();
    let asked = accounts(shopify, world)?;
    if !shopify.secret_variables.is_empty() {
        connected.open(door::router::<App>(world.doors.clone(), apps));
    }
    asked.into_iter().try_for_each(|(account, shop)| ask(account, shop, world, connected))
}

/// Every shop with its token, before the first of them is asked.
fn accounts<'c>(shopify: &'c Shopify, world: &World) -> Result<Vec<(Account, &'c Shop)>, Failure> {
    let account = |(name, shop): (&String, &'c Shop)| {
        shop.account(name, &world.secrets).map(|account| (account, shop))
    };
    shopify.shops.iter().map(account).collect()
}

fn ask(
    account: Account,
    shop: &Shop,
    world: &World,
    connected: &mut Connected,
) -> Result<(), Failure> {
    let failed = |cause: std::io::Error| {
        Failure::world(format!("no thread: {cause}"), "check the limits of this account")
    };
    let name = account.shop.clone();
    let client = Client::new(account, Arc::clone(&world.clock), Arc::new(Patient));
    let admin = Admin::new(client, world.intake.clone(), world.cursors.clone());
    let mut admin = admin.map_err(failed)?;
    if shop.backfill {
        let folder = world.cursors.beside(DOWNLOADS).join(&*name);
        world.subjects.downloads_of((&shop.workspace, &name), folder.clone());
        admin = admin.with_backfill(folder);
    }
    let progress = admin.progress();
    let every = Duration::from_secs(shop.sweep_minutes * 60);
    let clock = Arc::clone(&world.clock);
    let poller = Poller::start(&format!("shopify {name}"), every, clock, Box::new(admin));
    let poller = poller.map_err(failed)?;
    let health = poller.health();
    world.board.source(move || with_progress(health(), &progress));
    connected.pollers.push(poller);
    Ok(())
}

/// Removes the exports of shops that nobody reads to their end any more: they hold ids of people.
fn sweep(config: &Config, folder: &Path) {
    let shops = config.shopify.as_ref().map(|shopify| &shopify.shops);
    let read = |name: &OsStr| {
        let named = |(given, shop): (&String, &Shop)| {
            shop.backfill && name.to_str() == Some(&*folded(given))
        };
        shops.is_some_and(|shops| shops.iter().any(named))
    };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| !read(&entry.file_name())) {
        if let Err(cause) = fs::remove_dir_all(entry.path()) {
            tracing::warn!("{} cannot be removed: {cause}", entry.path().display());
        }
    }
}

/// How a shop is, with how far its backfill is: the first round can take hours.
fn with_progress(mut health: Health, progress: &Mutex<String>) -> Health {
    let told = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if told.is_empty() || !health.reason.is_empty() {
        return health;
    }
    if health.state == Condition::Starting {
        health.state = Condition::Running;
    }
    health.reason = told.into();
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exports_that_nobody_reads_on_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let text = |name: &str, more: &str| {
            format!("[shopify.shops.\"{name}\"]\nworkspace = \"w\"\ntoken = \"T\"\n{more}")
        };
        let shops = [text("ACME.myshopify.com", ""), text("b.myshopify.com", "backfill = false\n")];
        let config = Config::parse(&shops.concat()).unwrap();
        for shop in ["acme.myshopify.com", "b.myshopify.com", "gone.myshopify.com"] {
            fs::create_dir(folder.path().join(shop)).unwrap();
        }
        sweep(&config, folder.path());
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["acme.myshopify.com"]);
    }
}
