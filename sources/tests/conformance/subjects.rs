//! Samples of requests about persons, which are carried out beside the views.

use ionflux_sources::conformance::{Described, Meant, Sample};
use ionflux_sources::subjects::{REQUEST, SOURCE};

/// Requests as they are kept: a name, and what is asked elsewhere.
pub fn requests() -> Described {
    let headers = vec![(REQUEST, "018f3a1c0000")];
    let bare = Sample { name: "a request", meant: Meant::Good(0), headers, body: Vec::new() };
    let odd = Sample { name: "one with a body", body: b"{\"id\":1}".to_vec(), ..bare.clone() };
    Described { source: SOURCE, dated: false, silent: true, samples: vec![bare, odd] }
}
