//! What the local issuer promises of its keys and tokens.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use custody_model::Scope;

use super::*;
use crate::{TokenError, Verified, Verifier};
use custody_model::TokenKind;

const START: Timestamp = Timestamp::from_micros(1_795_461_120_250_000);

fn options(dir: &Path) -> LocalIssuerOptions {
    LocalIssuerOptions {
        dir: dir.join("keys"),
        issuer: "https://custody.example".to_owned(),
        audience: "custody".to_owned(),
    }
}

fn open(dir: &Path) -> LocalIssuer {
    LocalIssuer::open(options(dir), START).unwrap()
}

fn request(kind: TokenKind, lifetime: Duration) -> TokenRequest {
    TokenRequest { user: "ada".parse().unwrap(), kind, scopes: Scope::ALL.into(), lifetime }
}

fn service(issuer: &LocalIssuer, now: Timestamp) -> IssuedToken {
    let id = TokenId::new(now, [7; 10]);
    issuer.issue(&request(TokenKind::Service, MAX_SERVICE_LIFETIME), id, now).unwrap()
}

fn check(
    issuer: &LocalIssuer,
    token: &IssuedToken,
    now: Timestamp,
) -> Result<Verified, TokenError> {
    let mut verifier = Verifier::new();
    verifier.trust_local(issuer).unwrap();
    verifier.verify(token.text.expose(), now)
}

fn key_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let is_key = |path: &std::path::PathBuf| path.extension().is_some_and(|ext| ext == "json");
    entries.filter(is_key).collect()
}

#[test]
fn a_token_says_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = open(dir.path());
    let id = TokenId::new(START, [1; 10]);
    let scopes = BTreeSet::from([Scope::SessionsRead, Scope::ControlRead]);
    for kind in TokenKind::ALL {
        let lifetime = Duration::from_millis(90_900);
        let request = TokenRequest { scopes: scopes.clone(), ..request(kind, lifetime) };
        let token = issuer.issue(&request, id, START).unwrap();
        // Whole seconds, from the second in which it was made.
        assert_eq!(token.expires_at.as_micros(), START.as_micros() - 250_000 + 90_000_000);
        let verified = check(&issuer, &token, START).unwrap();
        assert_eq!(verified.token, Some(id));
        assert_eq!((verified.user, verified.kind), (request.user, kind));
        assert_eq!((&verified.scopes, verified.expires_at), (&scopes, token.expires_at));
    }
}

#[test]
fn lives_and_names_have_limits() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = open(dir.path());
    let id = TokenId::new(START, [1; 10]);
    for kind in TokenKind::ALL {
        let longest = crate::max_lifetime(kind);
        let moment = Duration::from_nanos(1);
        for (lifetime, fits) in [
            (Duration::from_secs(1) - moment, false),
            (Duration::from_secs(1), true),
            (longest, true),
            (longest + moment, false),
            (Duration::MAX, false),
        ] {
            let issued = issuer.issue(&request(kind, lifetime), id, START);
            assert_eq!(issued.is_ok(), fits, "{kind} {lifetime:?}");
        }
    }
    let options = LocalIssuerOptions { audience: "a".repeat(8 << 10), ..options(dir.path()) };
    let issuer = LocalIssuer::open(options, START).unwrap();
    let issued = issuer.issue(&request(TokenKind::Access, Duration::from_secs(60)), id, START);
    assert!(matches!(issued, Err(IssueError::TooLong)));
}

#[test]
fn a_rotated_key_vouches_for_its_tokens_until_it_retires() {
    let dir = tempfile::tempdir().unwrap();
    let mut issuer = open(dir.path());
    let before = service(&issuer, START);
    let rotated = later(START, Duration::from_secs(1));
    issuer.rotate(rotated).unwrap();
    assert_eq!(issuer.signing_since(), Some(rotated));
    let after = service(&issuer, rotated);
    for token in [&before, &after] {
        check(&issuer, token, rotated).unwrap();
        check(&open(dir.path()), token, rotated).unwrap();
    }
    assert_eq!(issuer.jwks(rotated).keys.len(), 2);

    // The longest-lived token that the old key can have signed is over before the key retires.
    let retired = later(rotated, MAX_SERVICE_LIFETIME + RETIRE_MARGIN);
    let last = Timestamp::from_micros(retired.as_micros() - 1);
    assert_eq!(check(&issuer, &before, last).unwrap_err(), TokenError::Expired);
    assert_eq!(check(&issuer, &before, retired).unwrap_err().reason(), "unknown_key");
    // A token that it signs after the rotation (a thief's) is not good for longer.
    let stolen = service(&open_with_first(dir.path(), &issuer), retired);
    assert_eq!(check(&issuer, &stolen, retired).unwrap_err().reason(), "unknown_key");
    assert_eq!((issuer.jwks(last).keys.len(), issuer.jwks(retired).keys.len()), (2, 1));

    issuer.rotate(retired).unwrap();
    assert_eq!(key_files(dir.path()).len(), 2, "the retired key is gone, two are there");
    check(&issuer, &service(&issuer, retired), retired).unwrap();
}

/// An issuer with nothing but the oldest key.
fn open_with_first(dir: &Path, issuer: &LocalIssuer) -> LocalIssuer {
    LocalIssuer::with(options(dir), vec![issuer.keys[0].clone()]).unwrap()
}

#[test]
fn a_clock_that_was_put_back_does_not_bring_an_old_key_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut issuer = open(dir.path());
    let first = issuer.keys[0].kid.clone();
    let earlier = Timestamp::from_micros(START.as_micros() - 3_600_000_000);
    issuer.rotate(earlier).unwrap();
    assert_ne!(issuer.keys.last().unwrap().kid, first);
    let again = open(dir.path());
    assert_eq!(again.keys.last().unwrap().kid, issuer.keys.last().unwrap().kid);
}

#[test]
fn another_process_sees_a_rotation_when_it_reloads() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (open(dir.path()), open(dir.path()));
    one.rotate(START).unwrap();
    let token = service(&one, START);
    let error = check(&other, &token, START).unwrap_err();
    assert_eq!(error.refresh(), Some(&crate::IssuerAlias::local()));
    other.reload(START).unwrap();
    check(&other, &token, START).unwrap();
    // A key that was removed is withdrawn, with its tokens.
    let name = format!("key-{}.json", other.keys.last().unwrap().kid);
    fs::remove_file(dir.path().join("keys").join(name)).unwrap();
    other.reload(START).unwrap();
    assert_eq!(check(&other, &token, START).unwrap_err().reason(), "unknown_key");
}

#[test]
fn keys_that_can_not_all_be_served_are_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut issuer = open(dir.path());
    for _ in 1..MAX_KEYS {
        issuer.rotate(START).unwrap();
    }
    assert!(matches!(issuer.rotate(START), Err(KeyError::TooMany)));
    let served = serde_json::to_vec(&issuer.jwks(START)).unwrap();
    let read = KeySet::parse(&served).unwrap();
    assert_eq!(read.ids().count(), MAX_KEYS);
    assert!(read.ids().eq(issuer.key_set().ids()));
}

#[test]
fn keys_are_closed_to_others_and_refused_if_they_are_not() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let keys = dir.path().join("keys");
    let file = key_files(dir.path()).remove(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&keys), mode(&file)), (0o700, 0o600));
    for (path, wrong, right) in [(&keys, 0o750, 0o700), (&file, 0o604, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(wrong)).unwrap();
        let error = LocalIssuer::open(options(dir.path()), START).unwrap_err();
        assert!(matches!(&error, KeyError::OpenToOthers { path: p, .. } if p == path), "{error}");
        fs::set_permissions(path, fs::Permissions::from_mode(right)).unwrap();
    }
    open(dir.path());
}

#[test]
fn a_damaged_key_is_refused_and_not_told() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let file = key_files(dir.path()).remove(0);
    let good = fs::read_to_string(&file).unwrap();
    let seed = good.split("\"d\":\"").nth(1).unwrap()[..43].to_owned();
    let other = if seed.starts_with('A') { 'B' } else { 'A' };
    let changed = good.replace(&seed, &format!("{other}{}", &seed[1..]));
    for bad in
        [changed, good[..good.len() / 2].to_owned(), good.replace("OKP", "RSA"), String::new()]
    {
        fs::write(&file, bad).unwrap();
        let error = LocalIssuer::open(options(dir.path()), START).unwrap_err();
        assert!(matches!(&error, KeyError::Malformed(path) if *path == file));
        assert!(!format!("{error} {error:?}").contains(&seed[1..]));
    }
    fs::write(&file, &good).unwrap();
    fs::rename(&file, file.with_file_name("key-another.json")).unwrap();
    assert!(matches!(LocalIssuer::open(options(dir.path()), START), Err(KeyError::Malformed(_))));
}

#[test]
fn what_a_dead_process_left_half_written_is_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut issuer = open(dir.path());
    fs::write(dir.path().join("keys/.new"), "{\"kty\":").unwrap();
    issuer.reload(START).unwrap();
    assert_eq!(issuer.keys.len(), 1);
    issuer.rotate(START).unwrap();
    assert_eq!(open(dir.path()).keys.len(), 2);
}

#[test]
fn neither_keys_nor_tokens_are_in_a_debug_form() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = open(dir.path());
    let token = service(&issuer, START);
    let debug = format!("{issuer:?} {token:?}");
    let key = issuer.keys[0].secret.as_bytes();
    let seed: &[_] = &[hex::encode(key), hex::encode_upper(key), format!("{key:?}")];
    assert!(seed.iter().all(|form| !debug.contains(form)), "{debug}");
    assert!(token.text.expose().split('.').all(|part| !debug.contains(part)), "{debug}");
}

#[test]
fn keys_opened_at_once_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let opened: Vec<String> = std::thread::scope(|scope| {
        let open = || scope.spawn(|| open(dir.path()).keys[0].kid.to_string());
        let threads: Vec<_> = (0..8).map(|_| open()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(opened.iter().all(|kid| *kid == opened[0]), "{opened:?}");
    assert_eq!(key_files(dir.path()).len(), 1);
}
