//! Live streams: resumed without a lost or a doubled event, wherever they break.

use custody_api_client::{Client, ClientError, Credentials, Followed};
use custody_model::{SessionId, Timestamp};

use crate::script::{Step, over_tcp, over_unix};

fn session() -> SessionId {
    SessionId::new(Timestamp::from_micros(0), [0; 10])
}

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

fn events(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("id: {n}\ndata: {{\"seq\":{n}}}\n\n")).collect()
}

async fn read(client: &Client, from: u64) -> Result<Vec<u64>, ClientError> {
    let mut following = client.follow(session(), from);
    let mut numbers = Vec::new();
    while let Some(followed) = following.next().await? {
        match followed {
            Followed::Event { seq, event } => {
                assert_eq!(event.as_str(), format!("{{\"seq\":{seq}}}"));
                numbers.push(seq);
            }
            Followed::End(end) => assert_eq!(end.events, seq_after(&numbers, from)),
        }
    }
    Ok(numbers)
}

fn seq_after(numbers: &[u64], from: u64) -> u64 {
    numbers.last().map_or(from, |last| last + 1)
}

#[tokio::test]
async fn a_stream_that_breaks_anywhere_is_resumed_without_a_lost_or_doubled_event() {
    let whole = format!(": alive\n\n{}event: end\ndata: {{\"events\":3}}\n\n", events(0..3));
    for cut in 0..whole.len() {
        let complete = whole[..cut].matches("}\n\n").count() as u64;
        let rest = format!("{}event: end\ndata: {{\"events\":3}}\n\n", events(complete.min(3)..3));
        let steps = vec![
            Step::Say(format!("{HEAD}{}", &whole[..cut])),
            Step::Break,
            Step::Say(format!("{HEAD}{rest}")),
        ];
        let (server, client) = over_tcp(steps, Credentials::None).await;
        assert_eq!(read(&client, 0).await.unwrap(), [0, 1, 2], "cut at {cut}");
        let requests = server.requests();
        assert!(!requests[0].to_lowercase().contains("last-event-id"));
        if complete > 0 {
            let resumed = format!("last-event-id: {}\r\n", complete - 1);
            assert!(requests[2].to_lowercase().contains(&resumed), "{}", requests[2]);
        }
    }
}

#[tokio::test]
async fn what_comes_twice_is_given_once_and_what_is_left_out_is_an_error() {
    let end = "event: end\ndata: {\"events\":4}\n\n";
    let steps = vec![
        Step::Say(format!("{HEAD}{}", events(2..3))),
        Step::Say(format!("{HEAD}{}{end}", events(1..4))),
    ];
    let (server, client, _dir) = over_unix(steps).await;
    assert_eq!(read(&client, 2).await.unwrap(), [2, 3]);
    assert!(server.requests()[0].to_lowercase().contains("last-event-id: 1\r\n"));
    let steps = vec![Step::Say(format!("{HEAD}{}{}", events(0..1), events(2..4)))];
    let (_server, client) = over_tcp(steps, Credentials::None).await;
    let error = read(&client, 0).await.unwrap_err();
    assert!(matches!(error, ClientError::Stream(_)), "{error}");
    let steps = vec![Step::Say(format!("{HEAD}{}{end}", events(0..3)))];
    let (_server, client) = over_tcp(steps, Credentials::None).await;
    let error = read(&client, 0).await.unwrap_err();
    assert!(error.to_string().contains("4 events, and 3 came"), "{error}");
}
