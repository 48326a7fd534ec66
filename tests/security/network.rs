//! No network but loopback, and every attempt on record with address and process.

use std::net::{TcpListener, UdpSocket};

use custody_record::event::{EgressVia, Transport};
use custody_tests::{Installation, Repository};

#[test]
fn the_machines_own_loopback_is_another_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (installation, repository) = (Installation::new(), Repository::example());
    let script =
        format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo REACHED'; echo the-end");
    let output = installation.run(&repository, &["--quiet"], &script);
    assert!(
        output.text().contains("the-end") && !output.text().contains("REACHED"),
        "{}",
        output.text()
    );
    listener.set_nonblocking(true).expect("set");
    assert!(listener.accept().is_err(), "something connected");
}

#[test]
fn datagrams_go_nowhere_and_are_on_record() {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "bash -c 'echo hello >/dev/udp/203.0.113.9/5353'; true";
    let _ = installation.run(&repository, &[], script).succeeded();
    let record = installation.record(installation.session());
    let (event, attempt) = record
        .egress()
        .find(|(_, data)| data.address.as_deref() == Some("203.0.113.9"))
        .expect("the datagram is on record");
    assert_eq!((attempt.port, attempt.transport), (Some(5353), Transport::Udp));
    assert!(record.program(event).exe.ends_with("bash"));
    drop(socket);
}

#[test]
fn the_proxy_refuses_at_once_and_records_the_name() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "curl -sS -o /dev/null -w '%{http_code}' http://plain.example/a; curl -sS https://secure.example/b; true";
    let _ = installation.run(&repository, &[], script).succeeded();
    let record = installation.record(installation.session());
    for host in ["plain.example", "secure.example"] {
        let (event, attempt) = record
            .egress()
            .find(|(_, data)| data.host.as_deref() == Some(host))
            .unwrap_or_else(|| panic!("{host} is on record"));
        assert_eq!(attempt.via, EgressVia::Proxy);
        assert!(record.program(event).exe.ends_with("curl"), "{event:?}");
    }
}

#[test]
fn connections_around_the_proxy_are_refused_and_on_record() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "curl --noproxy '*' --max-time 5 -sS http://203.0.113.8:8080/; true";
    let _ = installation.run(&repository, &[], script).succeeded();
    let record = installation.record(installation.session());
    let (_, attempt) = record
        .egress()
        .find(|(_, data)| data.address.as_deref() == Some("203.0.113.8"))
        .expect("the connection is on record");
    assert_eq!((attempt.port, attempt.via), (Some(8080), EgressVia::Connect));
}

/// A request to the session's own listeners is served, whichever of its names is used and whether or not the program takes
/// the proxy for it; nobody tried to get out.
#[test]
fn the_sessions_own_loopback_is_served_and_no_refused_attempt() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "echo served >page; python3 -m http.server --bind :: 8000 >/dev/null 2>&1 & server=$!
python3 - <<'END'
import socket, time
end = time.monotonic() + 30
while socket.socket().connect_ex(('127.0.0.1', 8000)) and time.monotonic() < end: time.sleep(0.05)
END
for host in 127.0.0.1 127.0.0.2 0.0.0.0 '[::1]' localhost custody $(hostname); do
  curl -sS --max-time 20 \"http://$host:8000/page\" || echo FAILED $host
  NO_PROXY= no_proxy= curl -sS --max-time 20 \"http://$host:8000/page\" || echo FAILED $host by the proxy
  NO_PROXY= no_proxy= curl -sS --max-time 20 --proxytunnel \"http://$host:8000/page\" || echo FAILED $host in a tunnel
  python3 -c \"import urllib.request as u; print(u.urlopen('http://$host:8000/page', timeout=20).read().decode(), end='')\" || echo FAILED $host by Python
done
NO_PROXY= no_proxy= curl -sS --max-time 20 http://127.0.0.1:8001/ ; getent ahostsv6 custody >/dev/null; getent hosts 127.0.0.2; kill $server";
    let output = installation.run(&repository, &["--quiet"], script);
    let text = output.text();
    assert_eq!(text.matches("served\n").count(), 7 * 4, "{text}");
    assert!(text.contains("Nothing answers at 127.0.0.1:8001"), "{text}");
    let record = installation.record(installation.session());
    let refused: Vec<_> = record.egress().map(|(_, data)| data.clone()).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
