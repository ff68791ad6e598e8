//! What a replay came to, in a few lines for people.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::view::Value;

/// The most shops listed one by one.
const SHOPS_MAX: usize = 10;

/// The totals of each shop and currency, and the faults by kind.
#[must_use]
pub fn text(snapshot: &Snapshot, records: u64, taken: Duration) -> String {
    let seconds = taken.as_secs_f64();
    let rate = records as f64 / seconds.max(0.001);
    let epoch = snapshot.upper;
    let mut lines =
        vec![format!("{records} records in {seconds:.1} s ({rate:.0}/s), epoch {epoch}")];
    let shops = shops(snapshot);
    if !shops.is_empty() {
        let (shop, from, to, orders) = ("shop", "from", "to", "orders");
        let (gross, returns, net) = ("gross sales", "returns", "net sales");
        lines.push(format!(
            "\n{shop:<28} {from:<10} {to:<10} {orders:>9} {gross:>16} {returns:>14} {net:>16}"
        ));
    }
    lines.extend(shops.iter().take(SHOPS_MAX).map(|(shop, totals)| format!("{shop:<28} {totals}")));
    if shops.len() > SHOPS_MAX {
        lines.push(format!("... and {} more", shops.len() - SHOPS_MAX));
    }
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for row in snapshot.rows("faults").unwrap_or_default() {
        *kinds.entry(row.0[3].to_string()).or_default() += 1;
    }
    if !kinds.is_empty() {
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let kinds = kinds.join(", ");
        lines.push(format!("\nfaults: {kinds} (view faults: what, where and what to do)"));
    }
    lines.join("\n") + "\n"
}

/// Where the results are, or that they are nowhere.
#[must_use]
pub fn whereabouts(state: Option<&Path>, export: Option<&Path>) -> String {
    let mut text = String::new();
    if let Some(folder) = export {
        text += &format!("\nexported to {}\n", folder.display());
    }
    if let Some(folder) = state {
        let shown = folder.display();
        let sql = "SELECT * FROM revenue_by_day LIMIT 10";
        text += &format!("\nask it: ionflux query --state {shown} \"{sql}\"\n");
    }
    if state.is_none() && export.is_none() {
        text += "\nnothing was kept: add --state DIR to query it, or --export DIR for files\n";
    }
    text
}

struct Totals {
    from: Value,
    to: Value,
    orders: i64,
    money: [Money; 3],
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [gross, returns, net] = self.money.map(|money| money.to_string());
        let (from, to, orders) = (self.from.to_string(), self.to.to_string(), self.orders);
        let currency = self.money[0].currency;
        write!(f, "{from:<10} {to:<10} {orders:>9} {gross:>16} {returns:>14} {net:>16} {currency}")
    }
}

/// `revenue_by_day` summed over its days and channels.
fn shops(snapshot: &Snapshot) -> BTreeMap<String, Totals> {
    let mut shops: BTreeMap<String, Totals> = BTreeMap::new();
    for row in snapshot.rows("revenue_by_day").unwrap_or_default() {
        // In the order of the view's schema.
        let [workspace, shop, day, currency, _, Value::Int(orders), ..] = row.0.as_slice() else {
            continue;
        };
        let (Value::Money(gross), Value::Money(returns), Value::Money(net)) =
            (&row.0[8], &row.0[10], &row.0[11])
        else {
            continue;
        };
        let added = [*gross, *returns, *net];
        let name = format!("{workspace}/{shop} {currency}");
        let totals = shops.entry(name).or_insert_with(|| Totals {
            from: day.clone(),
            to: day.clone(),
            orders: 0,
            money: added.map(|money| Money { minor: 0, ..money }),
        });
        totals.orders += orders;
        totals.from = totals.from.clone().min(day.clone());
        totals.to = totals.to.clone().max(day.clone());
        totals.money.iter_mut().zip(added).for_each(|(sum, money)| sum.minor += money.minor);
    }
    shops
}
