//! The golden record, which has an event of every type, in each format.

use std::collections::BTreeMap;

use custody_export::{Content, ContentError, Export, Format, Patch, Summary, export};
use custody_model::Digest;
use custody_record::Event;
use custody_record::event::CommitCreated;

use crate::validator::{check, valid};

const GOLDEN: &str = include_str!("../fixtures/record/events.jsonl");

/// A recording, and a commit that added three lines.
struct Given;

impl Content for Given {
    fn blob(&self, _: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        Ok(Some(b"{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n".to_vec()))
    }

    fn patch(&self, _: &CommitCreated) -> Result<Patch, ContentError> {
        let patch = b"--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1 +1,2 @@\n-x\n+a\n+b\n@@ -5,0 +7 @@\n+c\nBinary files a/y and b/y differ\n";
        Ok(Patch::Changes(patch.to_vec()))
    }
}

/// Nothing is there any more.
struct Erased;

impl Content for Erased {
    fn blob(&self, _: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        Ok(None)
    }

    fn patch(&self, _: &CommitCreated) -> Result<Patch, ContentError> {
        Ok(Patch::Absent)
    }
}

fn exported(format: Format, content: &dyn Content, lines: usize) -> (Vec<u8>, Summary) {
    let mut out = Vec::new();
    let mut under_way: Box<dyn Export> = export(format, "0.1.0");
    for line in GOLDEN.lines().take(lines) {
        let event = Event::from_canonical(line.as_bytes()).expect("a golden event");
        under_way.event(&event, line.as_bytes(), content, &mut out).expect("exported");
    }
    let summary = under_way.finish(&mut out).expect("finished");
    (out, summary)
}

fn whole(format: Format) -> (Vec<u8>, Summary) {
    exported(format, &Given, usize::MAX)
}

#[test]
fn an_event_of_every_type_is_valid_in_each_format_or_counted_as_dropped() {
    let events = GOLDEN.lines().count() as u64;
    for format in Format::ALL.iter().copied() {
        let (out, summary) = whole(format);
        println!("{}", summary.sentence());
        assert_eq!((summary.events, summary.complete), (events, true));
        match format {
            Format::JsonLines => assert_eq!(out, GOLDEN.as_bytes()),
            Format::Asciicast => assert!(out.starts_with(b"{\"version\":3,")),
            Format::GitAi => {
                let line: serde_json::Value = serde_json::from_slice(&out).expect("one line");
                let note = line["note"].as_str().expect("a note");
                assert_eq!(valid("git-ai", note.as_bytes())["lines"], 3);
            }
            Format::AgentTrace => assert_eq!(valid("agent-trace", &out)["lines"], 3),
            Format::Ocsf => {
                let counts = valid("ocsf", &out);
                for class in [1001, 1007, 2004, 3003, 4002, 6002, 6008, 0] {
                    assert!(counts[format!("class {class}")].is_u64(), "no event of class {class}");
                }
            }
            Format::CloudEvents => assert_eq!(valid("cloud-events", &out)["events"], events),
            Format::Otlp => assert_eq!(valid("otlp", &out)["invoke_agent"], 1),
        }
    }
}

#[test]
fn every_event_is_written_or_dropped_and_never_neither() {
    for format in [Format::JsonLines, Format::CloudEvents, Format::Ocsf] {
        let (out, summary) = whole(format);
        assert_eq!(summary.written + summary.dropped_count(), summary.events, "{format}");
        // One line more: the summary itself.
        let lines = out.iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!(lines - u64::from(format == Format::Ocsf), summary.written, "{format}");
    }
}

#[test]
fn what_was_dropped_stands_in_the_output() {
    for format in [Format::Ocsf, Format::Asciicast, Format::AgentTrace, Format::GitAi] {
        let (out, summary) = whole(format);
        assert!(summary.dropped_count() > 0, "{format}");
        assert_eq!(Summary::found(&out), Some(summary), "{format}");
    }
    let (out, summary) = whole(Format::Otlp);
    let text = String::from_utf8(out).expect("UTF-8");
    for (reason, count) in &summary.dropped {
        let attribute = format!(
            "{{\"key\":\"dev.custody.export.dropped.{reason}\",\"value\":{{\"intValue\":\"{count}\"}}}}"
        );
        assert!(text.contains(&attribute), "{attribute}");
    }
}

#[test]
fn a_record_that_is_not_closed_is_exported_as_far_as_it_goes_and_says_so() {
    for lines in [0, 1, 9, 20] {
        for format in Format::ALL.iter().copied() {
            let (out, summary) = exported(format, &Given, lines);
            assert_eq!((summary.events, summary.complete), (lines as u64, false));
            match format {
                Format::Ocsf | Format::CloudEvents | Format::Otlp | Format::AgentTrace => {
                    let _ = valid(format.as_str(), &out);
                }
                Format::JsonLines | Format::Asciicast | Format::GitAi => {}
            }
        }
    }
}

#[test]
fn contents_that_are_not_kept_any_more_are_counted_and_nothing_is_made_up() {
    let found: BTreeMap<Format, Summary> = [Format::Asciicast, Format::AgentTrace, Format::GitAi]
        .into_iter()
        .map(|format| {
            let (out, summary) = exported(format, &Erased, usize::MAX);
            assert!(out.is_empty(), "{format}");
            (format, summary)
        })
        .collect();
    assert_eq!(found[&Format::GitAi].dropped["commit that the repository lacks"], 1);
    assert_eq!(found[&Format::AgentTrace].dropped["commit that the repository lacks"], 1);
    assert_eq!(
        found[&Format::Asciicast].dropped["recording whose content is not kept any more"],
        1
    );
}

#[test]
fn validators_refuse_what_is_wrong() {
    let wrong = |format: Format, from: &str, to: &str| {
        let (out, _) = whole(format);
        let text = String::from_utf8(out).expect("UTF-8");
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not in {format}");
        assert!(check(format.as_str(), changed.as_bytes()).is_err(), "{format}: {from} → {to}");
    };
    wrong(Format::Ocsf, "\"activity_id\":1,", "\"activity_id\":77,");
    wrong(Format::Ocsf, "\"class_uid\":1001", "\"class_uid\":1007");
    wrong(Format::Ocsf, "\"severity_id\":1", "\"severity_id\":\"1\"");
    wrong(Format::Ocsf, "\"type_id\":", "\"kind_id\":");
    wrong(Format::CloudEvents, "\"specversion\":", "\"specverison\":");
    wrong(Format::CloudEvents, "\"time\":\"2026", "\"time\":\"x2026");
    wrong(Format::Otlp, "\"spanId\":", "\"span_ID\":");
    wrong(Format::Otlp, "gen_ai.agent.name", "gen_ai.agent.title");
    wrong(Format::AgentTrace, "\"start_line\":1", "\"start_line\":0");
    wrong(Format::AgentTrace, "\"type\":\"ai\"", "\"type\":\"robot\"");
    wrong(Format::AgentTrace, "\"type\":\"ai\"", "\"type\":\"ai\",\"kind\":\"x\"");
    wrong(Format::AgentTrace, "\"end_line\":", "\"last_line\":");
    wrong(Format::AgentTrace, "\"name\":\"custody\",", "");
}
