//! Requests about people while the disk refuses what belongs to them: nothing else stops, and each
//! is done once the disk is well again.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ionflux::assemble::{self, Options};
use ionflux::forgetting::Forgetting;
use ionflux_ledger::{BaseZone, Ledger};
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::subjects::raw::LAID_ASIDE;
use ionflux_sources::subjects::receipts::verified;
use ionflux_sources::subjects::requests::{Deed, Request};
use ionflux_sources::subjects::table::Kind;
use ionflux_sources::subjects::{NOT_KEPT, Subjects};
use tempfile::TempDir;

const NOW: UtcMs = UtcMs(1_772_323_200_000);

struct Bench {
    folder: TempDir,
    clock: Arc<Stepped>,
    subjects: Arc<Subjects>,
    ledger: Ledger,
    forgetting: Forgetting,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Stepped::new(NOW));
        let subjects = Arc::new(Subjects::open(folder.path(), clock.clone()).unwrap());
        let options = Options { state: None, base_zone: BaseZone::Unknown, workers: 1 };
        let ledger = assemble::ledger(None, Arc::new(Dictionary::new()), &options).unwrap();
        let forgetting = Forgetting::new(Arc::clone(&subjects));
        Self { folder, clock, subjects, ledger, forgetting }
    }

    /// A request that came and is counted.
    fn asked(&mut self, shop: &str, deed: Deed) -> Request {
        let request = Request::forget(("acme", shop), "77", NOW).unwrap();
        let request = Request { deed, ..request };
        self.subjects.begin(&request).unwrap();
        self.forgetting.read(&mut request.delivery(), Position(0)).unwrap();
        self.forgetting.counted(&[]);
        request
    }

    fn known(&self, shop: &str) {
        let scope = self.subjects.keys().scope("acme", shop);
        let name = self.subjects.vault().name(&scope, (Kind::Customer, "77"), NOW);
        assert!(name.unwrap().is_some());
    }

    /// A folder in which nothing can be written: a file stands in its place.
    fn breaks(&self, part: &str) -> PathBuf {
        let path = self.folder.path().join(part);
        fs::rename(&path, self.folder.path().join("away")).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    fn mends(&self, path: &PathBuf) {
        fs::remove_file(path).unwrap();
        fs::rename(self.folder.path().join("away"), path).unwrap();
    }

    fn pending(&self) -> usize {
        self.subjects.all_pending().unwrap().len()
    }
}

fn is(health: &Health, state: Condition) -> bool {
    health.state == state && health.reason.is_empty() == (state == Condition::Running)
}

#[test]
fn a_receipt_that_cannot_be_written_is_written_later_and_says_what_was_destroyed() {
    let mut bench = Bench::new();
    let health = bench.forgetting.health();
    bench.known("a.example");
    let request = bench.asked("a.example", Deed::Forget);
    let broken = bench.breaks("receipts");
    bench.forgetting.finish(&bench.ledger).unwrap();
    assert!(is(&health(), Condition::Stalled), "{:?}", health());
    assert_eq!((health().since, bench.pending()), (NOW, 1));
    // Again after a second, and not before; then after two.
    bench.clock.advance(1_000);
    bench.forgetting.tend(&bench.ledger).unwrap();
    bench.mends(&broken);
    bench.clock.advance(1_999);
    bench.forgetting.tend(&bench.ledger).unwrap();
    assert_eq!((health().since, bench.pending()), (NOW, 1));
    bench.clock.advance(1);
    bench.forgetting.tend(&bench.ledger).unwrap();
    assert!(is(&health(), Condition::Running), "{:?}", health());
    assert_eq!(bench.pending(), 0);
    let receipt = bench.subjects.receipt("acme", &request.id).unwrap().unwrap();
    assert!(verified(&receipt));
    let text = String::from_utf8(receipt).unwrap();
    assert!(text.contains("\"links_destroyed\":1,"), "{text}");
}

#[test]
fn whoever_is_told_and_then_forgotten_has_no_export_although_it_came_late() {
    let mut bench = Bench::new();
    let told = bench.asked("a.example", Deed::Tell);
    let forgotten = bench.asked("a.example", Deed::Forget);
    let broken = bench.breaks("exports");
    bench.forgetting.finish(&bench.ledger).unwrap();
    assert_eq!(bench.pending(), 2);
    bench.mends(&broken);
    bench.clock.advance(1_000);
    bench.forgetting.tend(&bench.ledger).unwrap();
    assert_eq!(bench.pending(), 0);
    for request in [&told, &forgotten] {
        assert!(bench.subjects.receipt("acme", &request.id).unwrap().is_some());
    }
    assert_eq!(bench.subjects.export("acme", &told.id).unwrap(), None);
}

#[test]
fn a_request_that_waits_holds_up_those_of_its_shop_and_no_others() {
    let mut bench = Bench::new();
    let health = bench.forgetting.health();
    let first = bench.asked("a.example", Deed::Forget);
    let requests = [bench.asked("a.example", Deed::Forget), bench.asked("b.example", Deed::Forget)];
    // It cannot be struck off.
    let stuck = bench.folder.path().join(format!("pending/{}.json", first.id));
    fs::remove_file(&stuck).unwrap();
    fs::create_dir(&stuck).unwrap();
    bench.forgetting.finish(&bench.ledger).unwrap();
    let done = |bench: &Bench| {
        let receipt = |request: &Request| bench.subjects.receipt("acme", &request.id).unwrap();
        requests.each_ref().map(|request| receipt(request).is_some())
    };
    assert_eq!((done(&bench), health().state), ([false, true], Condition::Stalled));
    fs::remove_dir(&stuck).unwrap();
    bench.clock.advance(1_000);
    bench.forgetting.tend(&bench.ledger).unwrap();
    assert_eq!((done(&bench), health().state), ([true, true], Condition::Running));
}

#[test]
fn a_delivery_whose_body_was_not_kept_is_a_fault_that_says_so() {
    let mut bench = Bench::new();
    let headers = [(NOT_KEPT, "0123456789abcdef0123456789abcdef"), ("x-shopify-topic", "x/y")];
    let headers = headers.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
    let (source, workspace) = ("shopify-webhooks".into(), "acme".into());
    let mut delivery =
        Delivery { source, workspace, received_at: NOW, headers, body: Box::default() };
    let (decoded, _) = bench.forgetting.read(&mut delivery, Position(9)).unwrap();
    assert_eq!(&*decoded.faults[0].subject, "delivery 0123456789abcdef");
    let letter = decoded.letter.unwrap();
    assert_eq!((letter.bytes.len(), letter.position), (0, Some(Position(9))));
    assert_eq!(letter.context.get(LAID_ASIDE).map(|text| &**text), Some("not kept"));
}
