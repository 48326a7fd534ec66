//! The description of the API (OpenAPI 3.1), made from the table of endpoints; and the same as a page to browse.

mod html;
mod operation;

use std::sync::LazyLock;

use custody_api_types::endpoint::endpoints;
use custody_api_types::problem::PROBLEM_JSON;
use custody_api_types::{ApiCode, Problem};
use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

/// Version of the API.
pub const API_VERSION: &str = "1.0.0";

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// The document, as it is served and committed: pretty-printed JSON with a line break at its end.
#[must_use]
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));
    &TEXT
}

/// The document as a page of HTML that needs nothing else.
#[must_use]
pub fn page() -> &'static str {
    static PAGE: LazyLock<String> = LazyLock::new(|| html::page(&document()));
    &PAGE
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut generator = generator();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints() {
        let path = paths.entry(endpoint.template()).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_ascii_lowercase()] =
            operation::describe(endpoint, &mut generator);
    }
    let _problem = generator.subschema_for::<Problem>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Custody",
            "summary": "A managed runtime for AI coding agents whose product is the record.",
            "description": DESCRIPTION,
            "version": API_VERSION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": problems(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token. Over the Unix socket the local operator needs none.",
                },
            },
        },
    })
}

const DESCRIPTION: &str = "Every call but the first few needs an access token. What one may not see looks like what is \
                           not there. Each call that changes something, and each look-up by an auditor, is on record in \
                           the control log before it has any effect. Failures are problems (RFC 9457) with a stable \
                           `code`. Each answer names its call in `X-Request-Id`, which a client may choose (a UUID).";

/// One generator for all: of what is optional in a request, an answer has every member that there is.
fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    settings.contract = Contract::Deserialize;
    settings.into_generator()
}

/// The tags in the order of the table.
fn tags() -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for endpoint in endpoints() {
        if !names.contains(&endpoint.tag) {
            names.push(endpoint.tag);
        }
    }
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

/// A response for each code: the one table of errors.
fn problems() -> Map<String, Value> {
    let mut all = Map::new();
    for code in ApiCode::ALL {
        let kind = code.kind();
        let description = format!("`{code}`, {}: {} {}", kind.status, kind.title, kind.advice);
        let schema = json!({ "$ref": format!("#{SCHEMAS}/Problem") });
        let content = json!({ PROBLEM_JSON: { "schema": schema } });
        all.insert(code.to_string(), json!({ "description": description, "content": content }));
    }
    all
}
