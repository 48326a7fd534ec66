//! An answer of `investigate`, for people.

use std::fmt::Write;

use custody_investigate::neighbour::Neighbours;
use custody_investigate::report::{Answer, Finding};

use super::{summary, tame};

/// The whole answer.
pub fn page(answer: &Answer) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "question    {}", tame(&answer.question));
    if let Some(line) = &answer.text {
        let _ = writeln!(text, "line        {}", tame(line.trim_end()));
    }
    if let Some(commit) = &answer.commit {
        let _ = writeln!(text, "commit      {commit}");
    }
    for note in &answer.notes {
        let _ = writeln!(text, "note        {}", tame(note));
    }
    if answer.findings.is_empty() {
        let _ = writeln!(text, "session     none that this installation recorded (absent)");
    }
    for finding in &answer.findings {
        text.push('\n');
        text.push_str(&one(finding));
    }
    text
}

fn one(finding: &Finding) -> String {
    let mut text = String::new();
    for statement in &finding.statements {
        let events: Vec<String> =
            statement.evidence.iter().map(|e| format!("#{}", e.seq)).collect();
        let proof = if events.is_empty() { "-".to_owned() } else { events.join(" ") };
        let assurance = super::word(&statement.assurance);
        let _ = writeln!(
            text,
            "{:<11} {}  [{assurance}, event {proof}]",
            super::word(&statement.topic),
            tame(&statement.text)
        );
    }
    if let Some(near) = &finding.neighbours {
        text.push_str(&neighbours(near));
    }
    if let Some(page) = &finding.summary {
        text.push('\n');
        text.push_str(&summary::activity(page));
    }
    text
}

fn neighbours(near: &Neighbours) -> String {
    let mut text = String::new();
    for neighbour in &near.sessions {
        let overlap = &neighbour.overlap;
        let (who, relation) = (super::word(&overlap.who), super::word(&overlap.relation));
        let assurance = super::word(&neighbour.assurance);
        let named: Vec<String> = overlap
            .paths
            .iter()
            .map(|shared| format!("{} (#{})", shared.path, shared.neighbour.first_seq))
            .collect();
        let more = overlap.path_count - named.len() as u64;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let _ = writeln!(
            text,
            "{:<11} {} of {} ({}), {relation}: {} in {}{more}  [{assurance}]",
            "neighbour",
            neighbour.session,
            tame(neighbour.requester.as_str()),
            neighbour.state.name(),
            who.replace('_', " "),
            tame(&named.join(", ")),
        );
    }
    if near.cut {
        let _ = writeln!(text, "{:<11} there may be more than these", "neighbour");
    }
    text
}
