//! The corpus: every kind of credential that the guide names in every place where it may stand, and what only looks like one.
//! All of it is drawn from a fixed seed and put together here, so that no scanner takes this file for a leak.

use super::*;

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";

/// Draws texts: splitmix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of(&mut self, alphabet: &[&str], length: usize) -> String {
        let alphabet: Vec<char> = alphabet.concat().chars().collect();
        (0..length).map(|_| alphabet[self.next() as usize % alphabet.len()]).collect()
    }

    fn alnum(&mut self, length: usize) -> String {
        // At least one of each class, as what is long and drawn at random has.
        let body = self.of(&[UPPER, LOWER, DIGITS], length.saturating_sub(3));
        [body, self.of(&[UPPER], 1), self.of(&[LOWER], 1), self.of(&[DIGITS], 1)].concat()
    }

    fn base64(&mut self, length: usize) -> String {
        let body = self.of(&[UPPER, LOWER, DIGITS, "+/"], length.saturating_sub(3));
        [self.of(&[UPPER], 1), self.of(&[LOWER], 1), body, self.of(&[DIGITS], 1)].concat()
    }

    fn url64(&mut self, length: usize) -> String {
        let body = self.of(&[UPPER, LOWER, DIGITS, "-_"], length.saturating_sub(3));
        [self.of(&[UPPER], 1), body, self.of(&[LOWER], 1), self.of(&[DIGITS], 1)].concat()
    }

    fn hex(&mut self, length: usize) -> String {
        self.of(&[HEX], length)
    }
}

fn redactor() -> Redactor {
    Redactor::new([1; 32], &[], &[]).unwrap()
}

/// Tokens that are known by their form: a name, and one of them.
fn tokens(draw: &mut Draw) -> Vec<(&'static str, String)> {
    let mut tokens = Vec::new();
    let mut add = |name, parts: &[&str]| tokens.push((name, parts.concat()));
    add("aws access key id", &["AK", "IA", &draw.of(&[UPPER, "234567"], 16)]);
    add("aws temporary key id", &["AS", "IA", &draw.of(&[UPPER, "234567"], 16)]);
    for (name, prefix) in [
        ("github classic", "p"),
        ("github oauth", "o"),
        ("github user", "u"),
        ("github app", "s"),
        ("github refresh", "r"),
    ] {
        add(name, &["gh", prefix, "_", &draw.alnum(36)]);
    }
    let fine = [draw.alnum(22), draw.alnum(59)].join("_");
    add("github fine-grained", &["github", "_pat_", &fine]);
    add("gitlab personal", &["gl", "pat-", &draw.url64(20)]);
    add("gitlab deploy", &["gl", "dt-", &draw.url64(20)]);
    add("gitlab runner", &["gl", "rt-", &draw.url64(20)]);
    let (team, bot) = (draw.of(&["123456789"], 12), draw.of(&["123456789"], 12));
    add("slack bot", &["xox", "b-", &team, "-", &bot, "-", &draw.alnum(24)]);
    add("slack user", &["xox", "p-", &team, "-", &bot, "-", &bot, "-", &draw.hex(32)]);
    add(
        "slack app",
        &["xa", "pp-1-A0", &draw.of(&[UPPER, DIGITS], 9), "-", &bot, "-", &draw.hex(64)],
    );
    let hook = ["T0", &draw.of(&[UPPER, DIGITS], 9), "/B0", &draw.of(&[UPPER, DIGITS], 9)].concat();
    add("slack webhook", &["https://hooks.", "slack.com/services/", &hook, "/", &draw.alnum(24)]);
    add("stripe live", &["sk", "_live_", &draw.alnum(24)]);
    add("stripe restricted", &["rk", "_live_", &draw.alnum(99)]);
    add("stripe webhook", &["wh", "sec_", &draw.alnum(32)]);
    add("google api", &["AI", "za", &draw.url64(35)]);
    add("google client secret", &["GOC", "SPX-", &draw.url64(28)]);
    add("google oauth", &["ya", "29.", &draw.url64(120)]);
    add("azure client secret", &[&draw.alnum(3), "8", "Q~", &draw.alnum(34)]);
    add("npm", &["np", "m_", &draw.alnum(36)]);
    add("pypi", &["py", "pi-AgEIcHlwaS5vcmc", &draw.url64(120)]);
    add("hugging face", &["h", "f_", &draw.alnum(34)]);
    add("openai project", &["sk", "-proj-", &draw.url64(120)]);
    add("openai", &["sk", "-", &draw.alnum(48)]);
    add("anthropic", &["sk", "-ant-api03-", &draw.url64(93), "AA"]);
    add("sendgrid", &["S", "G.", &draw.url64(22), ".", &draw.url64(43)]);
    add("twilio key", &["S", "K", &draw.hex(32)]);
    add("telegram", &[&draw.of(&["123456789"], 10), ":", "AA", &draw.url64(33)]);
    add("discord", &["MT", &draw.alnum(24), ".G", &draw.alnum(5), ".", &draw.url64(38)]);
    add("docker hub", &["dckr", "_pat_", &draw.url64(27)]);
    add("digitalocean", &["dop", "_v1_", &draw.hex(64)]);
    add("databricks", &["da", "pi", &draw.hex(32)]);
    add("linear", &["lin", "_api_", &draw.alnum(40)]);
    add("vault", &["hv", "s.", &draw.url64(95)]);
    add("shopify", &["shp", "at_", &draw.hex(32)]);
    let jwt = ["ey", "JhbGciOiJIUzI1NiJ9.ey", &draw.url64(60), ".", &draw.url64(43)].concat();
    add("jwt", &[&jwt.replacen(".ey", ".eyJ", 1)]);
    tokens
}

/// Where a token may stand; `@` is the token.
const PLACES: &[&str] = &[
    "@",
    "\"@\"",
    "'@'",
    "`@`",
    "before @, after",
    "(@)",
    "f(@)",
    "[@]",
    "{@}",
    "<b>@</b>",
    "@&next=1",
    "@.",
    "See @. Next.",
    "@;",
    "@:",
    "@!",
    "@|x",
    "@>out",
    "@@@",
    "x=@#frag",
    "@\\n",
    "@\\\\n",
    "@\r\n",
    "\x1b[32m@\x1b[0m",
    "key\x1b[0m\x1b[1m@\x1b[0m\x1b[K",
    "@\x1b[0m, and",
    "https://example.org/path?token=@&x=1",
    "https://example.org/path/@/x",
    "https://example.org/?q=%22@%22",
    "https://example.org/?u%3D@%26v%3D1",
    "{\"value\":\"@\"}",
    "{\\\"value\\\":\\\"@\\\"}",
    "{\"log\":\"first\\n@\\nlast\"}",
    "value: @",
    "- '@'",
    "VALUE=@",
    "export VALUE=\"@\"",
    "X-Value: @",
    "Authorization: Bearer @",
    "-H 'Authorization: token @'",
    "curl -H \"X-Value: @\" https://example.org",
    "--value=@",
    "+  value = @,",
    "-@",
    "@.txt",
    "dir/@/file",
    "backup-@.json",
    "notes_@_old.md",
    "a/@.tar.gz",
    "| @ | cell |",
    "[link](@)",
    "<value>@</value>",
    "one,@,three",
    "@\t@",
];

fn find_in(redactor: &Redactor, text: &str) -> String {
    redactor.redact(text).map_or_else(|| text.to_owned(), |(clean, _)| clean)
}

#[test]
fn every_token_goes_from_every_place_where_it_may_stand() {
    let redactor = redactor();
    let mut draw = Draw(7);
    let (mut count, mut left) = (0, Vec::new());
    for (name, token) in tokens(&mut draw) {
        for place in PLACES {
            let text = match *place {
                "@@@" => format!("@{token}@"),
                place => place.replace('@', &token),
            };
            count += 1;
            let clean = find_in(&redactor, &text);
            // Nearly all of it is as bad as all of it.
            let most = &token[token.len() / 3..];
            if clean.contains(most) || !clean.contains("[redacted:") {
                left.push(format!("{name} in {place:?}: {clean:?}"));
            }
        }
    }
    println!("{count} tokens in places");
    assert!(count > 1500);
    assert!(left.is_empty(), "{} of {count} are left:\n{}", left.len(), left.join("\n"));
}

#[test]
fn a_token_that_a_colour_cuts_anywhere_goes() {
    let redactor = redactor();
    for (name, token) in tokens(&mut Draw(8)) {
        for at in 1..token.len() {
            let text =
                format!("found \x1b[01;31m\x1b[K{}\x1b[m\x1b[K{} here", &token[..at], &token[at..]);
            let clean = find_in(&redactor, &text);
            let shown: String = clean.replace("\x1b[01;31m\x1b[K", "").replace("\x1b[m\x1b[K", "");
            assert!(!shown.contains(&token[token.len() / 3..]), "{name} cut at {at}: {clean:?}");
            assert!(clean.starts_with("found ") && clean.ends_with(" here"), "{clean:?}");
        }
    }
}

/// Secrets that are known by what stands before them: a name, a text with `@` for the secret, and the secret.
fn named(draw: &mut Draw) -> Vec<(&'static str, String, String)> {
    let mut named = Vec::new();
    let mut add = |name, text: &str, secret: String| named.push((name, text.to_owned(), secret));
    let id = ["AK", "IA", &draw.of(&[UPPER, "234567"], 16)].concat();
    for text in [
        "AWS_SECRET_ACCESS_KEY=@",
        "aws_secret_access_key = @",
        "\"SecretAccessKey\": \"@\"",
        "secretAccessKey: '@',",
        "aws configure set aws_secret_access_key @",
        "SECRET_KEY=@",
        "ID @",
        "ID:@",
        "ID,@,eu-central-1",
        "\"ID\", \"@\"",
        "id: ID\nsecret: @\n",
        "@ belongs to ID",
    ] {
        add("aws secret key", &text.replace("ID", &id), draw.base64(40));
    }
    for text in [
        "postgres://app:@@db.internal:5432/app",
        "postgresql+asyncpg://app:@@db/app?sslmode=require",
        "mysql://root:@@127.0.0.1/x",
        "mongodb+srv://u:@@cluster.example.net/test",
        "redis://:@@cache:6379/0",
        "amqp://guest:@@mq//",
        "https://user:@@example.org/repo.git",
        "http://user:@@example.org",
        "git clone https://oauth2:@@git.example.org/a/b.git",
        "https://x-access-token:@@example.org/a/b",
        "DATABASE_URL='postgres://u:@@h/d'",
        "<url>ftp://u:@@h</url>",
    ] {
        add("password in an URL", text, draw.alnum(9));
        add("password in an URL", text, format!("{}!~", draw.alnum(5)));
    }
    for text in [
        "Authorization: Bearer @",
        "authorization: bearer @",
        "Authorization: Basic @",
        "Authorization: Token @",
        "Proxy-Authorization: Basic @",
        "\"Authorization\": \"Bearer @\"",
        "headers={'Authorization': 'token @'}",
        "curl -H 'Authorization: Bearer @' https://example.org",
        "curl --header=\"Authorization: ApiKey @\" https://example.org",
        "http GET example.org Authorization:\"Bearer @\"",
        "X-Api-Key: @",
        "-H 'PRIVATE-TOKEN: @'",
        "x-auth-token: @",
        "X-Vault-Token: @",
        "git -c http.extraHeader='Authorization: Basic @' push",
        "sent Bearer @ to it",
    ] {
        add("header", text, draw.alnum(24));
    }
    for text in [
        "machine example.org login me password @",
        "machine example.org\n  login me\n  password @\n",
        "default login me password @",
        "machine example.org password @ login me",
    ] {
        add("netrc", text, draw.alnum(10));
    }
    for text in [
        "//registry.example.org/:_authToken=@",
        "_auth=@",
        "//registry.example.org/:_password=\"@\"",
        "npm config set //registry.example.org/:_authToken @",
        "\"auth\": \"@\"",
        "{\"auths\":{\"r\":{\"auth\":\"@\"}}}",
        "\"identitytoken\": \"@\"",
    ] {
        add("configuration of npm or docker", text, draw.base64(36));
    }
    for text in [
        "DB_PASSWORD=@",
        "export PGPASSWORD=@",
        "PGPASSWORD='@' psql -h db",
        "MYSQL_PWD=@ mysql",
        "API_KEY=@",
        "SECRET_TOKEN=\"@\"",
        "env CLIENT_SECRET=@ ./run",
        "docker run -e API_TOKEN=@ image",
        "DJANGO_SECRET_KEY=@",
        "DB_PASSWORD_PROD=@",
        "password: @",
        "password: \"@\"",
        "  db_password: '@'",
        "\"password\": \"@\"",
        "\"apiKey\":\"@\"",
        "\"client_secret\": \"@\",",
        "api_key = '@'",
        "$token = \"@\";",
        "auth_token => '@'",
        "spring.datasource.password=@",
        "access_token: @",
        "https://example.org/?access_token=@&x=1",
        "https://example.org/?a=1&api_key=@",
        "Server=db;User Id=sa;Password=@;Encrypt=yes",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=@;EndpointSuffix=x",
    ] {
        add("what a name is given", text, draw.alnum(22));
    }
    for text in [
        "curl -u me:@ https://example.org",
        "curl -s -ume:@ https://example.org",
        "curl --user 'me:@' https://example.org",
        "curl --user=me:@ https://example.org",
        "curl \\\n  --proxy-user me:@ \\\n  https://example.org",
        "+ /usr/bin/curl -u me:@ https://example.org",
        "deploy --password @",
        "deploy --password=@ --now",
        "deploy --api-key @",
        "deploy --token '@'",
        "x --client-secret @ y",
        "mysql -uroot -p@ app",
        "sshpass -p @ ssh me@h",
        "docker login -u me -p @ registry.example.org",
        "redis-cli -a @ ping",
        "openssl rsa -in k -passin pass:@",
    ] {
        add("argument", &text.replace("me@h", "me-h"), draw.alnum(12));
    }
    named
}

/// What a line that has a secret may stand in; `@` is the line.
const LINES: &[&str] = &["@", "first\n@\nlast", "$ @\r\n", "\x1b[1m@\x1b[0m\r\n", "+@"];

fn named_text(text: &str, secret: &str) -> String {
    match text.contains("://") {
        true => text.replacen("@@", &format!("{secret}@"), 1).replacen(
            '@',
            secret,
            usize::from(!text.contains("@@")),
        ),
        false => text.replace('@', secret),
    }
}

#[test]
fn every_secret_goes_that_is_known_by_what_stands_before_it() {
    let redactor = redactor();
    let (mut count, mut left) = (0, Vec::new());
    for (name, text, secret) in named(&mut Draw(9)) {
        let line = named_text(&text, &secret);
        assert!(line.contains(&secret), "{text}");
        let escaped = serde_json::to_string(&line).unwrap();
        let written = LINES.iter().map(|place| place.replace('@', &line));
        for text in written.chain([format!("{{\"log\":{escaped}}}")]) {
            count += 1;
            let clean = find_in(&redactor, &text);
            if clean.contains(&secret[..secret.len().min(8)]) {
                left.push(format!("{name}: {text:?} became {clean:?}"));
            }
        }
    }
    println!("{count} named secrets");
    assert!(count > 500);
    assert!(left.is_empty(), "{} of {count} are left:\n{}", left.len(), left.join("\n"));
}

#[test]
fn secrets_that_arguments_make_up_together_go_from_lists() {
    let redactor = redactor();
    let mut draw = Draw(10);
    let words = |line: &str, secret: &str| -> Vec<String> {
        line.split(' ').map(|word| word.replace('~', " ").replace('@', secret)).collect()
    };
    let mut count = 0;
    for line in [
        "curl -u me:@ https://example.org",
        "curl -s -ume:@ https://example.org",
        "/usr/bin/curl --user me:@ https://example.org",
        "curl -H Authorization:~Bearer~@ https://example.org",
        "curl -H Authorization: Bearer @",
        "curl -H X-Api-Key:~@ https://example.org",
        "env API_TOKEN=@ ./run",
        "sh -c curl~-u~me:@~https://example.org",
        "sh -c deploy~--password~@",
        "deploy --password @",
        "deploy --password=@",
        "deploy --api-key @",
        "deploy -token @",
        "mysql -uroot -p@ app",
        "sudo sshpass -p @ ssh host",
        "docker login -u me -p @ registry.example.org",
        "aws configure set aws_secret_access_key @",
        "npm config set //registry.example.org/:_authToken @",
        "psql postgres://app:@~db/app",
    ] {
        let line = line.replace("@~db", "@%db");
        let secret = draw.base64(40);
        let secret = if line.contains("://app") { secret.replace('/', "-") } else { secret };
        let list: Vec<String> =
            words(&line, &secret).into_iter().map(|word| word.replace("%db", "@db")).collect();
        let clean = redactor.clean_list(&list);
        assert!(!clean.concat().contains(&secret[..10]), "{line}: {clean:?}");
        assert_eq!(clean.len(), list.len());
        // Once it is redacted nothing more is found in it, alone, in its list, or as a line.
        assert_eq!(redactor.clean_list(&clean), clean);
        let line = clean.join(" ");
        assert_eq!(find_in(&redactor, &line), line);
        count += 1;
    }
    println!("{count} lists");
}

#[test]
fn private_keys_go_with_literal_line_ends_without_an_end_and_of_every_type() {
    let redactor = redactor();
    let mut draw = Draw(11);
    for kind in ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "] {
        let mut body: Vec<String> = (0..9).map(|_| draw.base64(64)).collect();
        body.push(draw.base64(20));
        let begin = ["-----BEGIN ", kind, "PRIVATE ", "KEY-----"].concat();
        let end = ["-----END ", kind, "PRIVATE ", "KEY-----"].concat();
        for between in ["\n", "\r\n", "\\n", "\\\\n", "\\r\\n", "\n    ", "\n+", "\",\n \"", " "] {
            for whole in [true, false] {
                let mut lines = vec![begin.clone()];
                lines.extend(body.iter().cloned());
                lines.extend(whole.then(|| end.clone()));
                let text = format!("key: \"{}\"\nafter it", lines.join(between));
                let clean = find_in(&redactor, &text);
                for line in &body[..9] {
                    assert!(!clean.contains(line), "{kind}{between:?} {whole}: {clean}");
                }
                assert!(clean.starts_with("key: \"") && clean.contains("after"), "{clean}");
            }
        }
    }
}

/// What only looks like a credential.
fn lookalikes(draw: &mut Draw) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..20 {
        let (a, b, c) = (draw.hex(8), draw.hex(4), draw.hex(12));
        let uuid = format!("{a}-{b}-4{}-a{}-{c}", draw.hex(3), draw.hex(3));
        all.push(format!("commit {}", draw.hex(40)));
        all.push(format!("index {}..{} 100644", draw.hex(7), draw.hex(7)));
        all.push(format!("\"id\": \"{uuid}\""));
        all.push(format!("session {uuid} ended"));
        all.push(format!("\"integrity\": \"sha512-{}==\",", draw.base64(86)));
        all.push(format!(
            "  resolved \"https://registry.example.org/@babel/core/-/core-7.24.{}.tgz#{}\"",
            draw.next() % 9,
            draw.hex(40)
        ));
        all.push(format!("checksum = \"{}\"", draw.hex(64)));
        all.push(format!("requests==2.31.{} --hash=sha256:{}", draw.next() % 9, draw.hex(64)));
        all.push(format!("FROM docker.io/library/rust@sha256:{}", draw.hex(64)));
        all.push(format!("h1:{}= go.sum", draw.base64(43)));
        all.push(format!("src=\"data:image/png;base64,iVBORw0KGgo{}==\"", draw.base64(400)));
        all.push(format!("01H{} event", draw.of(&["0123456789ABCDEFGHJKMNPQRSTVWXYZ"], 23)));
        all.push(format!(
            "!function(e,t){{var n=t.{}(e),r=n.{};return r?e:t[{}]}}",
            draw.of(&[LOWER], 14),
            draw.of(&[LOWER], 9),
            draw.next() % 999
        ));
        all.push(format!(
            "v{}.{}.{}-rc.{}+build.{}",
            draw.next() % 9,
            draw.next() % 99,
            draw.next() % 99,
            draw.next() % 9,
            draw.hex(7)
        ));
        all.push(format!(
            ".css-{}{{color:#{};margin:0 {}px}}",
            draw.alnum(7),
            draw.hex(6),
            draw.next() % 99
        ));
        all.push(format!(
            "fn {}_{}_{}() {{}}",
            draw.of(&[LOWER], 12),
            draw.of(&[LOWER], 12),
            draw.of(&[LOWER], 12)
        ));
        all.push(format!(
            "//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9u{}",
            draw.alnum(120)
        ));
        all.push(format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{} me@host", draw.base64(48)));
        all.push(format!("target/debug/deps/custody_record-{}.rlib", draw.hex(16)));
        all.push(format!("{{\"etag\":\"W/\\\"{}\\\"\"}}", draw.hex(32)));
    }
    let fixed = [
        "password: string;",
        "const token = await next();",
        "let password = String::new();",
        "token: &str,",
        "if (token === null) { return; }",
        "token = self.lexer.next_token()",
        "\"token\": \"keyword.control\"",
        "password = getpass.getpass()",
        "type=\"password\" name=\"password\"",
        "TOKEN=$(cat /run/token)",
        "password: ${DB_PASSWORD}",
        "PASSWORD=${PASSWORD:-}",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "api_key=os.environ[\"API_KEY\"]",
        "MAX_TOKENS=4096",
        "max_tokens: 8192",
        "Enter your password: ",
        "The token is required.",
        "--token <token>",
        "--password PASSWORD",
        "  --token string   the token",
        "docker run --user 1000:1000 image",
        "mkdir -p src/secret/key_ring",
        "chown -R me:me .",
        "git push -u origin main",
        "http://localhost:8080/@scope/pkg",
        "ssh://git@example.org:22/a/b",
        "git@example.org:a/b.git",
        "https://example.org:8443/path",
        "see https://example.org/a:b@c",
        "Bearer authentication",
        "basic authentication is off",
        "Authorization: Bearer $TOKEN",
        "Authorization: Bearer <token>",
        "compass: north-by-northwest1",
        "bypass=everything-2",
        "secret/key_ring",
        "auth/token_store.rs",
        "disk-usage task-list mask-image",
        "risk-assessment-for-a-long-project-name-in-2026",
        "sk-spinner sk-cube1 sk-cube2",
        "hf_hub_download(repo_id)",
        "npm_config_registry=https://x",
        "npm_lifecycle_script",
        "ghp_short",
        "AIzawa",
        "xoxo, love",
        "glpat is GitLab's prefix",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "the private key is kept",
        "password_hash: bcrypt",
        "token_count: 12",
        "primary_key: id",
        "sort_key=name",
        "cache-key: linux",
        "public_key = verify_key",
        "\"password\": \"Password\"",
        "placeholder=\"password\"",
        "s.dangerouslySetInnerHTML(a)",
        "t.exports=s.getSnapshotBeforeUpd",
        "import { Token } from './token'",
        "expect(token).toBe('abc')",
        "pass: true",
        "passed: 12, failed: 0",
        "pwd: /work",
        "PWD=/home/me/src",
        "curl -u https://example.org",
        "rsync -a src dst",
        "git log -p HEAD~3",
        "tar -xpf a.tar",
        "grep -w word",
        "ps -u root",
        "useradd -u 1001 me",
        "id -u me:me",
        "machine learning login page password",
    ];
    all.extend(fixed.map(str::to_owned));
    all
}

#[test]
fn what_only_looks_like_a_credential_stays() {
    let redactor = redactor();
    let all = lookalikes(&mut Draw(12));
    let taken: Vec<String> = all
        .iter()
        .filter_map(|text| {
            redactor.redact(text).map(|(clean, _)| format!("{text:?} became {clean:?}"))
        })
        .collect();
    println!("{} of {} look-alikes are taken", taken.len(), all.len());
    assert!(all.len() >= 300);
    assert!(
        taken.len() * 100 <= all.len(),
        "{} of {}:\n{}",
        taken.len(),
        all.len(),
        taken.join("\n")
    );
}

#[test]
fn what_is_redacted_is_not_redacted_again() {
    let redactor = redactor();
    for (_, text, secret) in named(&mut Draw(13)) {
        let clean = find_in(&redactor, &named_text(&text, &secret));
        assert_eq!(find_in(&redactor, &clean), clean);
    }
}

#[test]
fn a_secret_goes_from_a_long_text_wherever_it_stands() {
    let redactor = redactor();
    let mut draw = Draw(14);
    let filler =
        "fn token_store(key: &Key) -> Secret { read(key) } // words and words\n".repeat(200);
    for (name, token) in tokens(&mut draw) {
        let text = format!("{filler}\nvalue {token}, {filler}");
        let (clean, marks) = redactor.redact(&text).unwrap();
        assert!(!clean.contains(&token[token.len() / 3..]), "{name}");
        assert!(marks.len() <= 2 && clean.len() + 600 > 2 * filler.len(), "{name}: {marks:?}");
    }
}

#[test]
fn an_event_that_has_something_to_redact_is_suspected() {
    let redactor = redactor();
    let mut draw = Draw(15);
    for (name, token) in tokens(&mut draw) {
        for place in PLACES.iter().filter(|place| **place != "@@@") {
            let event = serde_json::json!({ "path": place.replace('@', &token) }).to_string();
            assert!(redactor.suspects(event.as_bytes()), "{name} in {place:?}");
        }
    }
    for (name, text, secret) in named(&mut draw) {
        let line = named_text(&text, &secret);
        let list: Vec<&str> = line.split(' ').collect();
        for event in
            [serde_json::json!({ "argv": ["sh", "-c", line] }), serde_json::json!({ "argv": list })]
        {
            let mut value = event.clone();
            if redactor.redact_value(&mut value, "").is_empty() {
                continue;
            }
            assert!(redactor.suspects(event.to_string().as_bytes()), "{name}: {event}");
        }
    }
}
