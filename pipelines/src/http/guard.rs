//! What no route is asked about: refused by the head alone, before a byte of the body is taken.
//!
//! Invariant: nothing here looks at who is asked for, so that no answer tells who is a customer.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use ionflux_sources::doors::refusal;
use ionflux_sources::inbox::BODY_BYTES_MAX;

/// The longest path: names of workspaces and of views are far shorter.
const PATH_BYTES_MAX: usize = 1_024;

/// The refusal of a request, if no route is to see it.
pub(super) fn refused(uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    if uri.path().len() > PATH_BYTES_MAX {
        let detail = format!("the path is longer than {PATH_BYTES_MAX} bytes");
        return Some(refusal(StatusCode::URI_TOO_LONG, &detail));
    }
    // A small body may expand to any size, so that none is ever expanded.
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        let detail = "bodies are taken as they are, not compressed: send no Content-Encoding";
        let mut response = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        let identity = HeaderValue::from_static("identity");
        response.headers_mut().insert(header::ACCEPT_ENCODING, identity);
        return Some(response);
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let declared = declared.and_then(|length| length.parse::<u64>().ok()).unwrap_or_default();
    if declared > BODY_BYTES_MAX as u64 {
        let detail = format!("a body of {declared} bytes is longer than {BODY_BYTES_MAX} bytes");
        return Some(refusal(StatusCode::PAYLOAD_TOO_LARGE, &detail));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_refused_by_path_coding_and_length() {
        let asked = |path: &str, name: &'static str, value: &'static str| {
            let headers =
                HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
            let refused = refused(&path.parse().unwrap(), &headers);
            refused.map_or(200, |response| response.status().as_u16())
        };
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        assert_eq!(asked(&long, "accept", "a"), 414);
        assert_eq!(asked(&long[..PATH_BYTES_MAX], "accept", "a"), 200);
        assert_eq!(asked("/", "content-encoding", "gzip"), 415);
        assert_eq!(asked("/", "content-encoding", "identity, br"), 415);
        assert_eq!(asked("/", "content-encoding", "Identity"), 200);
        assert_eq!(asked("/", "content-length", "33554433"), 413);
        assert_eq!(asked("/", "content-length", "33554432"), 200);
    }
}
