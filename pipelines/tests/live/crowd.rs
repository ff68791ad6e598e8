//! Crowds of strangers at the doors of the real program: whoever is signed still comes in.

use std::io::{Read, Write};

use crate::instance::Instance;
use crate::socket::connect;

/// Strangers at once, more than there ever were places.
const STRANGERS: usize = 100;

#[test]
fn strangers_who_send_slowly_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Instance::start(folder.path(), 1).listening();
    let slow = |index: usize| {
        let mut stream = connect(instance.socket());
        let workspace = ["acme", "nobody"][index % 2];
        let head = format!(
            "POST /webhooks/shopify/{workspace} HTTP/1.1\r\nhost: test\r\ncontent-length: 8\r\n\
             x-shopify-hmac-sha256: AAAA\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The body is waited for, whether there is such a workspace or not.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n", "stranger {index}");
        stream
    };
    let strangers: Vec<_> = (0..STRANGERS).map(slow).collect();
    let body = "{\"id\":1}";
    assert_eq!(instance.post("acme", Some(&instance.sign(body)), body), 200);
    for (index, mut stranger) in strangers.into_iter().enumerate() {
        stranger.write_all(body.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stranger.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401", "stranger {index}");
    }
    instance.terminate();
}
