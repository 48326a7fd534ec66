//! Attach: a session's terminal over a WebSocket (RFC 6455), which is the same on TCP, TLS and Unix sockets.

use custody_api_types::Operation;
use custody_api_types::attach::{Frame, MAX_FRAME_BYTES, SUBPROTOCOL};
use custody_model::SessionId;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;

/// A connection to a session.
#[derive(Debug)]
pub struct Attached {
    socket: WebSocketStream<reqwest::Upgraded>,
}

impl Client {
    /// Attaches to a session that runs.
    ///
    /// # Errors
    /// [`ClientError`]; a problem with the code `conflict` if it does not run.
    pub async fn attach(&self, session: SessionId) -> Result<Attached, ClientError> {
        let key = generate_key();
        let call = Call::new(Operation::SessionAttach, &[&session.to_string()])
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Protocol", SUBPROTOCOL)
            .header("Sec-WebSocket-Key", key.clone());
        let response = self.send(&call, None).await?;
        let refused = |what: &str| ClientError::Handshake(what.to_owned());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused("it did not switch protocols"));
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(refused("its answer is for somebody else"));
        }
        if header("sec-websocket-protocol") != Some(SUBPROTOCOL) {
            return Err(refused("it speaks another protocol"));
        }
        let address = self.address();
        let upgraded = response.upgrade().await.map_err(|e| crate::answer::failed(address, e))?;
        // A frame and its byte of kind.
        let longest = Some(MAX_FRAME_BYTES + 1);
        let config = WebSocketConfig::default().max_message_size(longest).max_frame_size(longest);
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        Ok(Attached { socket })
    }
}

impl Attached {
    /// The next frame; `None` when the other side has closed. May be dropped while it waits, and called again.
    ///
    /// # Errors
    /// [`ClientError::Socket`], [`ClientError::Frame`].
    pub async fn receive(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(Frame::from_message(&bytes)?)),
                // Pings are answered by the socket itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Err(ClientError::Handshake("it sends text".to_owned()));
                }
                Some(Ok(Message::Close(_)))
                | None
                | Some(Err(SocketError::ConnectionClosed | SocketError::AlreadyClosed)) => {
                    return Ok(None);
                }
                Some(Err(error)) => return Err(ClientError::Socket(Box::new(error))),
            }
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`ClientError::Socket`], [`ClientError::Frame`].
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let message = Message::Binary(frame.to_message()?.into());
        self.socket.send(message).await.map_err(|e| ClientError::Socket(Box::new(e)))
    }
}
