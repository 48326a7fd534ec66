//! The document as a page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;\
background:#fff}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}code,pre{font:13px/1.45 ui-monospace,monospace}\
pre{background:#f4f4f4;padding:.75rem;overflow:auto}summary{cursor:pointer;padding:.3rem 0}\
summary b{display:inline-block;width:4.5rem}table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;\
padding:.2rem .8rem .2rem 0}details>div{margin:0 0 1rem 1rem}a{color:#0b57d0}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}pre{background:#242424}a{color:#8ab4f8}}";

/// Writing to a string does not fail.
struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                c => self.0.push(c),
            }
        }
    }

    /// Text between tags of this name.
    fn tag(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, "<{name}>");
        self.text(text);
        let _ = write!(self.0, "</{name}>");
    }

    fn json(&mut self, value: &Value) {
        self.raw("<pre>");
        self.text(&format!("{value:#}"));
        self.raw("</pre>");
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

pub(super) fn page(document: &Value) -> String {
    let mut page = Page(String::new());
    page.raw("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">");
    page.raw("<title>Custody API</title><style>");
    page.raw(STYLE);
    page.raw("</style><h1>Custody API ");
    page.text(text(&document["info"], "version"));
    page.raw("</h1>");
    page.tag("p", text(&document["info"], "description"));
    page.raw("<p><a href=\"/openapi.json\">OpenAPI document</a> · <a href=\"#problems\">problems</a> · <a href=\"#schemas\">schemas</a></p>");
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(tag, "name");
        page.tag("h2", name);
        for (path, methods) in members(&document["paths"]) {
            for (method, operation) in members(methods) {
                if operation["tags"][0] == name {
                    self::operation(&mut page, method, path, operation);
                }
            }
        }
    }
    page.raw("<h2 id=\"problems\">problems</h2><table>");
    for (code, response) in members(&document["components"]["responses"]) {
        page.raw("<tr><td><code>");
        page.text(code);
        page.raw("</code></td>");
        page.tag("td", text(response, "description"));
        page.raw("</tr>");
    }
    page.raw("</table><h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let _ = write!(page.0, "<details id=\"schema-{name}\">");
        page.tag("summary", name);
        page.json(schema);
        page.raw("</details>");
    }
    page.raw("</html>\n");
    page.0
}

fn operation(page: &mut Page, method: &str, path: &str, operation: &Value) {
    let _ = write!(page.0, "<details id=\"{}\"><summary><b>", text(operation, "operationId"));
    page.text(&method.to_ascii_uppercase());
    page.raw("</b> <code>");
    page.text(path);
    page.raw("</code> ");
    page.text(text(operation, "summary"));
    page.raw("</summary><div>");
    for paragraph in text(operation, "description").split("\n\n") {
        page.tag("p", paragraph);
    }
    if let Some(parameters) = operation["parameters"].as_array() {
        page.raw("<table><tr><th>parameter<th>in<th>what</tr>");
        for parameter in parameters {
            page.raw("<tr><td><code>");
            page.text(text(parameter, "name"));
            page.raw("</code></td>");
            page.tag("td", text(parameter, "in"));
            page.tag("td", text(parameter, "description"));
            page.raw("</tr>");
        }
        page.raw("</table>");
    }
    for (_, content) in members(&operation["requestBody"]["content"]) {
        page.raw("<p>Body: ");
        schema(page, &content["schema"]);
        page.raw("</p>");
    }
    page.raw("<table>");
    for (status, response) in members(&operation["responses"]) {
        page.raw("<tr>");
        page.tag("td", status);
        page.raw("<td>");
        match response["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            Some(code) => {
                page.raw("<a href=\"#problems\"><code>");
                page.text(code);
                page.raw("</code></a>");
            }
            None => page.text(text(response, "description")),
        }
        for (kind, content) in members(&response["content"]) {
            if kind != "application/problem+json" {
                page.raw(" ");
                page.tag("code", kind);
                page.raw(" ");
                schema(page, &content["schema"]);
            }
        }
        page.raw("</td></tr>");
    }
    page.raw("</table></div></details>");
}

fn schema(page: &mut Page, schema: &Value) {
    match schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        Some(name) => {
            let _ = write!(page.0, "<a href=\"#schema-{name}\">{name}</a>");
        }
        None => page.tag("code", &schema.to_string()),
    }
}
