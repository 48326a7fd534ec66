//! What was refused on its way out: HTTP Activity (4002) if a request was seen, DNS Activity (4003) if it was a question to
//! the name server, Network Activity (4001) otherwise.

use std::net::IpAddr;

use custody_record::Event;
use custody_record::event::{EgressDenied, EgressVia, Transport};
use serde_json::{Value, json};

use super::Mapped;
use super::class::{Activity, HttpMethod};

/// The sandbox's end of a connection: it has no address outside.
fn source(event: &Event) -> Value {
    json!({ "name": "sandbox", "uid": event.session })
}

/// Where it was to go; `None` if that was not seen.
fn destination(denied: &EgressDenied) -> Option<Value> {
    let mut endpoint = json!({});
    if let Some(host) = &denied.host {
        endpoint["hostname"] = json!(host);
    }
    match denied.address.as_deref().map(|address| (address, address.parse::<IpAddr>())) {
        Some((_, Ok(ip))) => endpoint["ip"] = json!(ip.to_string()),
        // The address of a Unix socket, or of a family without a text form.
        Some((other, Err(_))) => endpoint["name"] = json!(other),
        None => {}
    }
    let named = endpoint.as_object().is_some_and(|members| !members.is_empty());
    if let Some(port) = denied.port {
        endpoint["port"] = json!(port);
    }
    named.then_some(endpoint)
}

fn connection(denied: &EgressDenied) -> Value {
    const OUTBOUND: u32 = 2;
    match denied.transport {
        Transport::Tcp => {
            json!({ "direction_id": OUTBOUND, "direction": "Outbound", "protocol_name": "tcp", "protocol_num": 6 })
        }
        Transport::Udp => {
            json!({ "direction_id": OUTBOUND, "direction": "Outbound", "protocol_name": "udp", "protocol_num": 17 })
        }
        Transport::Other => json!({ "direction_id": OUTBOUND, "direction": "Outbound" }),
    }
}

pub(super) fn denied(event: &Event, denied: &EgressDenied) -> Mapped {
    let mut members = json!({
        "src_endpoint": source(event),
        "connection_info": connection(denied),
        "status_detail": denied.reason,
    });
    if let Some(destination) = destination(denied) {
        members["dst_endpoint"] = destination;
    }
    let activity = match (denied.via, &denied.request, &denied.host) {
        (EgressVia::Proxy, Some(request), _) => {
            let (method, target) = request.split_once(' ').unwrap_or((request, ""));
            let known = HttpMethod::of(method);
            members["http_request"] = json!({});
            if known != HttpMethod::Other {
                members["http_request"]["http_method"] = json!(method);
            }
            let path = if target.is_empty() { "/" } else { target };
            members["http_request"]["url"] = json!({ "path": path });
            if let Some(host) = &denied.host {
                members["http_request"]["url"]["hostname"] = json!(host);
            }
            Activity::Http(known)
        }
        (EgressVia::Dns, _, Some(host)) => {
            members["query"] = json!({ "hostname": host });
            Activity::DnsQuery
        }
        (EgressVia::Proxy, None, _)
        | (EgressVia::Dns, _, None)
        | (EgressVia::Connect | EgressVia::Send, _, _) => Activity::Refuse,
    };
    Mapped::new(activity, members).denied()
}
