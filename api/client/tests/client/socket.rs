//! Terminals: frames over a WebSocket, on TCP and Unix sockets alike.

use custody_api_client::{Client, Credentials};
use custody_api_types::attach::{Frame, SUBPROTOCOL, Window};
use custody_model::{SessionId, Timestamp};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::script::client;

/// Sends some output, pings, and gives back what it gets.
async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin) -> Vec<Frame> {
    #[expect(clippy::result_large_err, reason = "the crate's callback")]
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        let protocol = SUBPROTOCOL.parse().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(connection, check).await.unwrap();
    let frame = |frame: Frame| Message::Binary(frame.to_message().unwrap().into());
    socket.send(frame(Frame::Output(vec![0, 255, 10]))).await.unwrap();
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    socket.send(frame(Frame::ErrorOutput(vec![b'e'; 1 << 20]))).await.unwrap();
    let (mut got, mut pongs) = (Vec::new(), 0);
    while got.len() < 2 || pongs < 1 {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => got.push(Frame::from_message(&bytes).unwrap()),
            Message::Pong(_) => pongs += 1,
            other => panic!("{other:?}"),
        }
    }
    socket.close(None).await.unwrap();
    got
}

async fn converse(client: &Client) {
    let session = SessionId::new(Timestamp::from_micros(0), [0; 10]);
    let mut attached = client.attach(session).await.unwrap();
    let output = attached.receive().await.unwrap();
    assert_eq!(output, Some(Frame::Output(vec![0, 255, 10])));
    let long = attached.receive().await.unwrap();
    assert_eq!(long, Some(Frame::ErrorOutput(vec![b'e'; 1 << 20])));
    attached.send(&Frame::Input(b"ls\n".to_vec())).await.unwrap();
    attached.send(&Frame::Resize(Window { rows: 2, columns: 3 })).await.unwrap();
    assert_eq!(attached.receive().await.unwrap(), None);
}

#[tokio::test]
async fn frames_go_both_ways_over_tcp_and_over_a_unix_socket() {
    let sent = [Frame::Input(b"ls\n".to_vec()), Frame::Resize(Window { rows: 2, columns: 3 })];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    converse(&client(&address, Credentials::None)).await;
    assert_eq!(serving.await.unwrap(), sent);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    converse(&client(&format!("unix:{}", path.display()), Credentials::None)).await;
    assert_eq!(serving.await.unwrap(), sent);
}
