//! TikTok: the doors for webhooks, the shops and the advertisers that are asked.

use std::collections::BTreeMap;
use std::time::Duration;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::time::{TimeError, Zone};
use ionflux_sources::poller::{Poll, Poller};
use ionflux_sources::tiktok::client::{Asked, Client, Credentials};
use ionflux_sources::tiktok::door::{self, HintsOf};
use ionflux_sources::tiktok::hints::Hints;
use ionflux_sources::tiktok::poller::{Ends, Shop, ShopPoller};
use ionflux_sources::tiktok::reports::{self, Advertiser, ReportPoller};
use ionflux_sources::tiktok::signature::{DeveloperApp, ShopApp};
use ionflux_sources::tiktok::tokens::Tokens;
use ionflux_sources::tiktok::transport::Transport;

use super::{Connected, World};
use crate::config::Config;
use crate::config::tiktok as config;
use crate::failure::Failure;

/// The wait before a request is sent again.
const PAUSE: Duration = Duration::from_millis(500);

/// The folder of renewed tokens, beside that of the cursors.
const TOKENS: &str = "tokens";

/// Opens the doors of the section `[tiktok]`, and asks its shops and advertisers.
///
/// # Errors
/// When a secret is missing, or there can be no further thread.
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    let Some(tiktok) = &config.tiktok else { return Ok(()) };
    let mut apps = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    for (workspace, app) in &tiktok.apps {
        let held = held(world, &app.secret_variables, "a secret of the TikTok Shop app")?;
        apps.insert(workspace.clone(), ShopApp::new(&app.key, &held));
        secrets.insert(workspace.as_str(), (app.key.as_str(), held));
    }
    let mut hints = HintsOf::new();
    for shop in &tiktok.shops {
        // The configuration was checked: every shop's workspace has an app with a secret.
        let Some((key, held)) = secrets.get(shop.workspace.as_str()) else { continue };
        let secret = held.first().cloned().unwrap_or_default();
        let asked = ask_shop(tiktok, shop, (key, secret), world, connected)?;
        hints.insert((shop.workspace.as_str().into(), shop.id.as_str().into()), asked);
    }
    if !apps.is_empty() {
        connected.open(door::shops(world.doors.clone(), apps, hints));
    }
    let mut developers = BTreeMap::new();
    for (workspace, variables) in &tiktok.developer_secret_variables {
        let held = held(world, variables, "a client secret of the TikTok for Developers app")?;
        developers.insert(workspace.clone(), DeveloperApp::new(held));
    }
    if !developers.is_empty() {
        let doors = world.doors.clone();
        connected.open(door::developers(doors, developers, tiktok.tolerance_s));
    }
    let each = &tiktok.advertisers;
    each.iter().try_for_each(|one| ask_advertiser(tiktok, one, world, connected))
}

fn held(world: &World, names: &[String], purpose: &str) -> Result<Vec<String>, Failure> {
    names.iter().map(|name| world.secrets.get(name, purpose)).collect()
}

/// Starts asking a shop; gives where its hints go.
fn ask_shop(
    tiktok: &config::Tiktok,
    shop: &config::Shop,
    (app_key, app_secret): (&str, String),
    world: &World,
    connected: &mut Connected,
) -> Result<Hints, Failure> {
    let asked = Asked {
        base_url: tiktok.shop_url.clone(),
        auth_url: tiktok.auth_url.clone(),
        app_key: app_key.to_owned(),
        shop_cipher: shop.cipher.clone(),
        pause: PAUSE,
    };
    let purpose = "what renews the access token of a TikTok shop";
    let refresh = shop.refresh_token_variable.as_ref();
    let credentials = Credentials {
        app_secret,
        access_token: world.secrets.get(&shop.token_variable, "the token of a TikTok shop")?,
        refresh_token: refresh.map(|name| world.secrets.get(name, purpose)).transpose()?,
    };
    let every = Duration::from_secs(u64::from(tiktok.sweep_minutes) * 60);
    let whose = Shop {
        workspace: shop.workspace.as_str().into(),
        shop: shop.id.as_str().into(),
        sweep_every_ms: i64::from(tiktok.sweep_minutes) * 60_000,
        backfill_s: i64::from(tiktok.backfill_days) * 86_400,
        zone: shop.timezone.as_deref().map(Zone::parse).transpose().map_err(wrong_zone)?,
    };
    let hints = Hints::default();
    let client = Client::new(asked, credentials, world.clock.clone());
    let tokens = Tokens::open(&world.cursors.beside(TOKENS), (&shop.workspace, &shop.id));
    let client = tokens.and_then(|tokens| client.keeping(tokens)).map_err(|cause| {
        let hint = "check the state folder: what TikTok renewed is kept in it";
        Failure::world(format!("the tokens of a TikTok shop: {cause}"), hint)
    })?;
    let ends = Ends {
        intake: world.intake.clone(),
        cursors: world.cursors.clone(),
        clock: world.clock.clone(),
        hints: hints.clone(),
    };
    let source = ShopPoller::new(whose, client, ends);
    let poller = started(&format!("tiktok/{}", shop.id), every, world, Box::new(source))?;
    hints.wake(poller.waker());
    connected.ask(poller, &world.board);
    Ok(hints)
}

fn wrong_zone(error: TimeError) -> Failure {
    Failure::usage(format!("tiktok.shops: {error}"), "see config/reference.toml")
}

fn ask_advertiser(
    tiktok: &config::Tiktok,
    advertiser: &config::Advertiser,
    world: &World,
    connected: &mut Connected,
) -> Result<(), Failure> {
    let config::Advertiser { workspace, id, currency, timezone, token_variable } = advertiser;
    let hint = "see config/reference.toml";
    let wrong = |problem: String| Failure::usage(format!("tiktok.advertisers: {problem}"), hint);
    let whose = Advertiser {
        workspace: workspace.as_str().into(),
        advertiser: id.as_str().into(),
        currency: Currency::parse(currency).map_err(|error| wrong(error.to_string()))?,
        zone: Zone::parse(timezone).map_err(|error| wrong(error.to_string()))?,
        base_url: tiktok.ads_url.clone(),
        backfill_days: tiktok.backfill_days,
    };
    let token = world.secrets.get(token_variable, "the token of a TikTok advertiser")?;
    let ends = reports::Ends {
        intake: world.intake.clone(),
        cursors: world.cursors.clone(),
        clock: world.clock.clone(),
    };
    let source = ReportPoller::new(whose, token, Transport::new(PAUSE), ends);
    let every = Duration::from_secs(u64::from(tiktok.sweep_minutes) * 60);
    let poller = started(&format!("tiktok-ads/{id}"), every, world, Box::new(source))?;
    connected.ask(poller, &world.board);
    Ok(())
}

fn started(
    name: &str,
    every: Duration,
    world: &World,
    source: Box<dyn Poll>,
) -> Result<Poller, Failure> {
    let hint = "check the limits of this account";
    Poller::start(name, every, world.clock.clone(), source)
        .map_err(|cause| Failure::world(format!("no thread: {cause}"), hint))
}
