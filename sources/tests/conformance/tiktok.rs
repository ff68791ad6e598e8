//! TikTok's samples: webhooks of both kinds, and answers of its APIs.

use ionflux_sources::conformance::{Described, Meant, Sample};

fn sample(name: &'static str, meant: Meant, body: &str) -> Sample {
    Sample { name, meant, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

/// Webhooks of TikTok Shop.
pub fn shop_webhooks() -> Described {
    let unknown = |name, id: u32| {
        let body = format!(
            "{{\"type\":4000000,\"shop_id\":\"749\",\"tts_notification_id\":\"{id}\",\
             \"timestamp\":1700000000}}"
        );
        sample(name, Meant::Unknown(1), &body)
    };
    let samples = vec![
        sample(
            "a product refused",
            Meant::Good(1),
            r#"{"type":5,"tts_notification_id":"73","shop_id":"749","timestamp":1700000009,
            "data":{"product_id":576486316948490000,"status":"PRODUCT_AUDIT_FAILURE",
            "update_time":1700000000}}"#,
        ),
        sample(
            "a hint that an order changed",
            Meant::Good(0),
            r#"{"type":1,"tts_notification_id":"9","shop_id":"749","timestamp":1700000000,
            "data":{"order_id":"576486316948490001","order_status":"CANCEL"}}"#,
        ),
        sample("half a webhook", Meant::Broken, r#"{"type":12,"data":{"create_time":1 "#),
        sample("without a type", Meant::Broken, r#"{"shop_id":"749"}"#),
        unknown("a type nobody knows", 1),
        unknown("the same type again", 2),
    ];
    Described { source: "tiktok-shop-webhooks", dated: false, silent: false, samples }
}

/// Webhooks of TikTok for Developers.
pub fn developer_webhooks() -> Described {
    let posted = r#"{"client_key":"ck","event":"post.publish.publicly_available",
        "create_time":1752894700,"user_openid":"u",
        "content":"{\"publish_id\":\"p1\",\"post_id\":\"91\"}"}"#;
    let ping = |name, content: &str| {
        let body = format!(
            "{{\"event\":\"tiktok.ping\",\"create_time\":1700000000,\"content\":\"{content}\"}}"
        );
        sample(name, Meant::Unknown(1), &body)
    };
    let samples = vec![
        sample("a video posted", Meant::Good(1), posted),
        sample("half a webhook", Meant::Broken, &posted[..60]),
        sample("without an event", Meant::Broken, r#"{"event":null}"#),
        ping("a ping", "one"),
        ping("another ping", "two"),
    ];
    Described { source: "tiktok-developer-webhooks", dated: false, silent: false, samples }
}

fn answer(name: &'static str, meant: Meant, body: &str) -> Sample {
    let headers = vec![
        ("tiktok-shop-id", "749"),
        ("tiktok-observed-at", "1752900000000"),
        ("tiktok-account", "me"),
        ("tiktok-currency", "EUR"),
        ("tiktok-zone", "Europe/Berlin"),
    ];
    Sample { name, meant, headers, body: body.as_bytes().to_vec() }
}

/// Two answers that no view counts.
fn strange() -> [Sample; 2] {
    let of = |name, id: u32| {
        let body = format!("{{\"code\":0,\"data\":{{\"nobody_knows\":[{{\"id\":\"{id}\"}}]}}}}");
        answer(name, Meant::Unknown(1), &body)
    };
    [of("an answer nobody knows", 1), of("another of its kind", 2)]
}

/// Orders and returns of TikTok Shop.
pub fn shop_api() -> Described {
    let order = r#"{"code":0,"data":{"orders":[{"id":"576461413038785752",
        "status":"AWAITING_SHIPMENT","user_id":"7021436810468","create_time":1700000000,
        "paid_time":1700000060,"update_time":1700000100,"is_sample_order":false,
        "payment":{"currency":"USD","sub_total":"20.00","original_total_product_price":"20.00",
        "seller_discount":"0","platform_discount":"0","shipping_fee":"0","tax":"0",
        "total_amount":"20.00"},"line_items":[{"id":"12","sku_id":"2","product_id":"1",
        "original_price":"20.00","seller_discount":"0","platform_discount":"0",
        "display_status":"AWAITING_SHIPMENT","currency":"USD"}]}]}}"#;
    let mut samples = vec![
        answer("an order", Meant::Good(1), order),
        answer("half an order", Meant::Broken, &order[..300]),
        answer("a price that is none", Meant::Broken, &order.replace("\"20.00\"", "\"many\"")),
        answer("refused by TikTok", Meant::Broken, r#"{"code":105002,"message":"expired"}"#),
    ];
    samples.extend(strange());
    Described { source: "tiktok-shop-api", dated: false, silent: false, samples }
}

/// Samples of videos and accounts.
pub fn samples() -> Described {
    let video = r#"{"data":{"videos":[{"id":"7","view_count":100,"like_count":3}]},
        "error":{"code":"ok","message":""}}"#;
    let mut samples = vec![
        answer("a video", Meant::Good(1), video),
        answer("half of it", Meant::Broken, &video[..60]),
        answer("half a view", Meant::Broken, &video.replace("100", "1.5")),
    ];
    samples.extend(strange());
    Described { source: "tiktok-samples", dated: false, silent: false, samples }
}

/// Reports of spend.
pub fn ads() -> Described {
    let spent = r#"{"code":0,"data":{"list":[{"dimensions":{"campaign_id":"31",
        "stat_time_hour":"2025-07-18 05:00:00"},"metrics":{"spend":"12.34","clicks":"-"}}]}}"#;
    let mut samples = vec![
        answer("an hour", Meant::Good(1), spent),
        answer("half of it", Meant::Broken, &spent[..60]),
        answer("spent backwards", Meant::Broken, &spent.replace("12.34", "-1")),
    ];
    samples.extend(strange());
    Described { source: "tiktok-ads", dated: false, silent: false, samples }
}
