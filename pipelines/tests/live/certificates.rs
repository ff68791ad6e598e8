//! Certificates made up for a test: one key signs itself, for `localhost`, until 2049.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 2;
const BITS: u8 = 3;
const OCTETS: u8 = 4;
const OBJECT: u8 = 6;
const TEXT: u8 = 12;
const TIME: u8 = 23;
/// `[0]` for the version, `[3]` for extensions, `[2]` for a DNS name.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS: u8 = 0x82;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// One element of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    match content.len() {
        short @ 0..128 => element.push(short as u8),
        short @ 128..256 => element.extend([0x81, short as u8]),
        long => element.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    element.extend(content);
    element
}

/// A certificate and its key.
pub struct Pair {
    pub certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Pair {
    /// A pair like no other.
    pub fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        let object = |id: &[u8]| der(OBJECT, &[id]);
        let signed_with = der(SEQUENCE, &[&object(ECDSA_WITH_SHA256)]);
        let name = der(SEQUENCE, &[&object(COMMON_NAME), &der(TEXT, &[b"localhost"])]);
        let name = der(SEQUENCE, &[&der(SET, &[&name])]);
        let valid =
            der(SEQUENCE, &[&der(TIME, &[b"200101000000Z"]), &der(TIME, &[b"490101000000Z"])]);
        let public = der(BITS, &[&[0], pair.public_key().as_ref()]);
        let public =
            der(SEQUENCE, &[&der(SEQUENCE, &[&object(PUBLIC_KEY), &object(P256)]), &public]);
        let names = der(SEQUENCE, &[&der(DNS, &[b"localhost"])]);
        let names = der(SEQUENCE, &[&object(OTHER_NAMES), &der(OCTETS, &[&names])]);
        let extensions = der(EXTENSIONS, &[&der(SEQUENCE, &[&names])]);
        let version = der(VERSION, &[&der(INTEGER, &[&[2]])]);
        let serial = der(INTEGER, &[&[1]]);
        let parts = [&version, &serial, &signed_with, &name, &valid, &name, &public, &extensions];
        let said = der(SEQUENCE, &parts.map(|part| part.as_slice()));
        let signature = pair.sign(&random, &said).unwrap();
        let signature = der(BITS, &[&[0], signature.as_ref()]);
        let certificate = der(SEQUENCE, &[&said, &signed_with, &signature]);
        Self { certificate: certificate.into(), key: key.as_ref().to_vec() }
    }

    /// Writes both as PEM, replacing what is there.
    pub fn write(&self, certificate: &Path, key: &Path) {
        let pem = |label: &str, bytes: &[u8]| {
            let text = STANDARD.encode(bytes);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        std::fs::write(certificate, pem("CERTIFICATE", &self.certificate)).unwrap();
        std::fs::write(key, pem("PRIVATE KEY", &self.key)).unwrap();
    }

    /// A caller who trusts this certificate alone.
    pub fn trusted(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}
