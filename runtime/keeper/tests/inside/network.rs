//! What tries to get out is refused and told, with its process.

use custody_keeper::inside::protocol::ExitStatus;
use custody_record::event::{EgressDenied, EgressVia, Transport};

use super::sandbox::{Finished, PROXY, Sandbox, start};

fn perl(script: &str) -> Finished {
    let done = Sandbox::run(start(&["perl", "-MSocket", "-MErrno", "-e", script])).finish();
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(0))), "{}{}", done.stdout, done.stderr);
    done
}

/// The one refusal, by the one process.
fn only(done: &Finished) -> EgressDenied {
    let denied = done.told.denied.lock().unwrap();
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!(denied[0].0, Some(done.told.execs.lock().unwrap()[0].pid));
    denied[0].1.clone()
}

#[test]
fn a_connection_to_an_address_is_refused_and_told() {
    let done = perl(
        "socket(S, PF_INET, SOCK_STREAM, 0) or die; \
         connect(S, pack_sockaddr_in(80, inet_aton('203.0.113.5'))) and die 'connected'; \
         $!{ENETUNREACH} or die $!;",
    );
    let denied = only(&done);
    assert_eq!((denied.address.as_deref(), denied.port), (Some("203.0.113.5"), Some(80)));
    assert_eq!((denied.transport, denied.via), (Transport::Tcp, EgressVia::Connect));
}

#[test]
fn a_datagram_to_an_address_is_refused_and_told() {
    let done = perl(
        "socket(S, PF_INET, SOCK_DGRAM, 0) or die; \
         defined send(S, 'x', 0, pack_sockaddr_in(99, inet_aton('203.0.113.6'))) and die 'sent'; \
         $!{ENETUNREACH} or die $!;",
    );
    let denied = only(&done);
    assert_eq!((denied.address.as_deref(), denied.port), (Some("203.0.113.6"), Some(99)));
    assert_eq!((denied.transport, denied.via), (Transport::Udp, EgressVia::Send));
}

#[test]
fn a_thousand_refusals_hide_none() {
    let done = perl(
        "for my $i (1..1000) { socket(S, PF_INET, SOCK_STREAM, 0) or die; \
         connect(S, pack_sockaddr_in($i, inet_aton('203.0.113.5'))) and die; }",
    );
    let denied = done.told.denied.lock().unwrap();
    let ports: Vec<_> = denied.iter().filter_map(|(_, d)| d.port).collect();
    assert_eq!(ports, (1..=1000).collect::<Vec<u16>>());
}

#[test]
fn loopback_works_between_processes_of_the_sandbox() {
    let done = perl(
        "socket(L, PF_INET, SOCK_STREAM, 0) or die; \
         bind(L, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die $!; listen(L, 5) or die; \
         my $to = getsockname(L); \
         if (!fork) { socket(S, PF_INET, SOCK_STREAM, 0); connect(S, $to) or die $!; \
           syswrite(S, 'hello'); exit 0 } \
         accept(C, L); sysread(C, my $got, 5); wait; print $got; \
         socket(N, PF_INET, SOCK_STREAM, 0); connect(N, pack_sockaddr_in(1, INADDR_LOOPBACK)); \
         $!{ECONNREFUSED} or die $!; \
         socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die; send(A, 'x', 0) or die;",
    );
    assert_eq!(done.stdout, "hello");
    assert!(done.told.denied.lock().unwrap().is_empty());
}

#[test]
fn the_proxy_refuses_at_once_and_tells_the_host_and_the_process() {
    let done = perl(&format!(
        "socket(S, PF_INET, SOCK_STREAM, 0) or die; \
         connect(S, pack_sockaddr_in({PROXY}, INADDR_LOOPBACK)) or die $!; \
         syswrite(S, \"CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n\"); \
         print while sysread(S, $_, 999);"
    ));
    assert!(done.stdout.starts_with("HTTP/1.1 403 "), "{}", done.stdout);
    assert!(done.stdout.contains("api.example.com:443"), "{}", done.stdout);
    let denied = only(&done);
    assert_eq!((denied.host.as_deref(), denied.port), (Some("api.example.com"), Some(443)));
    assert_eq!(denied.via, EgressVia::Proxy);
}

#[test]
fn the_name_server_knows_no_name_and_tells_what_was_asked() {
    let done = perl(
        "socket(S, PF_INET, SOCK_DGRAM, 0) or die; \
         connect(S, pack_sockaddr_in(53, INADDR_LOOPBACK)) or die $!; \
         syswrite(S, pack('n6', 7, 0x100, 1, 0, 0, 0) . \"\\3api\\7example\\3com\\0\" . pack('n2', 1, 1)); \
         sysread(S, my $got, 999); printf '%d %d', unpack('n2', $got);",
    );
    assert_eq!(done.stdout, format!("7 {}", 0x8183));
    let denied = only(&done);
    assert_eq!((denied.host.as_deref(), denied.via), (Some("api.example.com"), EgressVia::Dns));
}
