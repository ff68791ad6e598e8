//! What each type of webhook of TikTok Shop means: a table.
//!
//! Invariant: TikTok advises not to rely on a number alone, so every number has its name here, and
//! what is not here is named by its number.

/// What is done with a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// An order, a return or a cancellation changed: its amounts are asked for.
    Hint,
    /// Something about the store changed: its name, and what is known of it as places in `data`
    /// and names.
    Change(&'static str, &'static [(&'static str, &'static str)]),
    /// A buyer's data, of which nothing is kept.
    Personal,
    /// No view counts it.
    Nothing,
}

/// One type.
pub struct Topic {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// What is done with it.
    pub done: Use,
}

const fn topic(number: u32, name: &'static str, done: Use) -> Topic {
    Topic { number, name, done }
}

const PRODUCT: (&str, &str) = ("product_id", "product");

/// Every type that is known.
const TOPICS: &[Topic] = &[
    topic(1, "ORDER_STATUS_CHANGE", Use::Hint),
    topic(2, "REVERSE_STATUS_UPDATE", Use::Hint),
    topic(3, "RECIPIENT_ADDRESS_UPDATE", Use::Personal),
    topic(4, "PACKAGE_UPDATE", Use::Nothing),
    topic(
        5,
        "PRODUCT_STATUS_CHANGE",
        Use::Change(
            "product_status_changed",
            &[PRODUCT, ("status", "status"), ("suspended_reason", "reason")],
        ),
    ),
    topic(6, "SELLER_DEAUTHORIZATION", Use::Change("deauthorized", &[])),
    topic(
        7,
        "UPCOMING_AUTHORIZATION_EXPIRATION",
        Use::Change("authorization_expires", &[("expiration_time", "expires_at_s")]),
    ),
    topic(11, "CANCELLATION_STATUS_CHANGE", Use::Hint),
    topic(12, "RETURN_STATUS_CHANGE", Use::Hint),
    topic(13, "NEW_CONVERSATION", Use::Personal),
    topic(14, "NEW_MESSAGE", Use::Personal),
    topic(
        15,
        "PRODUCT_INFORMATION_CHANGE",
        Use::Change(
            "product_information_changed",
            &[PRODUCT, ("change_source", "source"), ("changed_fields", "fields")],
        ),
    ),
    topic(
        16,
        "PRODUCT_CREATION",
        Use::Change("product_created", &[PRODUCT, ("product_types", "types")]),
    ),
    topic(
        17,
        "SHOPPABLE_CONTENT_POSTING",
        Use::Change(
            "content_linked",
            &[
                ("event.content_id", "video"),
                PRODUCT,
                ("event.type", "action"),
                ("event.scene", "scene"),
            ],
        ),
    ),
    topic(
        18,
        "PRODUCT_CATEGORY_CHANGE",
        Use::Change("product_category_changed", &[PRODUCT, ("category_id", "category")]),
    ),
    topic(20, "CREATOR_DEAUTHORIZATION", Use::Change("creator_deauthorized", &[])),
    topic(21, "INBOUND_FBT_ORDER_STATUS_CHANGE", Use::Nothing),
    topic(22, "FBT_MERCHANT_ONBOARDING", Use::Nothing),
    topic(23, "GOODS_MATCH", Use::Nothing),
    topic(24, "FBT_INVENTORY_UPDATE", Use::Nothing),
    topic(25, "OPPORTUNITY_MATCH", Use::Nothing),
    topic(
        27,
        "INVENTORY_STATUS_CHANGE",
        Use::Change(
            "inventory_status_changed",
            &[
                PRODUCT,
                ("sku_id", "sku"),
                ("current_inventory_status", "status"),
                ("trigger_reason.alert_type", "reason"),
                ("inventory_distribution.available_quantity", "available"),
            ],
        ),
    ),
    topic(33, "NEW_MESSAGE_LISTENER", Use::Personal),
    topic(35, "TOKOPEDIA_STATUS_CHANGE", Use::Nothing),
    topic(36, "INVOICE_STATUS_CHANGE", Use::Nothing),
    topic(
        37,
        "PRODUCT_AUDIT_STATUS_CHANGE",
        Use::Change(
            "product_audit_changed",
            &[PRODUCT, ("audit.status", "status"), ("audit.pre_approved_reason", "reason")],
        ),
    ),
    topic(
        38,
        "STRIKETHROUGH_PRICE_EXPIRED",
        Use::Change("strikethrough_price_expired", &[PRODUCT, ("sku_id", "sku")]),
    ),
    topic(
        39,
        "ACTIVITY_STATUS_CHANGE",
        Use::Change(
            "promotion_status_changed",
            &[
                ("activity_id", "promotion"),
                ("status", "status"),
                ("activity_type", "type"),
                ("product_level", "level"),
            ],
        ),
    ),
    topic(42, "COMBINED_LISTING", Use::Nothing),
    topic(46, "IMAGE_TRANSLATION", Use::Nothing),
    topic(51, "GLOBAL_REPLICATION", Use::Nothing),
    topic(52, "LISTING_METHOD", Use::Nothing),
    topic(55, "VIDEO_PRE_CHECK", Use::Nothing),
];

/// The type of a number, if it is known.
pub fn of(number: u32) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.number == number)
}
