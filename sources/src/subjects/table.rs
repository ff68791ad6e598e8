//! What is taken out of a body before it is kept: the one list of personal fields.
//!
//! Invariant: names are compared in lower case and without `_`, so that `firstName`, `first_name`
//! and `FIRST_NAME` are one name. A field that no line names is kept.

use std::sync::LazyLock;

use ionflux_schemas::delivery::Delivery;

use super::wrapped;
use crate::shopify::compliance::Asked;

/// Whose id it is; ids of two kinds never have one pseudonym.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A buyer: known in the state by a number that says nothing.
    Customer = 1,
    /// A user of the platform, whom views show by the id the platform gave.
    User = 2,
}

/// What is done to the value of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// It is kept; what is inside it is looked at.
    Look,
    /// `null` takes its place.
    Drop,
    /// An id, for which its pseudonym is put; of `gid://shopify/Customer/1` for the `1`.
    Id(Kind),
    /// As [`Rule::Id`], and `null` for what is no global id.
    Gid(Kind),
    /// A text that may be a document of its own.
    Document,
}

/// What kind of object a member stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// The document itself.
    Root,
    /// One that says nothing of a person by itself.
    Plain,
    /// A buyer: everything but the id is dropped, named here or not.
    Buyer,
    /// A user of the platform.
    User,
    /// Lines of an order.
    Lines,
    /// What a notification is about.
    Data,
    /// Payments of an order.
    Payments,
    /// A webhook inside an event: of the kind that its topic says.
    Wrapped,
    /// The request of a person about what is known of them: that is taken down elsewhere.
    Request,
}

/// Whose bodies a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    All,
    Shopify,
    TikTok,
    Platform,
}

/// One line: a name, in which room if not in all, and what is done.
#[derive(Clone, Copy)]
struct Line(&'static str, Of, Option<Room>, Rule, Room);

const fn drop_in(name: &'static str, room: Room) -> Line {
    Line(name, Of::All, Some(room), Rule::Drop, Room::Plain)
}

const fn drop_of(of: Of, name: &'static str) -> Line {
    Line(name, of, None, Rule::Drop, Room::Plain)
}

const fn id(of: Of, name: &'static str, kind: Kind) -> Line {
    Line(name, of, None, Rule::Id(kind), Room::Plain)
}

const fn room(name: &'static str, opens: Room) -> Line {
    Line(name, Of::All, None, Rule::Look, opens)
}

const fn document(of: Of, name: &'static str, opens: Room) -> Line {
    Line(name, of, None, Rule::Document, opens)
}

/// Sources whose bodies are kept byte for byte: settings are typed by people about their shop, are
/// hashed as they are, and no field of theirs is about a buyer.
const UNTOUCHED: &[&str] = &["config", "settings", "product-costs", "subjects"];

/// How somebody is reached.
#[rustfmt::skip]
const REACHED: &[&str] = &[
    "email", "emailaddress", "contactemail", "customeremail", "customeremailaddress", "buyeremail",
    "recipientemail", "useremail", "phone", "phonenumber", "mobile", "mobilephone",
    "smsmarketingphone", "customerphone", "recipientphone", "emailmarketingconsent",
    "smsmarketingconsent", "contact",
];

/// What somebody is called.
#[rustfmt::skip]
const CALLED: &[&str] = &[
    "firstname", "lastname", "fullname", "customername", "customerfirstname", "customerlastname",
    "buyername", "recipientname", "username", "displayname", "nickname", "avatar", "avatarurl",
    "cpf", "cpfname", "taxid", "birthday", "birthdate", "dateofbirth", "gender",
    "attributedstaffs", "staffmember", "shopowner", "createdby",
];

/// Where somebody lives.
#[rustfmt::skip]
const LIVES: &[&str] = &[
    "address", "addresses", "address1", "address2", "address3", "address4", "addressline1",
    "addressline2", "addressline3", "addressline4", "addresslinelist", "addressdetail",
    "fulladdress", "streetaddress", "street", "city", "zip", "zipcode", "postalcode", "postcode",
    "province", "provincecode", "district", "districtinfo", "latitude", "longitude", "company",
    "billingaddress", "shippingaddress", "defaultaddress", "customershippingaddress",
    "deliveryaddress", "shipto",
    "customerbillingaddress", "recipientaddress", "returnwarehouseaddress", "originaddress",
    "originlocation", "destinationlocation", "destination", "recipient", "receiver", "sender",
    "purchasingentity",
];

/// From where somebody came, and with what.
#[rustfmt::skip]
const CAME: &[&str] = &[
    "browserip", "ip", "ipaddress", "clientip", "remoteip", "customerpurchaseip", "clientdetails",
    "useragent", "sessionhash", "landingsite", "landingsiteref", "landingpage", "landingpageurl",
    "referringsite", "referrerurl", "customerjourney", "customerjourneysummary", "sourceurl",
    "carttoken",
];

/// Links that open what somebody ordered.
#[rustfmt::skip]
const LINKS: &[&str] = &[
    "orderstatusurl", "statuspageurl", "statusurl", "abandonedcheckouturl", "checkouturl",
    "weburl", "recoveryurl", "invoiceurl", "trackingnumber", "trackingnumbers", "trackingurl",
    "trackingurls", "trackinginfo",
];

/// What somebody wrote, or paid with.
#[rustfmt::skip]
const WROTE: &[&str] = &[
    "note", "notes", "noteattributes", "customattributes", "staffnote", "sellernote",
    "buyermessage", "additionalmessage", "giftmessage", "paymentdetails", "paymentmethod",
    "creditcard", "creditcardnumber", "creditcardname", "bankaccount", "receipt", "receiptjson",
    "paymentsrefundattributes", "authorization", "authorizationcode", "customercommunication",
    "evidence", "attributes", "metafields", "ponumber",
];

/// What is dropped wherever it stands, in the bodies of every source.
const DROPPED: [&[&str]; 6] = [REACHED, CALLED, LIVES, CAME, LINKS, WROTE];

/// Everything else. Of two lines that fit, the one that names a room or a source goes first.
const LINES: &[Line] = &[
    // Who buys: an id and nothing else.
    Line("customer", Of::All, None, Rule::Id(Kind::Customer), Room::Buyer),
    drop_in("customer", Room::Request),
    Line("customers", Of::All, None, Rule::Id(Kind::Customer), Room::Buyer),
    Line("buyer", Of::All, None, Rule::Id(Kind::Customer), Room::Buyer),
    Line("buyers", Of::All, None, Rule::Id(Kind::Customer), Room::Buyer),
    Line("id", Of::All, Some(Room::Buyer), Rule::Id(Kind::Customer), Room::Plain),
    Line("admingraphqlapiid", Of::All, Some(Room::Buyer), Rule::Gid(Kind::Customer), Room::Plain),
    id(Of::All, "customerid", Kind::Customer),
    id(Of::TikTok, "userid", Kind::Customer),
    id(Of::TikTok, "useropenid", Kind::User),
    id(Of::TikTok, "buyeruid", Kind::Customer),
    id(Of::TikTok, "buyeruserid", Kind::Customer),
    // Who uses the platform; of Shopify these are the shop's own people, whom no view shows.
    drop_of(Of::Shopify, "userid"),
    drop_of(Of::Shopify, "user"),
    id(Of::Platform, "userid", Kind::User),
    id(Of::Platform, "userdid", Kind::User),
    id(Of::Platform, "actoruserid", Kind::User),
    id(Of::Platform, "triggeredbyuserid", Kind::User),
    id(Of::Platform, "owneruserid", Kind::User),
    Line("user", Of::Platform, None, Rule::Id(Kind::User), Room::User),
    Line("actor", Of::Platform, None, Rule::Id(Kind::User), Room::User),
    room("profile", Room::User),
    Line("id", Of::Platform, Some(Room::User), Rule::Id(Kind::User), Room::Plain),
    drop_in("name", Room::User),
    drop_in("handle", Room::User),
    drop_in("properties", Room::Lines),
    Line("content", Of::TikTok, Some(Room::Data), Rule::Drop, Room::Plain),
    drop_in("message", Room::Payments),
    room("transaction", Room::Payments),
    room("transactions", Room::Payments),
    // Lines and wrappers, for what is inside them.
    room("lineitem", Room::Lines),
    room("lineitems", Room::Lines),
    document(Of::TikTok, "content", Room::Data),
    document(Of::TikTok, "data", Room::Data),
    document(Of::Platform, "payload", Room::Wrapped),
    document(Of::Platform, "payloadjson", Room::Wrapped),
    document(Of::Platform, "eventproperties", Room::Wrapped),
    document(Of::Platform, "body", Room::Wrapped),
    document(Of::Platform, "webhookbody", Room::Wrapped),
    // What is around a buyer in an event, and says nothing of them.
    Line("payload", Of::Platform, Some(Room::Buyer), Rule::Document, Room::Wrapped),
    Line("body", Of::Platform, Some(Room::Buyer), Rule::Document, Room::Wrapped),
    Line("webhookbody", Of::Platform, Some(Room::Buyer), Rule::Document, Room::Wrapped),
    Line("headers", Of::Platform, Some(Room::Buyer), Rule::Look, Room::Plain),
    Line("topic", Of::Platform, Some(Room::Buyer), Rule::Look, Room::Plain),
    Line("shopifytopic", Of::Platform, Some(Room::Buyer), Rule::Look, Room::Plain),
    Line("shopdomain", Of::Platform, Some(Room::Buyer), Rule::Look, Room::Plain),
];

/// What is done to the members of a source's bodies.
pub struct Rules {
    of: Of,
    root: Room,
    /// What a webhook inside an event is.
    wrapped: Room,
}

impl Rules {
    /// The rules for a delivery; `None` where it is kept byte for byte.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Option<Self> {
        let topic = wrapped::shopify(delivery).as_deref().and_then(wrapped::topic);
        Self::with(&delivery.source, topic.as_deref())
    }

    /// The same for a source and the topic of the webhook that its delivery is, or wraps.
    pub(super) fn with(source: &str, topic: Option<&str>) -> Option<Self> {
        if UNTOUCHED.contains(&source) {
            return None;
        }
        let of = match source {
            _ if source.starts_with("shopify") => Of::Shopify,
            _ if source.starts_with("tiktok") => Of::TikTok,
            _ => Of::Platform,
        };
        let topic = topic.unwrap_or_default();
        // A body about a customer is one, but for the requests, which name one inside.
        let webhook = match topic {
            _ if Asked::of(topic).is_some() => Room::Request,
            _ if topic.starts_with("customer") => Room::Buyer,
            _ if topic.starts_with("order_transactions/") => Room::Payments,
            _ => Room::Plain,
        };
        let root = if of == Of::Shopify && webhook != Room::Plain { webhook } else { Room::Root };
        Some(Self { of, root, wrapped: webhook })
    }

    /// The room of the document itself.
    pub(super) fn root(&self) -> Room {
        self.root
    }

    /// What is done to the member of a name in a room, and which room its value is. The name is
    /// given by its hash; `is` says whether it is a text, which is asked only for a likely one.
    pub(super) fn rule(
        &self,
        hash: u64,
        room: Room,
        is: impl Fn(&'static str) -> bool,
    ) -> (Rule, Room) {
        let lines = TABLE[slot(hash)].iter();
        let fits = |Line(name, of, only, ..): &&Line| {
            (*of == Of::All || *of == self.of) && only.is_none_or(|only| only == room) && is(name)
        };
        let weight = |Line(_, of, only, ..): &&Line| (only.is_some(), *of != Of::All);
        let line = lines.filter(fits).max_by_key(weight);
        match line {
            Some(Line(_, _, only, rule, opens)) if room != Room::Buyer || only.is_some() => {
                (*rule, if *opens == Room::Wrapped { self.wrapped } else { *opens })
            }
            _ if room == Room::Buyer => (Rule::Drop, Room::Plain),
            _ => (Rule::Look, Room::Plain),
        }
    }
}

/// Slots of the table, by a hash of the name: ten for each line, so that most names of a body meet
/// an empty one.
const SLOTS: usize = 2_048;

static TABLE: LazyLock<Vec<Vec<Line>>> = LazyLock::new(|| {
    let mut table = vec![Vec::new(); SLOTS];
    let dropped = DROPPED.iter().copied().flatten();
    let dropped = dropped.map(|name| Line(name, Of::All, None, Rule::Drop, Room::Plain));
    for line in LINES.iter().copied().chain(dropped) {
        table[slot(line.0.bytes().fold(HASH_BASIS, hashed))].push(line);
    }
    table
});

fn slot(hash: u64) -> usize {
    (hash >> 32) as usize % SLOTS
}

/// The hash of an empty name.
pub(super) const HASH_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of a name with one more byte; `_` and `-` are no part of a name, nor is case.
#[inline]
pub(super) fn hashed(hash: u64, byte: u8) -> u64 {
    match byte {
        b'_' | b'-' => hash,
        byte => (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3),
    }
}

/// Whether a text is a name of the list, however it is written.
pub(super) fn same(text: &[u8], name: &str) -> bool {
    let written = text.iter().filter(|byte| !matches!(byte, b'_' | b'-'));
    written.map(u8::to_ascii_lowercase).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_form_names_are_compared_in() {
        let dropped = DROPPED.iter().copied().flatten();
        for name in LINES.iter().map(|line| &line.0).chain(dropped) {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        }
    }

    #[test]
    fn the_nearer_line_wins() {
        let of = |source: &str, topic: &str| {
            let headers = [("x-shopify-topic".into(), topic.into())].into_iter().collect();
            let delivery = Delivery {
                source: source.into(),
                workspace: "w".into(),
                received_at: ionflux_schemas::time::UtcMs(0),
                headers,
                body: Box::default(),
            };
            Rules::of(&delivery)
        };
        let rule = |rules: &Rules, name: &str, room| {
            let hash = name.bytes().fold(HASH_BASIS, hashed);
            rules.rule(hash, room, |line| same(name.as_bytes(), line)).0
        };
        let (shopify, tiktok) = (of("shopify-webhooks", "").unwrap(), of("tiktok-x", "").unwrap());
        let platform = of("platform-events", "").unwrap();
        assert_eq!(rule(&shopify, "user_id", Room::Root), Rule::Drop);
        assert_eq!(rule(&tiktok, "user_id", Room::Root), Rule::Id(Kind::Customer));
        assert_eq!(rule(&platform, "userId", Room::Root), Rule::Id(Kind::User));
        assert_eq!(rule(&shopify, "name", Room::Root), Rule::Look);
        assert_eq!(rule(&shopify, "name", Room::Buyer), Rule::Drop);
        assert_eq!(rule(&shopify, "ID", Room::Buyer), Rule::Id(Kind::Customer));
        assert_eq!(rule(&shopify, "id", Room::Plain), Rule::Look);
        assert_eq!(rule(&tiktok, "content", Room::Data), Rule::Drop);
        assert_eq!(rule(&tiktok, "content", Room::Root), Rule::Document);
        assert!(of("settings", "").is_none());
        assert_eq!(of("shopify-webhooks", "customers/update").unwrap().root(), Room::Buyer);
        let request = of("shopify-webhooks", "customers/redact").unwrap();
        assert_eq!(rule(&request, "customer", request.root()), Rule::Drop);
    }
}
