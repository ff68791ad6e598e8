//! A shop that is asked: its past is read once, swept from then on, and its totals are compared.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::certificates::Pair;
use crate::instance::Instance;

const TOKEN: &str = "shpat_of_the_test";
/// How often the views are asked for before it counts as a failure.
const QUESTIONS_MAX: usize = 100_000;

/// A shop of one order, and what it was asked for.
struct Shop {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    /// What its analytics say the gross sales were.
    gross: Arc<Mutex<&'static str>>,
}

impl Shop {
    /// Opens the shop; it stays open as long as the test's process.
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, gross) = (Arc::default(), Arc::new(Mutex::new("20.20")));
        let shop = Self { url, asked, gross };
        let (url, asked, gross) = (shop.url.clone(), shop.asked.clone(), shop.gross.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up early asks again.
                let _ = answer(stream, &url, &asked, &gross);
            }
        });
        shop
    }

    fn times(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

fn answer(
    mut stream: TcpStream,
    url: &str,
    asked: &Mutex<Vec<String>>,
    gross: &Mutex<&'static str>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut head) = (String::new(), Vec::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => head.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let header = |name: &str| head.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = if first.starts_with("GET /file ") {
        export()
    } else {
        assert_eq!(header("x-shopify-access-token"), Some(TOKEN));
        let body: Value = serde_json::from_slice(&body).unwrap();
        let query = body["query"].as_str().unwrap();
        let name = query.split([' ', '(']).nth(1).unwrap().to_owned();
        let products = body["variables"]["query"].as_str().unwrap_or_default().contains("products");
        let data = data(&name, (url, &body["variables"], products), *gross.lock().unwrap());
        asked.lock().unwrap().push(name);
        json!({ "data": data }).to_string()
    };
    let length = text.len();
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}")
}

fn money(amount: &str) -> Value {
    json!({ "shopMoney": { "amount": amount, "currencyCode": "EUR" } })
}

/// The export of the one order: its line first.
fn export() -> String {
    let order = "gid://shopify/Order/1";
    let line = json!({ "id": "gid://shopify/LineItem/1", "quantity": 2, "isGiftCard": false,
        "originalUnitPriceSet": money("10.10"), "taxLines": [], "discountAllocations": [],
        "__parentId": order });
    let order = json!({ "id": order, "createdAt": "2026-03-01T22:30:00Z",
        "processedAt": "2026-03-01T22:30:00Z", "updatedAt": "2026-03-01T22:30:00Z",
        "test": false, "currencyCode": "EUR", "taxesIncluded": false, "sourceName": "web",
        "totalPriceSet": money("20.20"), "totalTaxSet": money("0.0"), "refunds": [],
        "transactions": [] });
    format!("{line}\n{order}\n")
}

fn data(name: &str, (url, variables, products): (&str, &Value, bool), gross: &str) -> Value {
    let operation = |number: usize| format!("gid://shopify/BulkOperation/{number}");
    match name {
        "Shop" => json!({ "shop": { "myshopifyDomain": "acme.myshopify.com",
            "ianaTimezone": "Europe/Berlin", "currencyCode": "EUR" } }),
        "BulkStart" => json!({ "bulkOperationRunQuery": { "userErrors": [],
            "bulkOperation": { "id": operation(usize::from(products)), "createdAt": null } } }),
        "BulkLook" => {
            // Operation 0 exports orders, operation 1 products, of which there are none.
            let file = (variables["id"] == operation(0)).then(|| format!("{url}/file"));
            json!({ "node": { "status": "COMPLETED", "url": file, "query": "" } })
        }
        "OrdersPage" => json!({ "orders": { "nodes": [], "pageInfo": { "hasNextPage": false } } }),
        "Analytics" => json!({ "shopifyqlQuery": { "parseErrors": [], "tableData": {
            "columns": [], "rows": [{ "day": "2026-03-01", "orders": "1", "gross_sales": gross,
                "discounts": "0.00", "sales_reversals": "0.00", "net_sales": "20.20",
                "shipping_charges": "0.00", "taxes": "0.00", "total_sales": "20.20" }] } } }),
        other => panic!("nobody answers {other}"),
    }
}

fn reconcile(folder: &Path, more: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ionflux"))
        .args(["reconcile", "--from", "2026-02-25", "--to", "2026-03-05", "--config"])
        .arg(folder.join("ionflux.toml"))
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains(TOKEN) && !said.contains("panicked"), "{said}");
    output
}

#[test]
fn a_shop_is_read_once_swept_from_then_on_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open();
    let secrets = folder.path().join("secrets.env");
    std::fs::write(&secrets, format!("ACME_TOKEN={TOKEN}\n")).unwrap();
    std::fs::set_permissions(&secrets, PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "secrets_file = \"secrets.env\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [shopify.shops.\"acme.myshopify.com\"]\nworkspace = \"acme\"\ntoken = \"ACME_TOKEN\"\n\
         base_url = \"{}\"\n",
        shop.url
    );
    let instance = Instance::configured(folder.path(), &config).listening();
    let there = |_| instance.get("/v1/views/revenue_by_day").1.contains("20.20");
    assert!((0..QUESTIONS_MAX).any(there), "never counted");
    let swept = |_| shop.times("OrdersPage") > 0;
    assert!((0..QUESTIONS_MAX).any(|at| instance.get("/readyz").0 > 0 && swept(at)));
    assert!(instance.get("/readyz").1.contains("shopify acme.myshopify.com"));

    let url = ["--url", instance.address()];
    let equal = reconcile(folder.path(), &url);
    let said = String::from_utf8_lossy(&equal.stderr).into_owned();
    assert_eq!((equal.status.code(), equal.stdout.len()), (Some(0), 0), "{said}");
    *shop.gross.lock().unwrap() = "22.00";
    let differs = reconcile(folder.path(), &url);
    let table = String::from_utf8(differs.stdout).unwrap();
    let said = String::from_utf8_lossy(&differs.stderr).into_owned();
    assert_eq!(differs.status.code(), Some(1), "{said}");
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["acme.myshopify.com", "2026-03-01", "gross_sales", "20.2", "22", "-1.8"]);
    assert!(rows.len() == 2 && said.contains("acme.myshopify.com on 2026-03-01"), "{said}");
    instance.terminate();

    // The state says the same, and a second start asks for no second export.
    let kept = folder.path().join("state").display().to_string();
    let listed = reconcile(folder.path(), &["--output", "json", "--state", &kept]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["theirs"], "22");
    let before = shop.times("OrdersPage");
    let instance = Instance::configured(folder.path(), &config).listening();
    let swept = |_| instance.get("/readyz").0 > 0 && shop.times("OrdersPage") > before;
    assert!((0..QUESTIONS_MAX).any(swept), "never swept");
    assert_eq!(shop.times("BulkStart"), 2);
    instance.terminate();
}

#[test]
fn a_shop_that_cannot_be_reached_takes_nothing_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets.env");
    std::fs::write(&secrets, format!("ACME_TOKEN={TOKEN}\n")).unwrap();
    std::fs::set_permissions(&secrets, PermissionsExt::from_mode(0o600)).unwrap();
    // It takes the request, and answers after the end of the test.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sections = format!(
        "[shopify.shops.\"gone.myshopify.com\"]\nworkspace = \"acme\"\ntoken = \"ACME_TOKEN\"\n\
         base_url = \"http://{}\"\n",
        silent.local_addr().unwrap()
    );
    let config = format!(
        "secrets_file = \"secrets.env\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [shopify.secret_variables]\nacme = [\"ACME_TOKEN\"]\n{sections}"
    );
    let instance = Instance::configured(folder.path(), &config).listening();
    let _asked = silent.accept().unwrap();
    instance.ready();
    let shown = instance.get("/readyz").1;
    assert!(shown.contains("shopify gone.myshopify.com"), "{shown}");
    let metrics = instance.get("/metrics").1;
    for line in [
        "ionflux_component_running{component=\"shopify gone.myshopify.com\"} 0",
        "ionflux_poller_rounds_total{outcome=\"good\",source=\"shopify gone.myshopify.com\"} 0",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }
    // While its request is under way; the end does not wait for the answer.
    instance.terminate();
}

#[test]
fn totals_are_asked_for_over_tls_where_the_instance_speaks_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (shop, pair) = (Shop::open(), Pair::new());
    std::fs::write(path("secrets.env"), format!("ACME_TOKEN={TOKEN}\n")).unwrap();
    std::fs::set_permissions(path("secrets.env"), PermissionsExt::from_mode(0o600)).unwrap();
    pair.write(&path("c.pem"), &path("k.pem"));
    let config = |listen: &str| {
        format!(
            "secrets_file = \"secrets.env\"\n[http]\nlisten = \"{listen}\"\n\
             tls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n\
             [shopify.shops.\"acme.myshopify.com\"]\nworkspace = \"acme\"\n\
             token = \"ACME_TOKEN\"\nbase_url = \"{}\"\n",
            shop.url
        )
    };
    let instance = Instance::configured(folder.path(), &config("127.0.0.1:0")).listening();
    // From here on the configuration says the port that the system chose.
    let socket = instance.socket();
    std::fs::write(path("ionflux.toml"), config(&socket.to_string())).unwrap();
    let equal = |more: &[&str]| reconcile(folder.path(), more).status.code() == Some(0);
    assert!((0..1_000).any(|_| equal(&[])), "{:?}", reconcile(folder.path(), &[]));
    // Another instance is vouched for by public authorities, or by who is named.
    let url = format!("https://localhost:{}", socket.port());
    let unknown = reconcile(folder.path(), &["--url", &url]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(1) && said.contains("--ca-file"), "{said}");
    let certificate = path("c.pem").display().to_string();
    assert!(equal(&["--url", &url, "--ca-file", &certificate]));
    let wrong = path("k.pem").display().to_string();
    assert_eq!(reconcile(folder.path(), &["--ca-file", &wrong]).status.code(), Some(2));
    instance.terminate();
}
