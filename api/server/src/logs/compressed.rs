//! Bundles of entries in gzip (RFC 1952), as C2SP tlog-tiles v0.1.0 recommends, for whoever takes that (RFC 9110, 12.5.3).
//!
//! Hashes don't become smaller, and stay as they are.

use std::io::{self, Write as _};

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Shorter bundles are not worth it, in bytes.
const LEAST: usize = 512;

/// Whether gzip is taken: it is named with a weight above zero, or not named and `*` is.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let mut words = part.split(';').map(str::trim);
            let coding = words.next().unwrap_or_default().to_ascii_lowercase();
            let weight = words.find_map(|word| {
                let (name, weight) = word.split_once('=')?;
                name.eq_ignore_ascii_case("q").then(|| weight.parse::<f32>().unwrap_or(0.0))
            });
            let taken = weight.is_none_or(|weight| weight > 0.0);
            match coding.as_str() {
                "gzip" | "x-gzip" => return taken,
                "*" => any = taken,
                _ => {}
            }
        }
    }
    any
}

/// The bundle in gzip; `None` if that would not make it shorter. The same bundle gives the same bytes.
pub(super) fn gzip(bundle: &[u8]) -> io::Result<Option<Vec<u8>>> {
    if bundle.len() < LEAST {
        return Ok(None);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bundle.len() / 4), Compression::fast());
    encoder.write_all(bundle)?;
    let bytes = encoder.finish()?;
    Ok((bytes.len() < bundle.len()).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_to_whom_takes_it() {
        for (values, taken) in [
            (&[][..], false),
            (&["gzip"], true),
            (&["GZIP;q=0.5"], true),
            (&["deflate, gzip;q=1.0, *;q=0.5"], true),
            (&["deflate", "x-gzip"], true),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*, gzip; q=0.0"], false),
            (&["identity"], false),
            (&["gzip;q=nonsense"], false),
            (&["gzipped"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(is_accepted(&headers), taken, "{values:?}");
        }
    }
}
