//! One operation of the document.

use std::collections::BTreeMap;

use custody_api_types::endpoint::{Body, Header, JSON, SchemaOf};
use custody_api_types::problem::PROBLEM_JSON;
use custody_api_types::{Access, ApiCode, Endpoint};
use custody_export::Format;
use custody_model::Role;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

pub(super) fn describe(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation.as_str(),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": description(endpoint),
        "responses": responses(endpoint, generator),
    });
    let mut parameters: Vec<Value> = endpoint.path_parameters().map(path_parameter).collect();
    parameters
        .extend(endpoint.query.into_iter().flat_map(|query| query_parameters(query, generator)));
    parameters.extend(endpoint.headers.iter().map(header_parameter));
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = endpoint.body {
        operation["requestBody"] = request_body(body, generator);
    }
    operation["security"] = match endpoint.access {
        Access::Public => json!([]),
        Access::Published(..) => json!([{}, { "token": [] }]),
        _ => json!([{ "token": [] }]),
    };
    operation
}

/// What the table says beside the summary, in words.
fn description(endpoint: &Endpoint) -> String {
    let mut text = endpoint.description.to_owned();
    let mut say = |sentence: &str| {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(sentence);
    };
    say(&format!("Who may: {}.", who(endpoint.access)));
    if let Some(scope) = endpoint.scope {
        say(&format!("Scope: `{scope}`."));
    }
    if endpoint.changes {
        say("On record as `call.requested`, before it has any effect.");
    }
    if endpoint.looks_up {
        say("On record as `record.accessed` when an auditor calls.");
    }
    text
}

fn who(access: Access) -> String {
    let names = |roles: &[Role]| {
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        names.join(", ")
    };
    match access {
        Access::Public => "everybody, without a token".to_owned(),
        Access::Anyone => "everybody who is known".to_owned(),
        Access::ServiceToken => "everybody who is known, by a service token".to_owned(),
        Access::Installation(roles) => format!("{} of the installation", names(roles)),
        Access::Published(_, []) => {
            "everybody, where the installation publishes its log, else everybody who is known"
                .to_owned()
        }
        Access::Published(_, roles) => format!(
            "everybody, where the installation publishes its log with its entries, else {} of the installation",
            names(roles)
        ),
        Access::Project(roles) => format!("{} of the project", names(roles)),
        Access::Repository(roles) => format!("{} of the repository's project", names(roles)),
        Access::Asked(roles) => format!("{} of the project that it is about", names(roles)),
        Access::Listed(roles) => format!("{} of any project", names(roles)),
        Access::Session { roles, own: true } => {
            format!("the requester, and {} of the session's project", names(roles))
        }
        Access::Session { roles, own: false } => {
            format!("{} of the session's project", names(roles))
        }
        Access::Token(roles) => {
            format!("whose token it is, and {} of the installation", names(roles))
        }
        Access::User(roles) => format!("the user, and {} of the installation", names(roles)),
    }
}

fn path_parameter(name: &'static str) -> Value {
    let (description, schema) = match name {
        "session" => (
            "An id, the beginning of exactly one, or `last`.",
            json!({ "type": "string", "pattern": "^([0-9a-f-]{1,36}|last)$" }),
        ),
        "project" => (
            "A project's name.",
            json!({ "type": "string", "pattern": "^[a-z0-9_-][a-z0-9._-]{0,63}$" }),
        ),
        "policy" => (
            "Digest of a policy version.",
            json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" }),
        ),
        "repository" => (
            "A repository's name.",
            json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,99}$" }),
        ),
        "format" => {
            let names: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
            ("A format.", json!({ "type": "string", "enum": names }))
        }
        "tile" | "bundle" => (
            "The rest of the path, with its slashes: `0/x001/234`, or `000.p/17` for what is not full yet.",
            json!({ "type": "string", "pattern": "^((entries|[0-9]{1,2})/)?(x[0-9]{3}/)*[0-9]{3}(\\.p/[0-9]{1,3})?$" }),
        ),
        "user" => ("A user's name.", json!({ "type": "string", "minLength": 1, "maxLength": 256 })),
        _ => ("An id.", json!({ "type": "string", "format": "uuid" })),
    };
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

/// Each member of the struct is a parameter.
fn query_parameters(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    // In a generator of its own: it is no schema of the document, which nothing else refers to.
    let mut own = super::generator();
    let schema = query(&mut own);
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let Some(name) = name.map(str::to_owned) else { return Vec::new() };
    let mut found = own.take_definitions(true);
    let Some(schema) = found.remove(&name) else { return Vec::new() };
    for (name, schema) in found {
        generator.definitions_mut().entry(name).or_insert(schema);
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let parameters = properties.iter().map(|(name, property)| {
        let mut property = without_null(property);
        let description = property.as_object_mut().and_then(|object| object.remove("description"));
        json!({
            "name": name,
            "in": "query",
            "required": required.contains(&name.as_str()),
            "description": description.unwrap_or_default(),
            "schema": property,
        })
    });
    parameters.collect()
}

/// A parameter is there or not: it is never null.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(kinds) = schema["type"].as_array() {
        let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        schema["type"] = match kinds.as_slice() {
            [one] => one.clone(),
            _ => kinds.into(),
        };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices: Vec<Value> =
            choices.iter().filter(|choice| choice["type"] != "null").cloned().collect();
        if let ([Value::Object(one)], Some(object)) = (choices.as_slice(), schema.as_object_mut()) {
            object.remove("anyOf");
            object.extend(one.clone());
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.remove("default");
        for (_, value) in object.iter_mut() {
            if value.is_null() {
                *value = json!({});
            }
        }
        object.retain(|_, value| *value != json!({}));
    }
    schema
}

fn header_parameter(header: &Header) -> Value {
    json!({
        "name": header.name,
        "in": "header",
        "required": false,
        "description": header.description,
        "schema": { "type": "string", "pattern": header.pattern },
    })
}

fn request_body(body: Body, generator: &mut SchemaGenerator) -> Value {
    let schema = (body.schema)(generator);
    json!({ "required": !body.optional, "content": { JSON: { "schema": schema } } })
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let success = endpoint.success;
    let mut responses = json!({});
    let status = success.status.to_string();
    responses[&status] = match (success.status, success.schema) {
        (101, _) => json!({ "description": "The connection is a WebSocket now." }),
        (_, Some(schema)) => json!({
            "description": "Done.",
            "content": { success.media_type: { "schema": schema(generator) } },
        }),
        (_, None) if success.media_type == JSON => json!({
            "description": "Done.",
            "content": { success.media_type: { "schema": { "type": "object" } } },
        }),
        (_, None) => json!({
            "description": "Done.",
            "content": { success.media_type: { "schema": { "type": "string" } } },
        }),
    };
    for other in success.also {
        responses[&status]["content"][other] = json!({ "schema": { "type": "string" } });
    }
    // Several codes may have one status.
    let mut by_status: BTreeMap<u16, Vec<ApiCode>> = BTreeMap::new();
    for code in endpoint.errors() {
        by_status.entry(code.kind().status).or_default().push(code);
    }
    for (status, codes) in by_status {
        responses[status.to_string()] = match codes.as_slice() {
            [code] => json!({ "$ref": format!("#/components/responses/{code}") }),
            codes => {
                let lines = codes.iter().map(|code| format!("`{code}`: {}", code.kind().title));
                let description = lines.collect::<Vec<_>>().join(" ");
                let problem = json!({ "$ref": "#/components/schemas/Problem" });
                json!({
                    "description": description,
                    "content": { PROBLEM_JSON: { "schema": problem } },
                })
            }
        };
    }
    responses
}
