//! Credentials of every kind that the redaction guide names, drawn from a seed and put together here, so that no scanner takes
//! this file for a leak. None of them was ever in use.

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub(crate) const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";

/// Draws texts: splitmix64.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn of(&mut self, alphabet: &[&str], length: usize) -> String {
        let alphabet: Vec<char> = alphabet.concat().chars().collect();
        (0..length).map(|_| alphabet[self.next() as usize % alphabet.len()]).collect()
    }

    pub(crate) fn alnum(&mut self, length: usize) -> String {
        // At least one of each class, as what is long and drawn at random has.
        let body = self.of(&[UPPER, LOWER, DIGITS], length.saturating_sub(3));
        [body, self.of(&[UPPER], 1), self.of(&[LOWER], 1), self.of(&[DIGITS], 1)].concat()
    }

    pub(crate) fn base64(&mut self, length: usize) -> String {
        let body = self.of(&[UPPER, LOWER, DIGITS, "+/"], length.saturating_sub(3));
        [self.of(&[UPPER], 1), self.of(&[LOWER], 1), body, self.of(&[DIGITS], 1)].concat()
    }

    pub(crate) fn url64(&mut self, length: usize) -> String {
        let body = self.of(&[UPPER, LOWER, DIGITS, "-_"], length.saturating_sub(3));
        [self.of(&[UPPER], 1), body, self.of(&[LOWER], 1), self.of(&[DIGITS], 1)].concat()
    }

    pub(crate) fn hex(&mut self, length: usize) -> String {
        self.of(&[HEX], length)
    }
}

/// Tokens that are known by their form: a name, and one of them.
pub(crate) fn tokens(draw: &mut Draw) -> Vec<(&'static str, String)> {
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

/// Secrets that are known by what stands before them: a name, a text with `@` for the secret, and the secret.
pub(crate) fn named(draw: &mut Draw) -> Vec<(&'static str, String, String)> {
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

/// A text of [`named`] with its secret.
pub(crate) fn named_text(text: &str, secret: &str) -> String {
    match text.contains("://") {
        true => text.replacen("@@", &format!("{secret}@"), 1).replacen(
            '@',
            secret,
            usize::from(!text.contains("@@")),
        ),
        false => text.replace('@', secret),
    }
}
