//! What the service costs: how fast the API answers, alone and while twenty sessions run, how many events reach a
//! hundred watchers, and how much memory a session takes that does nothing.
//!
//! Bounded: a fixed number of calls to a server of this run, on a Unix socket.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use custody_api_client::{Client, Credentials, Followed, Patience, ServerAddress};
use custody_api_types::repository::RegisterRepository;
use custody_api_types::session::{CreateSession, SessionQuery};
use custody_model::{ProjectName, SessionId};
use custody_tests::Repository;

use crate::Places;
use crate::figures::{Figure, percentile};
use crate::options::Options;

/// Calls of each kind.
const CALLS: usize = 1_000;

/// Calls that are under way at one time.
const AT_ONCE: usize = 8;

/// Sessions that run while the API is asked.
const RUNNING: usize = 20;

/// Clients that watch one session.
const WATCHERS: usize = 100;

/// Files that the watched session writes; each makes some events.
const WATCHED_FILES: usize = 2_000;

/// Allowed for everybody and everything: what is measured is the service.
const POLICY: &str = "version: custody/policy/v1\nname: bench\nrequesters: {users: ['*']}\nimages: [host]\n\
     commands:\n  - {allow: ['*']}\n";

/// A server that ends with the measurement.
struct Server {
    process: Child,
    client: Client,
    repository: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to tell then.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// Measures all of it.
pub(crate) fn measure(places: &Places, options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let checkout = Repository::example();
        let server = start(places, checkout.path()).await?;
        let mut figures = calls(&server, options).await?;
        figures.extend(under_load(&server).await?);
        figures.extend(watchers(&server).await?);
        figures.extend(idle(&server).await?);
        Ok(figures)
    })
}

async fn start(places: &Places, checkout: &Path) -> Result<Server, Box<dyn Error>> {
    let state = places.work.join("service");
    let socket: PathBuf = state.join("run/custody.sock");
    let process = Command::new(&places.custody)
        .arg("--state")
        .arg(&state)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("CUSTODY_LIMITS__REQUESTS_PER_MINUTE", "1000000")
        .env("CUSTODY_LIMITS__BURST", "100000")
        .env("CUSTODY_LIMITS__STREAMS_PER_CALLER", WATCHERS.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let patience = Patience { first: Duration::from_secs(30), later: Duration::from_secs(30) };
    let client = Client::new(ServerAddress::Unix(socket.clone()), Credentials::None, patience)?;
    let mut server = Server { process, client, repository: String::new() };
    let client = &server.client;
    client.readiness().await?;
    let project = ProjectName::default_project();
    let policy = client.create_policy(&project, POLICY).await?;
    client.activate_policy(&project, &policy.digest).await?;
    let source = checkout.to_str().ok_or("the checkout's path is not UTF-8")?.to_owned();
    let registered = RegisterRepository { project, source, name: None, fetch: true };
    server.repository = client.register_repository(&registered).await?.name;
    Ok(server)
}

fn asks(server: &Server, script: &str) -> Result<CreateSession, serde_json::Error> {
    serde_json::from_value(serde_json::json!({
        "repository": server.repository,
        "command": ["sh", "-c", script],
    }))
}

async fn create(server: &Server, key: &str, script: &str) -> Result<SessionId, Box<dyn Error>> {
    Ok(server.client.create_session(key, &asks(server, script)?).await?.id)
}

async fn until(
    server: &Server,
    id: SessionId,
    wanted: fn(&str) -> bool,
) -> Result<(), Box<dyn Error>> {
    loop {
        let session = server.client.session(&id.to_string()).await?;
        if wanted(session.state.name()) {
            return Ok(());
        }
        if session.state.is_final() {
            return Err(format!("session {id} is {}", session.state.name()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn over(state: &str) -> bool {
    matches!(state, "sealed" | "refused" | "failed" | "interrupted")
}

/// Runs `call` so many times, some at once: the time of each, sorted, and of all.
async fn timed<F>(
    count: usize,
    call: impl Fn(usize) -> F,
) -> Result<(Vec<Duration>, Duration), Box<dyn Error>>
where
    F: Future<Output = Result<(), custody_api_client::ClientError>> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let mut times = Vec::new();
    for number in 0..count {
        if tasks.len() >= AT_ONCE
            && let Some(done) = tasks.join_next().await
        {
            times.push(done??);
        }
        let call = call(number);
        tasks.spawn(async move {
            let began = Instant::now();
            call.await?;
            Ok::<_, custody_api_client::ClientError>(began.elapsed())
        });
    }
    while let Some(done) = tasks.join_next().await {
        times.push(done??);
    }
    times.sort();
    Ok((times, began.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "some thousand calls")]
fn rate(count: usize, all: Duration) -> f64 {
    count as f64 / all.as_secs_f64()
}

/// `name.p50_ms`, `name.p99_ms` beside those of the cheapest call, and calls a second.
fn figures(
    name: &str,
    (times, all): &(Vec<Duration>, Duration),
    (base, base_all): &(Vec<Duration>, Duration),
) -> Vec<Figure> {
    vec![
        Figure::compared(format!("{name}_p50_ms"), percentile(times, 50), percentile(base, 50)),
        Figure::compared(format!("{name}_p99_ms"), percentile(times, 99), percentile(base, 99)),
        Figure::rate(
            format!("{name}_per_s"),
            "calls/s",
            rate(times.len(), *all),
            rate(base.len(), *base_all),
        ),
    ]
}

/// Get, list and create, beside the cheapest call there is: whether the server lives.
async fn calls(server: &Server, options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let rounds = CALLS.min(options.rounds.max(1) * 100);
    let id = create(server, "first", "true").await?;
    until(server, id, over).await?;
    let client = &server.client;
    let base = timed(rounds, |_| {
        let client = client.clone();
        async move { client.readiness().await.map(drop) }
    })
    .await?;
    let get = timed(rounds, |_| {
        let (client, id) = (client.clone(), id.to_string());
        async move { client.session(&id).await.map(drop) }
    })
    .await?;
    let list = timed(rounds, |_| {
        let client = client.clone();
        async move { client.sessions(&SessionQuery::default()).take(Some(50)).await.map(drop) }
    })
    .await?;
    // Refused by the policy's image rule: everything but the sandbox.
    let mut refused = asks(server, "true")?;
    refused.image = "none".to_owned();
    let without = timed(rounds / 5, |number| {
        let (client, asked) = (client.clone(), refused.clone());
        async move { client.create_session(&format!("without-{number}"), &asked).await.map(drop) }
    })
    .await?;
    let asked = asks(server, "true")?;
    let mut with = Vec::new();
    let began = Instant::now();
    for number in 0..options.rounds.max(5) {
        let began = Instant::now();
        let session = client.create_session(&format!("with-{number}"), &asked).await?;
        until(server, session.id, over).await?;
        with.push(began.elapsed());
    }
    with.sort();
    let with = (with, began.elapsed());
    let mut all = figures("api.get", &get, &base);
    all.extend(figures("api.list", &list, &base));
    all.extend(figures("api.create", &without, &base));
    all.extend(figures("api.create_and_run", &with, &base));
    Ok(all)
}

/// How fast the API answers while sessions run, beside how fast it does alone.
async fn under_load(server: &Server) -> Result<Vec<Figure>, Box<dyn Error>> {
    let client = &server.client;
    let first = create(server, "probe", "true").await?.to_string();
    let get = |_: usize| {
        let (client, id) = (client.clone(), first.clone());
        async move { client.session(&id).await.map(drop) }
    };
    let alone = timed(CALLS, get).await?;
    let script = "for i in $(seq 40); do echo $i >>log; cat README.md >/dev/null; sleep 0.1; done";
    let mut ids = Vec::new();
    for number in 0..RUNNING {
        ids.push(create(server, &format!("load-{number}"), script).await?);
    }
    let mut times = Vec::new();
    let began = Instant::now();
    let mut left = ids.clone();
    while let Some(id) = left.last().copied() {
        times.extend(timed(100, get).await?.0);
        let session = client.session(&id.to_string()).await?;
        if session.state.is_final() {
            left.pop();
        }
    }
    times.sort();
    let loaded = (times, began.elapsed());
    Ok(figures("api.get_under_load", &loaded, &alone))
}

/// Events that reach a hundred watchers a second, beside those that reach one.
async fn watchers(server: &Server) -> Result<Vec<Figure>, Box<dyn Error>> {
    let script = format!("for i in $(seq {WATCHED_FILES}); do echo $i >file$i; done");
    let id = create(server, "watched", &script).await?;
    until(server, id, over).await?;
    let mut rates = Vec::new();
    for count in [1, WATCHERS] {
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..count {
            let client = server.client.clone();
            tasks.spawn(async move {
                let mut following = client.follow(id, 0);
                let mut events = 0_usize;
                while let Some(followed) = following.next().await? {
                    events += usize::from(matches!(followed, Followed::Event { .. }));
                }
                Ok::<_, custody_api_client::ClientError>(events)
            });
        }
        let mut events = 0;
        while let Some(done) = tasks.join_next().await {
            events += done??;
        }
        rates.push(rate(events, began.elapsed()));
    }
    let name = "api.events_to_100_watchers_per_s".to_owned();
    Ok(vec![Figure::rate(name, "events/s", rates[1], rates[0])])
}

/// Proportional set size of a session's keeper and init, beside that of a `sleep` outside.
async fn idle(server: &Server) -> Result<Vec<Figure>, Box<dyn Error>> {
    const IDLE: usize = 10;
    let mut ids = Vec::new();
    for number in 0..IDLE {
        let id = create(server, &format!("idle-{number}"), "exec sleep 1000").await?;
        until(server, id, |state| state == "running").await?;
        ids.push(id);
    }
    // What was needed to start is given back some time later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut outside = Command::new("sleep").arg("1000").spawn()?;
    let all: u64 = ids.iter().map(|id| of_session(*id)).sum();
    let one = kibibytes(&format!("/proc/{}/smaps_rollup", outside.id()));
    outside.kill()?;
    outside.wait()?;
    for id in &ids {
        server.client.stop(*id, "measured").await?;
    }
    for id in ids {
        until(server, id, over).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "some mebibytes")]
    let mib = |kib: u64| kib as f64 / 1024.0;
    let name = "session.idle_mib".to_owned();
    Ok(vec![Figure::rate(name, "MiB", mib(all / IDLE as u64), mib(one))])
}

/// The session's keeper and the processes below it that run no command of the session: its launcher and init.
fn of_session(id: SessionId) -> u64 {
    let Some(keeper) = custody_tests::keeper::find(id) else { return 0 };
    let processes: Vec<(i32, i32, String)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent, String::from_utf8_lossy(&line).into_owned()))
        })
        .collect();
    let mut family = vec![keeper];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        at += 1;
        let children =
            processes.iter().filter(|(_, of, line)| *of == parent && !line.starts_with("sleep"));
        family.extend(children.map(|(pid, _, _)| *pid));
    }
    family.iter().map(|pid| kibibytes(&format!("/proc/{pid}/smaps_rollup"))).sum()
}

/// The `Pss:` line (proc(5)), in KiB.
fn kibibytes(path: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
