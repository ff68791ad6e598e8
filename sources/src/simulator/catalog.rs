//! What the simulated shop sells, the most popular first.
//!
//! Invariant: an id never changes its product, so that a history stays readable over releases.

/// A product with its one variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Product {
    /// The platform's id.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// The unit price before tax, in cents.
    pub price_minor: i64,
}

/// All products.
pub const PRODUCTS: [Product; 40] = [
    product("7421053131337", "Linen Throw Blanket", 5490),
    product("7421053162674", "Stoneware Mug, Set of 2", 2490),
    product("7421053194011", "Beeswax Pillar Candle", 1390),
    product("7421053225348", "Oak Cutting Board", 3990),
    product("7421053256685", "Merino Beanie", 2990),
    product("7421053288022", "Enamel Kettle", 6490),
    product("7421053319359", "Wool Picnic Rug", 7990),
    product("7421053350696", "Brass Desk Lamp", 11900),
    product("7421053382033", "Recycled Glass Carafe", 2790),
    product("7421053413370", "Cotton Tea Towels, Set of 3", 1690),
    product("7421053444707", "Cast Iron Skillet 24 cm", 5990),
    product("7421053476044", "Bamboo Toothbrush, Pack of 4", 990),
    product("7421053507381", "Lavender Soap Bar", 690),
    product("7421053538718", "Ceramic Pour-Over Dripper", 2490),
    product("7421053570055", "Canvas Tote Bag", 1990),
    product("7421053601392", "Alpaca Socks", 1890),
    product("7421053632729", "Walnut Picture Frame", 2690),
    product("7421053664066", "Terracotta Planter", 1590),
    product("7421053695403", "Rain Jacket", 12900),
    product("7421053726740", "Hot Water Bottle with Knit Cover", 2390),
    product("7421053758077", "Leather Key Fob", 1490),
    product("7421053789414", "Cedar Clothes Hangers, Set of 5", 2190),
    product("7421053820751", "Sheepskin Seat Pad", 4490),
    product("7421053852088", "Porcelain Pasta Bowls, Set of 4", 5290),
    product("7421053883425", "Thermos Flask 750 ml", 3490),
    product("7421053914762", "Dotted Notebook A5", 1290),
    product("7421053946099", "Felt Laptop Sleeve", 3990),
    product("7421053977436", "Rattan Laundry Basket", 6990),
    product("7421054008773", "Copper Garden Trowel", 2990),
    product("7421054040110", "Reed Diffuser, Fig", 2890),
    product("7421054071447", "Waxed Food Wraps", 1590),
    product("7421054102784", "Folding Camp Chair", 8490),
    product("7421054134121", "Linen Apron", 3590),
    product("7421054165458", "Espresso Cups, Set of 4", 2690),
    product("7421054196795", "Hammock", 7490),
    product("7421054228132", "Storm Lantern", 4290),
    product("7421054259469", "Flannel Pyjamas", 6990),
    product("7421054290806", "Birdhouse Kit", 2490),
    product("7421054322143", "Bath Towel, Waffle Weave", 2990),
    product("7421054353480", "Wooden Stacking Blocks", 3290),
];

const fn product(id: &'static str, title: &'static str, price_minor: i64) -> Product {
    Product { id, title, price_minor }
}

/// The total of [`weight`] over all products.
pub(super) const WEIGHTS: u64 = {
    let (mut sum, mut rank) = (0, 0);
    while rank < PRODUCTS.len() {
        sum += weight(rank);
        rank += 1;
    }
    sum
};

/// How often a product is bought: Zipf's law, in integers.
pub(super) const fn weight(rank: usize) -> u64 {
    100_000 / (rank as u64 + 2)
}
