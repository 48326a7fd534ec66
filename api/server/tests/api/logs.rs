//! The logs as a monitor follows them: with nothing but HTTP, the public formats and a key that it was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use custody_api_server::{Limits, Transparency};
use custody_api_types::endpoint::Part;
use custody_model::Digest;
use custody_record::Verifier;
use custody_record::tlog::{
    Checkpoint, TilePath, TreeHashes, leaf_hash, prove_consistency, prove_inclusion, root_of,
    verify_consistency, verify_inclusion,
};

use crate::http::{Answer, Call};
use crate::installation::Installation;
use crate::recording::sealed;

/// Somebody who reads a log at a prefix.
struct Monitor<'a> {
    installation: &'a Installation,
    prefix: String,
    token: Option<&'a str>,
}

impl Monitor<'_> {
    async fn get(&self, path: &str) -> Answer {
        let mut call = Call::get(&format!("{}/{path}", self.prefix));
        if let Some(token) = self.token {
            call = call.token(token);
        }
        call.to(self.installation.address).await
    }

    async fn checkpoint(&self, origin: &str) -> Checkpoint {
        let answer = self.get("checkpoint").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        Checkpoint::open(&answer.body, origin, &key(self.installation)).unwrap()
    }

    /// The hashes of a tree that fits into one tile.
    async fn leaves(&self, size: u64) -> Tile {
        let answer = self.get(&format!("tile/0/000.p/{size}")).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        let (hashes, rest) = answer.body.as_chunks::<32>();
        assert!(rest.is_empty() && hashes.len() as u64 == size);
        Tile(hashes.iter().copied().map(Digest::from_bytes).collect())
    }

    async fn entries(&self, size: u64) -> Vec<Vec<u8>> {
        let answer = self.get(&format!("tile/entries/000.p/{size}")).await;
        assert_eq!(answer.status, 200);
        let (mut rest, mut entries) = (answer.body.as_slice(), Vec::new());
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
            entries.push(entry.to_vec());
            rest = tail;
        }
        entries
    }
}

struct Tile(Vec<Digest>);

impl TreeHashes for Tile {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u32, index: u64) -> Result<Digest, Self::Error> {
        let from = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[from..from + (1 << level)]))
    }
}

fn key(installation: &Installation) -> Verifier {
    Verifier::read(&installation.state.keys().join("installation.vkey")).unwrap()
}

async fn publishing(part: Option<Part>) -> Installation {
    let limits = Limits { requests_per_minute: 1_000_000, burst: 100_000, ..Limits::default() };
    Installation::listening(limits, "127.0.0.1:0", None, Transparency::new(part, Arc::default()))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_follows_the_installation_log_without_a_token_where_it_is_published() {
    let installation = publishing(Some(Part::Entries)).await;
    let origin = key(&installation).log_origin();
    let monitor =
        Monitor { installation: &installation, prefix: "/v1/log".to_owned(), token: None };
    assert_eq!(monitor.get("checkpoint").await.status, 404, "there is no head yet");
    let mut heads = BTreeMap::new();
    for n in 1..=3 {
        let row = sealed(&installation, n).await;
        let head = monitor.checkpoint(&origin).await;
        assert_eq!(head.size, n);
        let leaves = monitor.leaves(n).await;
        assert_eq!(root_of(&leaves.0), head.root);
        for (old, root) in &heads {
            let proof = prove_consistency(&leaves, *old, n).unwrap();
            assert_eq!(verify_consistency((*old, *root), (n, head.root), &proof), Ok(()));
        }
        let entries = monitor.entries(n).await;
        assert_eq!(entries.iter().map(|e| leaf_hash(e)).collect::<Vec<_>>(), leaves.0);
        assert!(String::from_utf8_lossy(entries.last().unwrap()).contains(&row.id.to_string()));
        heads.insert(n, head.root);
    }
    let answer = monitor.get("tile/0/000.p/2").await;
    assert_eq!(answer.status, 200, "older heads are still served");
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    for unknown in [
        "tile/0/000.p/4",
        "tile/0/000",
        "tile/1/000.p/1",
        "tile/0/000.p/0",
        "tile/0/0",
        "tile/9/000",
        "tile/entries/001.p/1",
        "tile/entries/000.p/4",
        "tile/data/000",
        "tile/0/..%2f..%2fcheckpoint",
        "tile/entries/..%2f..%2f..%2fkeys%2finstallation.key",
        "tile/0/000.p/03",
        "tiles",
    ] {
        assert_eq!(monitor.get(unknown).await.status, 404, "{unknown}");
    }
    assert!(installation.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_published_than_the_configuration_says() {
    for (part, hashes, entries) in
        [(None, 401, 401), (Some(Part::Hashes), 200, 401), (Some(Part::Entries), 200, 200)]
    {
        let installation = publishing(part).await;
        let row = sealed(&installation, 1).await;
        let session = format!("/v1/sessions/{}/log", row.id);
        for (prefix, path, status) in [
            ("/v1/log", "checkpoint", hashes),
            ("/v1/log", "tile/0/000.p/1", hashes),
            ("/v1/log", "tile/entries/000.p/1", entries),
            ("/v1/control/log", "checkpoint", 401),
            ("/v1/control/log", "tile/0/000.p/1", 401),
            (&session, "checkpoint", 401),
            (&session, "tile/entries/000.p/5", 401),
        ] {
            let stranger =
                Monitor { installation: &installation, prefix: prefix.to_owned(), token: None };
            assert_eq!(stranger.get(path).await.status, status, "{part:?} {prefix}/{path}");
        }
        assert!(installation.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_session_proves_its_events_to_whoever_may_read_it() {
    let installation = Installation::start().await;
    let row = sealed(&installation, 20).await;
    let monitor = Monitor {
        installation: &installation,
        prefix: format!("/v1/sessions/{}/log", row.id),
        token: Some(installation.token("dev")),
    };
    let head = monitor.checkpoint(&key(&installation).session_origin(row.id)).await;
    let (leaves, entries) = (monitor.leaves(head.size).await, monitor.entries(head.size).await);
    for (index, entry) in (0..).zip(&entries) {
        let proof = prove_inclusion(&leaves, index, head.size).unwrap();
        let leaf = leaf_hash(entry);
        assert_eq!(verify_inclusion(leaf, index, head.size, head.root, &proof), Ok(()));
    }
    println!("{} events proved over HTTP", entries.len());
    // A name that may mean another session tomorrow is not kept.
    let path: TilePath = format!("0/000.p/{}", head.size).parse().unwrap();
    let last = Monitor { prefix: "/v1/sessions/last/log".to_owned(), ..monitor };
    assert_eq!(last.get(&path.path()).await.header("cache-control"), Some("no-cache"));
    let open = installation.session(None).await;
    let recording = crate::recording::Recording::begin(&installation, &open);
    recording.opens("README");
    let live = Monitor { prefix: format!("/v1/sessions/{}/log", open.id), ..last };
    assert_eq!(live.get("checkpoint").await.status, 404, "nothing is signed yet");
    assert_eq!(live.get("tile/0/000.p/1").await.status, 404);
    // While it lives each head that its keeper signs is there, with the tiles under it and no more.
    let origin = key(&installation).session_origin(open.id);
    let mut seen: Vec<(Checkpoint, Tile)> = Vec::new();
    for file in ["LICENSE", "Makefile", "src"] {
        recording.publishes();
        recording.opens(file);
        let head = live.checkpoint(&origin).await;
        let (leaves, entries) = (live.leaves(head.size).await, live.entries(head.size).await);
        assert_eq!(root_of(&leaves.0), head.root);
        assert_eq!(entries.iter().map(|e| leaf_hash(e)).collect::<Vec<_>>(), leaves.0);
        let beyond = format!("tile/0/000.p/{}", head.size + 1);
        assert_eq!(live.get(&beyond).await.status, 404, "{beyond}");
        for (old, _) in &seen {
            let proof = prove_consistency(&leaves, old.size, head.size).unwrap();
            let (old, new) = ((old.size, old.root), (head.size, head.root));
            assert_eq!(verify_consistency(old, new, &proof), Ok(()));
        }
        seen.push((head, leaves));
    }
    recording.end();
    let head = live.checkpoint(&origin).await;
    let leaves = live.leaves(head.size).await;
    for (old, old_leaves) in &seen {
        let proof = prove_consistency(&leaves, old.size, head.size).unwrap();
        let (from, to) = ((old.size, old.root), (head.size, head.root));
        assert_eq!(verify_consistency(from, to, &proof), Ok(()), "the seal goes on from it");
        assert_eq!(live.leaves(old.size).await.0, old_leaves.0, "older tiles are still served");
    }
    println!("{} heads of a living session over HTTP", seen.len());
    assert!(installation.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_come_compressed_to_whom_takes_that() {
    let installation = Installation::start().await;
    let row = sealed(&installation, 60).await;
    let token = installation.token("dev");
    let get = async |path: &str, accept: Option<&str>| {
        let mut call = Call::get(&format!("/v1/sessions/{}/log/{path}", row.id)).token(token);
        if let Some(accept) = accept {
            call = call.header("accept-encoding", accept);
        }
        call.to(installation.address).await
    };
    let origin = key(&installation).session_origin(row.id);
    let head = Checkpoint::open(&get("checkpoint", None).await.body, &origin, &key(&installation));
    let size = head.unwrap().size;
    let bundle = format!("tile/entries/000.p/{size}");
    let plain = get(&bundle, None).await;
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    for accept in ["gzip", "br, gzip;q=0.2", "*"] {
        let packed = get(&bundle, Some(accept)).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{accept}");
        assert_eq!(packed.header("vary"), Some("accept-encoding"));
        assert!(packed.body.len() * 2 < plain.body.len(), "{}", packed.body.len());
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&*packed.body);
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
        println!("{size} entries: {} bytes for {}", packed.body.len(), plain.body.len());
    }
    for accept in ["identity", "gzip;q=0", "br"] {
        let answer = get(&bundle, Some(accept)).await;
        assert_eq!((answer.header("content-encoding"), &answer.body), (None, &plain.body));
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
    }
    // Hashes don't become smaller.
    let hashes = get(&format!("tile/0/000.p/{size}"), Some("gzip")).await;
    assert_eq!((hashes.status, hashes.header("content-encoding")), (200, None));
    assert!(installation.stop().await);
}
