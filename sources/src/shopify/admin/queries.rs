//! What is asked for, in GraphQL.
//!
//! Invariant: no field of a person is asked for but the customer's id; every connection is bounded
//! and says whether it goes on. Bulk exports and pages ask for the same fields, so that an order
//! means the same however it came.

use std::borrow::Cow;

/// A query, with what messages call it and what it costs until the shop has said so.
pub struct Query {
    /// What it asks for, in words.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
    /// Points.
    pub cost: u64,
}

macro_rules! money {
    () => {
        "{ shopMoney { amount currencyCode } }"
    };
}

macro_rules! next {
    () => {
        "pageInfo { hasNextPage endCursor }"
    };
}

macro_rules! order {
    () => {
        concat!(
            "__typename id createdAt processedAt updatedAt test currencyCode taxesIncluded ",
            "sourceName customer { id } totalPriceSet ",
            money!(),
            " totalTaxSet ",
            money!(),
            " totalDiscountsSet ",
            money!(),
            " totalTipReceivedSet ",
            money!(),
            " totalShippingPriceSet ",
            money!(),
            " originalTotalDutiesSet ",
            money!(),
            " currentTotalDutiesSet ",
            money!(),
            " originalTotalAdditionalFeesSet ",
            money!(),
            " currentTotalAdditionalFeesSet ",
            money!(),
            " refunds { id } transactions { id kind ",
            "status test gateway createdAt processedAt amountSet ",
            money!(),
            " parentTransaction { id } fees { amount { amount currencyCode } ",
            "taxAmount { amount currencyCode } } }"
        )
    };
}

macro_rules! line {
    () => {
        concat!(
            "__typename id title quantity isGiftCard requiresShipping product { id } ",
            "originalUnitPriceSet ",
            money!(),
            " totalDiscountSet ",
            money!(),
            " discountAllocations { allocatedAmountSet ",
            money!(),
            " } taxLines { priceSet ",
            money!(),
            " rate }"
        )
    };
}

macro_rules! shipping {
    () => {
        concat!(
            "__typename id originalPriceSet ",
            money!(),
            " discountedPriceSet ",
            money!(),
            " discountAllocations { allocatedAmountSet ",
            money!(),
            " } taxLines { priceSet ",
            money!(),
            " rate }"
        )
    };
}

macro_rules! refund_line {
    () => {
        concat!(
            "__typename id quantity restockType lineItem { id isGiftCard product { id } } ",
            "subtotalSet ",
            money!(),
            " totalTaxSet ",
            money!()
        )
    };
}

macro_rules! refund_shipping {
    () => {
        concat!("__typename id subtotalAmountSet ", money!(), " taxAmountSet ", money!())
    };
}

macro_rules! adjustment {
    () => {
        concat!("__typename id reason amountSet ", money!(), " taxAmountSet ", money!())
    };
}

macro_rules! product {
    () => {
        "__typename id title status updatedAt"
    };
}

macro_rules! variant {
    () => {
        concat!(
            "__typename id sku price inventoryItem { id updatedAt ",
            "unitCost { amount currencyCode } }"
        )
    };
}

/// Starts a bulk operation.
pub const BULK_START: Query = Query {
    name: "a bulk operation",
    text: "mutation BulkStart($query: String!) { bulkOperationRunQuery(query: $query) { \
           bulkOperation { id status createdAt } userErrors { field message code } } }",
    cost: 10,
};

/// How a bulk operation stands.
pub const BULK_LOOK: Query = Query {
    name: "the state of a bulk operation",
    text: "query BulkLook($id: ID!) { node(id: $id) { ... on BulkOperation { id status errorCode \
           createdAt objectCount fileSize url partialDataUrl query } } }",
    cost: 1,
};

/// Every order there is, as a bulk operation exports them.
const ORDERS_EXPORT: &str = concat!(
    "{ orders { edges { node { ",
    order!(),
    " lineItems { edges { node { ",
    line!(),
    " } } } shippingLines { edges { node { ",
    shipping!(),
    " } } } } } } }"
);

/// The same, of a shop that shows the app no customers.
pub fn orders_export(customers: bool) -> Cow<'static, str> {
    match customers {
        true => ORDERS_EXPORT.into(),
        false => ORDERS_EXPORT.replace("customer { id } ", "").into(),
    }
}

/// Every product there is, as a bulk operation exports them.
pub const PRODUCTS_EXPORT: &str = concat!(
    "{ products { edges { node { ",
    product!(),
    " variants { edges { node { ",
    variant!(),
    " } } } } } } }"
);

/// A page of orders that changed, the longest ago first.
pub const ORDERS_PAGE: Query = Query {
    name: "a page of orders",
    text: concat!(
        "query OrdersPage($first: Int!, $lines: Int!, $after: String, $query: String!) { ",
        "orders(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) { nodes { ",
        order!(),
        " lineItems(first: $lines) { nodes { ",
        line!(),
        " } ",
        next!(),
        " } shippingLines(first: 5) { nodes { ",
        shipping!(),
        " } ",
        next!(),
        " } } ",
        next!(),
        " } }"
    ),
    cost: 500,
};

/// Further lines of an order.
pub const ORDER_LINES: Query = Query {
    name: "the lines of an order",
    text: concat!(
        "query OrderLines($id: ID!, $first: Int!, $after: String) { node(id: $id) { ",
        "... on Order { list: lineItems(first: $first, after: $after) { nodes { ",
        line!(),
        " } ",
        next!(),
        " } } } }"
    ),
    cost: 500,
};

/// Further shipping lines of an order.
pub const ORDER_SHIPPING: Query = Query {
    name: "the shipping lines of an order",
    text: concat!(
        "query OrderShipping($id: ID!, $first: Int!, $after: String) { node(id: $id) { ",
        "... on Order { list: shippingLines(first: $first, after: $after) { nodes { ",
        shipping!(),
        " } ",
        next!(),
        " } } } }"
    ),
    cost: 300,
};

/// Some refunds. A bulk operation cannot have them: no connection may stand inside a list.
pub const REFUNDS: Query = Query {
    name: "refunds",
    text: concat!(
        "query Refunds($ids: [ID!]!, $lines: Int!) { nodes(ids: $ids) { ... on Refund { ",
        "__typename id createdAt processedAt updatedAt order { id } duties { amountSet ",
        money!(),
        " } refundLineItems(first: $lines) { nodes { ",
        refund_line!(),
        " } ",
        next!(),
        " } refundShippingLines(first: 5) { nodes { ",
        refund_shipping!(),
        " } ",
        next!(),
        " } orderAdjustments(first: 5) { nodes { ",
        adjustment!(),
        " } ",
        next!(),
        " } } } }"
    ),
    cost: 500,
};

/// Further lines of a refund.
pub const REFUND_LINES: Query = Query {
    name: "the lines of a refund",
    text: concat!(
        "query RefundLines($id: ID!, $first: Int!, $after: String) { node(id: $id) { ",
        "... on Refund { list: refundLineItems(first: $first, after: $after) { nodes { ",
        refund_line!(),
        " } ",
        next!(),
        " } } } }"
    ),
    cost: 300,
};

/// Further refunded shipping of a refund.
pub const REFUND_SHIPPING: Query = Query {
    name: "the shipping of a refund",
    text: concat!(
        "query RefundShipping($id: ID!, $first: Int!, $after: String) { node(id: $id) { ",
        "... on Refund { list: refundShippingLines(first: $first, after: $after) { nodes { ",
        refund_shipping!(),
        " } ",
        next!(),
        " } } } }"
    ),
    cost: 300,
};

/// Further adjustments of a refund.
pub const REFUND_ADJUSTMENTS: Query = Query {
    name: "the adjustments of a refund",
    text: concat!(
        "query RefundAdjustments($id: ID!, $first: Int!, $after: String) { node(id: $id) { ",
        "... on Refund { list: orderAdjustments(first: $first, after: $after) { nodes { ",
        adjustment!(),
        " } ",
        next!(),
        " } } } }"
    ),
    cost: 300,
};

/// The shop itself.
pub const SHOP: Query = Query {
    name: "itself",
    text: "query Shop { shop { myshopifyDomain ianaTimezone currencyCode } }",
    cost: 1,
};

/// What the shop's own analytics say.
pub const ANALYTICS: Query = Query {
    name: "its totals",
    text: "query Analytics($query: String!) { shopifyqlQuery(query: $query) { tableData { \
           columns { name } rows } parseErrors } }",
    cost: 10,
};
