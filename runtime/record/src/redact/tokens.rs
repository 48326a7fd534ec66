//! Tokens that are known by their form, wherever they stand: their issuers give them a prefix so that they can be found.
//!
//! The published rules know most of them in a certain length and between certain characters. These know them in any length
//! that an issuer has used, as a part of a name, and before whatever ends a token's alphabet. The forms are those of the
//! issuers' documentation.

use super::rules::{Bounds, Own, Seen};

const fn token(id: &'static str, keywords: &'static [&'static str], pattern: &'static str) -> Own {
    Own { id, keywords, pattern, bounds: Bounds::Start, skipped: 0, judge: any }
}

const fn word(id: &'static str, keywords: &'static [&'static str], pattern: &'static str) -> Own {
    Own { id, keywords, pattern, bounds: Bounds::Word, skipped: 0, judge: any }
}

/// Whatever stands before it.
const fn anywhere(
    id: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
) -> Own {
    Own { id, keywords, pattern, bounds: Bounds::Pattern, skipped: 0, judge: any }
}

fn any(_: &Seen<'_>) -> bool {
    true
}

/// No word that only looks like it: it has a digit.
fn has_digit(seen: &Seen<'_>) -> bool {
    seen.secret().iter().any(u8::is_ascii_digit)
}

/// The rules, by the name that the record gives to what they find.
pub(super) const RULES: &[Own] = &[
    word(
        "aws-access-token",
        &["akia", "asia", "abia", "acca"],
        "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    ),
    anywhere(
        "github-pat",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        "gh[pousr]_[A-Za-z0-9]{30,255}",
    ),
    anywhere("github-fine-grained-pat", &["github_pat_"], "github_pat_[A-Za-z0-9_]{22,255}"),
    token(
        "gitlab-pat",
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glft-", "glimt-", "glagent-", "gloas-",
            "glsoat-", "glffct-", "glcbt-",
        ],
        r"gl(?:pat|dt|rt|ptt|ft|imt|agent|oas|soat|ffct|cbt)-[A-Za-z0-9_-]{16,300}(?:\.[0-9a-z]{2}\.?[0-9a-z]{7})?",
    ),
    token(
        "slack-token",
        &["xoxa-", "xoxb-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xoxc-", "xoxd-"],
        r"xox[abcdeoprs](?:\.xox[bp])?-[A-Za-z0-9%-]{10,400}",
    ),
    token("slack-app-token", &["xapp-"], "xapp-[0-9]-[A-Za-z0-9-]{10,300}"),
    anywhere(
        "slack-webhook-url",
        &["hooks.slack.com"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,120})",
    ),
    token(
        "stripe-access-token",
        &["sk_test_", "sk_live_", "sk_prod_", "rk_test_", "rk_live_", "rk_prod_"],
        "[sr]k_(?:test|live|prod)_[A-Za-z0-9]{10,255}",
    ),
    token("stripe-webhook-secret", &["whsec_"], "whsec_[A-Za-z0-9+/=]{24,255}"),
    token("gcp-api-key", &["aiza"], "AIza[A-Za-z0-9_-]{35}"),
    token("google-oauth-client-secret", &["gocspx-"], "GOCSPX-[A-Za-z0-9_-]{20,60}"),
    token("google-oauth-token", &["ya29."], r"ya29\.[A-Za-z0-9_-]{20,1000}"),
    anywhere("azure-ad-client-secret", &["q~"], r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    anywhere(
        "azure-key",
        &["accountkey=", "sharedaccesskey="],
        "(?i)(?:account|sharedaccess)key=([a-z0-9+/]{20,200}={0,2})",
    ),
    anywhere(
        "azure-sas-signature",
        &["?sig=", "&sig=", ";sig=", "signature="],
        r"(?i)(?:[?&;]sig|sharedaccesssignature[^\s]{0,200}[?&]sig|x-amz-signature)=([a-z0-9%+/_-]{20,200}={0,2})",
    ),
    token("npm-access-token", &["npm_"], "npm_[A-Za-z0-9]{36,100}"),
    token("pypi-upload-token", &["pypi-ag"], "pypi-Ag[A-Za-z0-9_-]{48,1000}"),
    token("huggingface-access-token", &["hf_", "api_org_"], "(?:hf|api_org)_[A-Za-z0-9]{30,100}"),
    token(
        "openai-api-key",
        &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-none-", "sk-or-v1-"],
        "sk-(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{20,300}",
    ),
    Own {
        id: "openai-api-key",
        keywords: &["sk-"],
        pattern: "sk-[A-Za-z0-9]{32,100}",
        bounds: Bounds::Word,
        skipped: 0,
        judge: has_digit,
    },
    token("anthropic-api-key", &["sk-ant-"], "sk-ant-[A-Za-z0-9_-]{20,300}"),
    token("sendgrid-api-token", &["sg."], r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    word("twilio-api-key", &["sk"], "SK[0-9a-f]{32}"),
    token("telegram-bot-api-token", &[":aa"], "(?:bot)?([0-9]{8,10}:AA[A-Za-z0-9_-]{32,35})"),
    Own {
        id: "discord-api-token",
        // The second part is the time in base64url: these begin it from 2020 on.
        keywords: &[".g", ".x", ".y", ".z"],
        pattern: r"[MNO][A-Za-z0-9_-]{23,27}\.[GXYZ][A-Za-z0-9_-]{5}\.[A-Za-z0-9_-]{27,40}",
        bounds: Bounds::Start,
        skipped: 0,
        judge: has_digit,
    },
    anywhere(
        "discord-webhook-url",
        &["/api/webhooks/"],
        r"/api/webhooks/[0-9]{5,25}/([A-Za-z0-9_-]{30,120})",
    ),
    token("docker-hub-token", &["dckr_pat_", "dckr_oat_"], "dckr_[po]at_[A-Za-z0-9_-]{20,100}"),
    token("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], "do[opr]_v1_[a-f0-9]{64}"),
    word("databricks-api-token", &["dapi"], "dapi[a-f0-9]{32}(?:-[0-9])?"),
    token("linear-api-key", &["lin_api_"], "lin_api_[A-Za-z0-9]{32,64}"),
    token("vault-token", &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    token(
        "shopify-access-token",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        "shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    ),
    token("square-access-token", &["sq0atp-", "sq0csp-"], "sq0(?:atp|csp)-[A-Za-z0-9_-]{22,60}"),
    token("grafana-token", &["glsa_", "glc_"], "(?:glsa|glc)_[A-Za-z0-9+/_=]{32,400}"),
    token("sentry-token", &["sntrys_", "sntryu_"], "sntry[su]_[A-Za-z0-9+/=_]{40,500}"),
    token("rubygems-api-token", &["rubygems_"], "rubygems_[a-f0-9]{48}"),
    token("postman-api-token", &["pmak-"], "PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    token(
        "jwt",
        &["eyj"],
        r"eyJ[A-Za-z0-9_-]{10,}\.(?:eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})",
    ),
    // Also one whose end is missing: the body goes as far as it is one.
    anywhere(
        "private-key",
        &["-----begin"],
        concat!(
            r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----",
            r"(?:(?:\\+[nr]|\s)+[A-Za-z-]+: [^\r\n\\]*)*",
            r#"(?:(?:\\+[nrt]|["'\s,-])*[A-Za-z0-9+/=]{16,})+"#,
            // A short last line is one if the end follows.
            r#"(?:(?:(?:\\+[nrt]|["'\s,+-])+[A-Za-z0-9+/=]{1,15})?"#,
            r#"(?:\\+[nrt]|["'\s,+-])*-----END[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----)?"#,
        ),
    ),
];
