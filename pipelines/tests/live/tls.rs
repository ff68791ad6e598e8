//! TLS: the server alone, with certificates made up here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ionflux::http::Limits;
use ionflux::http::tls::{Files, Tls, TlsError};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::certificates::Pair;
use crate::instance::Instance;
use crate::slow::{patient, serve};
use crate::socket::{Request, ask, connect, rest};

/// Asks for the page; gives the protocol that was agreed on and the answer, or why there is none.
fn get(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<(Option<Vec<u8>>, String), std::io::Error> {
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    let mut stream: StreamOwned<_, TcpStream> = StreamOwned::new(session, connect(address));
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok((stream.conn.alpn_protocol().map(<[u8]>::to_vec), text))
}

#[test]
fn everything_is_tls_and_a_new_certificate_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let (first, second) = (Pair::new(), Pair::new());
    first.write(&certificate, &key);
    let files = Files { certificate: certificate.clone(), key: key.clone() };
    let served = serve(patient(), Some(Tls::open(files).unwrap()));
    let answered = |pair: &Pair| get(served.address, pair.trusted());

    let (protocol, text) = answered(&first).unwrap();
    assert_eq!(protocol.as_deref(), Some(b"http/1.1".as_slice()));
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("here"), "{text}");
    assert!(answered(&second).is_err(), "a certificate that was never given is trusted");
    let plain = ask(served.address, &Request::new("GET /", &[], b""));
    assert!(!plain.contains("HTTP/1.1"), "{plain:?}");

    // Half replaced, nothing fits: the pair before is used.
    let other = folder.path().join("other.pem");
    second.write(&certificate, &other);
    assert!(answered(&first).is_ok() && answered(&second).is_err());
    second.write(&certificate, &key);
    assert!(answered(&second).is_ok() && answered(&first).is_err());
    std::fs::write(&certificate, "nothing").unwrap();
    assert!(answered(&second).is_ok());
    std::fs::remove_file(&certificate).unwrap();
    assert!(answered(&second).is_ok());
    first.write(&certificate, &key);
    assert!(answered(&first).is_ok() && answered(&second).is_err());
}

#[test]
fn the_program_speaks_tls_where_it_has_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let files = "tls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n";
    let refused = Instance::start_with(folder.path(), 1, files, "").said();
    assert!(refused.contains("c.pem") && refused.contains("hint: "), "{refused}");
    pair.write(&folder.path().join("c.pem"), &folder.path().join("k.pem"));
    let instance = Instance::start_with(folder.path(), 1, files, "").listening();
    let (protocol, text) = get(instance.socket(), pair.trusted()).unwrap();
    assert_eq!(protocol.as_deref(), Some(b"http/1.1".as_slice()));
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let plain = ask(instance.socket(), &Request::new("GET /", &[], b""));
    assert!(!plain.contains("HTTP/1.1"), "{plain:?}");
    instance.terminate();
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    Pair::new().write(&certificate, &key);
    let handshake = Duration::from_millis(50);
    let limits = Limits { connections: 1, handshake, ..patient() };
    let served = serve(limits, Some(Tls::open(Files { certificate, key }).unwrap()));
    for begun in [b"".as_slice(), &[22, 3, 1, 2]] {
        let mut stream = connect(served.address);
        stream.write_all(begun).unwrap();
        assert_eq!(rest(&mut stream), "");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    Pair::new().write(&path("c.pem"), &path("k.pem"));
    Pair::new().write(&path("d.pem"), &path("l.pem"));
    let refused = Tls::open(Files { certificate: path("c.pem"), key: path("l.pem") });
    let problem = refused.err().unwrap();
    assert!(matches!(problem, TlsError::Unfit { .. }), "{problem}");
    let shown = problem.to_string();
    assert!(shown.contains("c.pem") && shown.contains("l.pem"), "{shown}");
}
