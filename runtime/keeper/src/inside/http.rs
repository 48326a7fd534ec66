//! The head of a request to an HTTP proxy (RFC 9112): method and target, from foreign bytes.

/// Longest request line, in bytes.
pub(super) const MAX_REQUEST_LINE_BYTES: usize = 8 << 10;

/// Longest host name (RFC 1035 gives 253), in bytes.
const MAX_HOST_BYTES: usize = 255;

/// What a proxy was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) host: String,
    pub(super) port: u16,
    /// Method and path of a plain request; a query is replaced by `?…`, because it often carries secrets.
    pub(super) request: Option<String>,
}

/// Reads the request line of `head` (which may go on with headers). `None`: not a request to a proxy.
pub(super) fn parse(head: &[u8]) -> Option<Asked> {
    let line = head.split(|b| *b == b'\n').next()?;
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if words.next().is_some()
        || !version.starts_with("HTTP/")
        || method.is_empty()
        || method.len() > 32
        || !method.bytes().all(token)
        || target.bytes().any(|b| b.is_ascii_control())
    {
        return None;
    }
    if method == "CONNECT" {
        let (host, port) = authority(target, None)?;
        return Some(Asked { host, port, request: None });
    }
    let (scheme, rest) = target.split_once("://")?;
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ftp" => 21,
        _ => return None,
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (before, after) = rest.split_at(at);
    // What stands before an @ is a password.
    let named = before.rsplit_once('@').map_or(before, |(_, host)| host);
    let (host, port) = authority(named, Some(default))?;
    let (path, query) = match after.split_once(['?', '#']) {
        Some((path, _)) => (path, "?…"),
        None => (after, ""),
    };
    let path = if path.is_empty() { "/" } else { path };
    // The whole path: it is cut after its redaction, where the record has no room for it.
    let request = format!("{method} {path}{query}");
    Some(Asked { host, port, request: Some(request) })
}

/// How much of a body follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// So many bytes.
    Exactly(u64),
    /// As much as comes.
    UntilTheEnd,
}

/// A plain request as the server itself is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Request line and headers, with the empty line. The connection ends with the answer.
    pub(super) head: Vec<u8>,
    /// What follows.
    pub(super) body: BodyLength,
}

/// Where the head of a request ends; none if it is not whole.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// A whole head to a proxy, in the form for the server (RFC 9112, section 3.2.1). `None` if it is malformed.
pub(super) fn pass(head: &[u8]) -> Option<Passed> {
    let text = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines =
        text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (_, rest) = target.split_once("://")?;
    let path = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut passed = format!("{method} {slash}{path} HTTP/1.1\r\n").into_bytes();
    let mut body = BodyLength::Exactly(0);
    for line in lines {
        let colon = line.iter().position(|b| *b == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
        let value = line[colon + 1..].trim_ascii();
        match name.as_str() {
            "connection" | "proxy-connection" | "keep-alive" | "proxy-authorization" => continue,
            "content-length" => {
                body = BodyLength::Exactly(std::str::from_utf8(value).ok()?.parse().ok()?);
            }
            "transfer-encoding" => body = BodyLength::UntilTheEnd,
            _ => {}
        }
        passed.extend_from_slice(line);
        passed.extend_from_slice(b"\r\n");
    }
    passed.extend_from_slice(b"Connection: close\r\n\r\n");
    Some(Passed { head: passed, body })
}

fn authority(text: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        Some(_) => return None,
        None => default?,
    };
    let plain = !host.is_empty() && host.len() <= MAX_HOST_BYTES && !host.contains('@');
    plain.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(line: &str) -> Option<(String, u16, Option<String>)> {
        parse(line.as_bytes()).map(|a| (a.host, a.port, a.request))
    }

    #[test]
    fn what_is_asked_for_is_named_without_its_secrets() {
        let get = |r: &str| Some(r.to_owned());
        assert_eq!(
            asked("CONNECT Example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
            Some(("Example.com".into(), 443, None))
        );
        assert_eq!(
            asked("GET http://u:p@example.com/a/b?token=1 HTTP/1.1\r\n"),
            Some(("example.com".into(), 80, get("GET /a/b?…")))
        );
        assert_eq!(
            asked("POST http://[2001:db8::1]:8080 HTTP/1.0\n"),
            Some(("2001:db8::1".into(), 8080, get("POST /")))
        );
        for bad in [
            "GET / HTTP/1.1\r\n",
            "CONNECT example.com HTTP/1.1\r\n",
            "CONNECT :443 HTTP/1.1\r\n",
            "CONNECT a:99999 HTTP/1.1\r\n",
            "CONNECT a:1 b HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
            "",
        ] {
            assert_eq!(asked(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_request_that_is_passed_on_is_one_to_the_server() {
        let head = b"POST http://custody:8000?a=1#x HTTP/1.1\r\nHost: custody:8000\r\n\
            Proxy-Connection: keep-alive\r\nContent-Length: 3\r\n\r\n";
        let passed = pass(head).unwrap();
        let expected = b"POST /?a=1 HTTP/1.1\r\nHost: custody:8000\r\nContent-Length: 3\r\n\
            Connection: close\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&passed.head), String::from_utf8_lossy(expected));
        assert_eq!(passed.body, BodyLength::Exactly(3));
        assert_eq!(pass(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
            let _ = pass(&[&bytes[..], b"\r\n\r\n"].concat());
        }

        #[test]
        fn foreign_targets_are_bounded(target in "\\PC{0,3000}") {
            if let Some(asked) = parse(format!("GET http://{target} HTTP/1.1\r\n").as_bytes()) {
                prop_assert!(asked.host.len() <= MAX_HOST_BYTES);
                let told = asked.request.map_or(0, |r| r.len());
                prop_assert!(told <= target.len() + 48);
            }
        }

        #[test]
        fn every_host_is_named(host in "[a-z0-9.-]{1,60}", port: u16) {
            prop_assert_eq!(
                parse(format!("CONNECT {host}:{port} HTTP/1.1\r\n").as_bytes()),
                Some(Asked { host, port, request: None })
            );
        }
    }
}
