//! The corpus: every kind of credential that the guide names in every place where it may stand, and what only looks like one.
//! All of it is drawn from a fixed seed and put together here, so that no scanner takes this file for a leak.

use super::*;

#[path = "../../tests/samples/credentials.rs"]
mod credentials;

use credentials::{Draw, LOWER, named, named_text, tokens};

fn redactor() -> Redactor {
    Redactor::new([1; 32], &[], &[]).unwrap()
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

/// What a line that has a secret may stand in; `@` is the line.
const LINES: &[&str] = &["@", "first\n@\nlast", "$ @\r\n", "\x1b[1m@\x1b[0m\r\n", "+@"];

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
        // In a script that is an argument, in the quotes of a shell.
        let quoted = format!("'{}'", line.replace('\'', r"'\''"));
        for script in [format!("echo {quoted}"), format!("echo {quoted}; echo {quoted} >>lines")] {
            let clean = find_in(&redactor, &script);
            if clean.contains(&secret[..secret.len().min(8)]) {
                left.push(format!("{name}: {script:?} became {clean:?}"));
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

/// As a file of credentials or a terminal has them: each close to the others, in every run of up to eight lines.
#[test]
fn every_secret_goes_among_the_others() {
    let redactor = redactor();
    let mut draw = Draw(15);
    let tokens = tokens(&mut draw);
    let named = named(&mut draw);
    let mut lines: Vec<(String, String)> = Vec::new();
    for (_, text, secret) in &named {
        lines.push((named_text(text, secret), secret.clone()));
    }
    for (_, token) in &tokens {
        lines.push((format!("see {token}."), token.clone()));
    }
    let (mut count, mut left) = (0, std::collections::BTreeSet::new());
    for length in [2, 3, 5, 8, lines.len()] {
        for run in lines.windows(length) {
            // As it is, as a terminal has it, and added in a diff.
            for end in ["\n", "\r\n", "\n+"] {
                let text: String = run.iter().map(|(line, _)| format!("{line}\n")).collect();
                let text = text.replace('\n', end);
                let clean = find_in(&redactor, &text);
                count += run.len();
                left.extend(
                    run.iter()
                        .filter(|(_, secret)| clean.contains(&secret[secret.len() / 3..]))
                        .map(|(line, _)| line),
                );
            }
        }
    }
    println!("{count} secrets among others");
    assert!(left.is_empty(), "{left:#?}");
}
