//! The environment that the command gets: what the policy lets in, and what the sandbox needs.

use std::collections::BTreeMap;

/// Port of the HTTP proxy on the sandbox's loopback.
pub(crate) const PROXY_PORT: u16 = 3128;

/// Name of the sandbox's machine.
pub(crate) const HOSTNAME: &str = "custody";

/// The hosts that are the sandbox itself, as programs compare them: by address range, address or name, each by what it
/// understands. A program that understands none of them asks the proxy, which passes the request on.
const OWN_HOSTS: &str =
    "127.0.0.1,localhost,::1,127.0.0.0/8,127.0.0.2,0.0.0.0,[::1],::,.localhost,custody";

/// Search path inside.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment as `NAME=value`: the sandbox's own values first, then what the policy let in or sets, last the
/// proxy's, which nothing may change.
pub(crate) fn compose(
    home: &str,
    session: &str,
    terminal: bool,
    granted: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    all.insert("PATH", PATH.into());
    all.insert("HOME", home.into());
    all.insert("USER", "agent".into());
    all.insert("LOGNAME", "agent".into());
    all.insert("SHELL", "/bin/sh".into());
    all.insert("LANG", "C.UTF-8".into());
    all.insert("TERM", if terminal { "xterm-256color".into() } else { "dumb".into() });
    for (name, value) in granted {
        all.insert(name, value.clone());
    }
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        all.insert(name, proxy.clone());
    }
    for name in ["NO_PROXY", "no_proxy"] {
        all.insert(name, OWN_HOSTS.into());
    }
    all.insert("CUSTODY_SESSION", session.into());
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_changes_the_way_out() {
        let granted = BTreeMap::from([
            ("HTTPS_PROXY".to_owned(), "http://elsewhere".to_owned()),
            ("LANG".to_owned(), "de_DE.UTF-8".to_owned()),
        ]);
        let all = compose("/home/agent", "s", false, &granted);
        assert!(all.contains(&"HTTPS_PROXY=http://127.0.0.1:3128".to_owned()));
        assert!(all.contains(&"LANG=de_DE.UTF-8".to_owned()));
        assert!(OWN_HOSTS.split(',').any(|host| host == HOSTNAME));
    }
}
