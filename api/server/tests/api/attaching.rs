//! Attaching: frames between a WebSocket and the socket where a keeper listens.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use custody_api_types::attach::{
    Ended, Frame, Progress, SUBPROTOCOL, SignalRequest, StopRequest, Window,
};
use custody_keeper::frame;
use custody_record::control::ControlBody;
use custody_record::event::{ExitStatus, Outcome};
use custody_store::SessionRow;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::http::{Call, PATIENCE};
use crate::installation::Installation;

type Socket = WebSocketStream<TcpStream>;

async fn connect(installation: &Installation, row: &SessionRow, name: &str) -> Result<Socket, u16> {
    let url = format!("ws://{}/v1/sessions/{}/attach", installation.address, row.id);
    let mut request = url.into_client_request().unwrap();
    let token = format!("Bearer {}", installation.token(name));
    request.headers_mut().insert("authorization", token.parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
    let stream = TcpStream::connect(installation.address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Listens where the keeper of a session does, and gives its end of the first connection to `play`.
fn keeper<T: Send + 'static>(
    installation: &Installation,
    row: &SessionRow,
    play: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    let dir = installation.state.session(row.id);
    std::fs::create_dir_all(dir.run()).unwrap();
    let listener = UnixListener::bind(dir.attach_socket()).unwrap();
    std::thread::spawn(move || play(listener.accept().unwrap().0))
}

/// Everything that comes until the client is gone.
fn read_all(mut stream: UnixStream) -> Vec<frame::Frame> {
    let mut all = Vec::new();
    loop {
        match frame::Frame::read(&mut stream) {
            Ok(Some(next)) => all.push(next),
            Ok(None) => return all,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn send(socket: &mut Socket, frame: &Frame) {
    socket.send(Message::Binary(frame.to_message().unwrap().into())).await.unwrap();
}

/// The next frame; the code of the closing if there is none.
async fn next(socket: &mut Socket) -> Result<Frame, u16> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message");
        match message {
            Some(Ok(Message::Binary(bytes))) => return Ok(Frame::from_message(&bytes).unwrap()),
            Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requester_types_and_sees_the_session_to_its_end() {
    let installation = Installation::start().await;
    let row = installation.session(None).await;
    let before = installation.log_size();
    // Before there is a keeper: the session waits, and so does whoever is attached.
    let mut socket = connect(&installation, &row, "dev").await.unwrap();
    let Frame::Progress(Progress { step, .. }) = next(&mut socket).await.unwrap() else { panic!() };
    assert!(step.contains("queued"), "{step}");
    let played = keeper(&installation, &row, |mut stream| {
        let say = |stream: &mut UnixStream, frame: frame::Frame| frame.write(stream).unwrap();
        let step = frame::Progress { step: "checkout".to_owned(), done: Some(1), total: Some(2) };
        say(&mut stream, frame::Frame::Progress(step));
        say(&mut stream, frame::Frame::Output(b"$ ".to_vec()));
        let typed = [(); 3].map(|()| frame::Frame::read(&mut stream).unwrap().unwrap());
        say(&mut stream, frame::Frame::ErrorOutput(vec![0, 255]));
        let exit = Some(ExitStatus::Code(3));
        let ended = frame::Ended {
            outcome: Outcome::Completed,
            code: None,
            limit: None,
            reason: "over".to_owned(),
            exit,
        };
        say(&mut stream, frame::Frame::Ended(ended));
        typed
    });
    let mut frames = Vec::new();
    while frames.len() < 2 {
        match next(&mut socket).await.unwrap() {
            Frame::Progress(progress) if progress.step != "checkout" => {}
            frame => frames.push(frame),
        }
    }
    let progress = Progress { step: "checkout".to_owned(), done: Some(1), total: Some(2) };
    assert_eq!(frames, [Frame::Progress(progress), Frame::Output(b"$ ".to_vec())]);
    send(&mut socket, &Frame::Resize(Window { rows: 50, columns: 120 })).await;
    send(&mut socket, &Frame::Input(b"ls\n".to_vec())).await;
    send(&mut socket, &Frame::Input(Vec::new())).await;
    assert_eq!(next(&mut socket).await.unwrap(), Frame::ErrorOutput(vec![0, 255]));
    let exit = Some(ExitStatus::Code(3));
    let ended = Ended {
        outcome: Outcome::Completed,
        code: None,
        limit: None,
        reason: "over".to_owned(),
        exit,
    };
    assert_eq!(next(&mut socket).await.unwrap(), Frame::Ended(ended));
    assert_eq!(next(&mut socket).await, Err(1000));
    let typed = played.join().unwrap();
    let window = custody_keeper::spec::Window { rows: 50, columns: 120 };
    assert_eq!(
        typed,
        [
            frame::Frame::Resize(window),
            frame::Frame::Input(b"ls\n".to_vec()),
            frame::Frame::Input(Vec::new())
        ]
    );
    let events = installation.log(before);
    let [call, attached, completed] = events.as_slice() else { panic!("{events:#?}") };
    let ControlBody::SessionAttached(how) = &attached.body else { panic!("{attached:?}") };
    assert!(how.input && how.session == row.id && attached.cause == Some(call.id));
    let ControlBody::CallCompleted(result) = &completed.body else { panic!("{completed:?}") };
    assert_eq!(result.status, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_watches_types_nothing_and_strangers_are_not_let_in() {
    let installation = Installation::start().await;
    let row = installation.session(None).await;
    let read = keeper(&installation, &row, |mut stream| {
        frame::Frame::Output(b"seen".to_vec()).write(&mut stream).unwrap();
        read_all(stream)
    });
    assert_eq!(connect(&installation, &row, "stranger").await.err(), Some(404));
    assert_eq!(connect(&installation, &row, "colleague").await.err(), Some(404));
    let mut socket = connect(&installation, &row, "auditor").await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), Frame::Output(b"seen".to_vec()));
    send(&mut socket, &Frame::Input(b"rm -rf /\n".to_vec())).await;
    send(&mut socket, &Frame::Stop(StopRequest { reason: "me".to_owned() })).await;
    send(&mut socket, &Frame::Signal(SignalRequest { signal: 9 })).await;
    socket.close(None).await.unwrap();
    assert_eq!(read.join().unwrap(), []);
    assert!(installation.orchestrator.row(row.id).await.unwrap().stop.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_frame_ends_the_connection_and_a_stop_is_on_record_first() {
    let installation = Installation::start().await;
    let row = installation.session(None).await;
    for (message, code) in [
        (Message::Binary(vec![b'?'].into()), 1007),
        (Message::Binary(Vec::new().into()), 1007),
        (Message::Binary(b"r{\"rows\":1}".to_vec().into()), 1007),
        (Message::Binary(b"ohello".to_vec().into()), 1007),
        (Message::Text("hello".into()), 1003),
    ] {
        let dir = installation.state.session(row.id);
        let _absent = std::fs::remove_file(dir.attach_socket());
        let read = keeper(&installation, &row, |mut stream| {
            frame::Frame::Output(b"hi".to_vec()).write(&mut stream).unwrap();
            read_all(stream)
        });
        let mut socket = connect(&installation, &row, "dev").await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap(), Frame::Output(b"hi".to_vec()));
        socket.send(message).await.unwrap();
        assert_eq!(next(&mut socket).await, Err(code));
        assert_eq!(read.join().unwrap(), []);
    }
    let dir = installation.state.session(row.id);
    std::fs::remove_file(dir.attach_socket()).unwrap();
    let before = installation.log_size();
    let read = keeper(&installation, &row, |mut stream| {
        frame::Frame::Output(b"hi".to_vec()).write(&mut stream).unwrap();
        read_all(stream)
    });
    let mut socket = connect(&installation, &row, "dev").await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), Frame::Output(b"hi".to_vec()));
    send(&mut socket, &Frame::Stop(StopRequest { reason: "enough".to_owned() })).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !installation.orchestrator.row(row.id).await.unwrap().state.is_final() {
        assert!(tokio::time::Instant::now() < deadline, "the session is not cancelled");
        tokio::task::yield_now().await;
    }
    socket.close(None).await.unwrap();
    read.join().unwrap();
    let events = installation.log(before);
    let call = events[0].id;
    let cancelled = events.iter().find(|e| matches!(e.body, ControlBody::SessionCancelled(_)));
    assert_eq!(cancelled.expect("on record").cause, Some(call));
    assert_eq!(connect(&installation, &row, "dev").await.err(), Some(409));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_server_sends_the_attached_away_and_the_session_goes_on() {
    let installation = Installation::start().await;
    let row = installation.session(None).await;
    let read = keeper(&installation, &row, |mut stream| {
        frame::Frame::Output(b"hi".to_vec()).write(&mut stream).unwrap();
        read_all(stream)
    });
    let mut socket = connect(&installation, &row, "dev").await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), Frame::Output(b"hi".to_vec()));
    let plain =
        Call::get(&format!("/v1/sessions/{}/attach", row.id)).token(installation.token("dev"));
    plain.to(installation.address).await.problem(426, "upgrade_required");
    installation.lifecycle.drain();
    assert_eq!(next(&mut socket).await, Err(1012));
    // The keeper is asked for nothing.
    assert_eq!(read.join().unwrap(), []);
}
