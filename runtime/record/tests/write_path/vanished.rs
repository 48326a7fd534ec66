//! The directory of a record vanishes under its writer.

use std::fs;
use std::sync::mpsc::channel;
use std::time::Duration;

use custody_record::journal::{Condition, Step};
use custody_record::{
    Integrity, Journal, JournalOptions, KeyChoice, Sink, SinkError, VerifyOptions, verify,
};

use crate::samples::{Place, authorized, header, keys, observe, opened};

fn assert_whole(place: &Place, journal: &Journal, events: u64) {
    journal.barrier().unwrap();
    let report = verify(&place.record, &VerifyOptions::new(KeyChoice::Given(keys().verifier())));
    assert_eq!((report.integrity, report.events), (Integrity::Intact, events), "{report}");
}

#[test]
fn a_record_whose_directory_vanishes_goes_on_when_it_is_back_even_if_empty() {
    let place = Place::new();
    let options = JournalOptions { retry: Duration::from_millis(5), ..JournalOptions::default() };
    let journal = Journal::create(&place.record, header(), options).unwrap();
    let (heard, hearing) = channel();
    // Nobody hears what comes after the test.
    journal.watch(move |condition| drop(heard.send(condition)));
    observe(&journal, authorized());
    journal.barrier().unwrap();

    let away = place.root.path().join("away");
    for (round, empty) in [(1, false), (2, true)] {
        fs::rename(&place.record, &away).unwrap();
        observe(&journal, opened("while it is away"));
        let Err(SinkError::Unwritable(text)) = journal.barrier() else { panic!("it is away") };
        assert!(text.contains("is gone") && text.contains("bring its directory back"), "{text}");
        let Condition::Degraded(trouble) = hearing.recv().unwrap() else { panic!("degraded") };
        assert_eq!((trouble.step, trouble.durable), (Step::Find, 2 * round - 1));
        observe(&journal, opened("refused is only what waits for the disk"));
        if empty {
            fs::create_dir(&place.record).unwrap();
        } else {
            fs::rename(&away, &place.record).unwrap();
        }
        let restored = hearing.recv().unwrap();
        assert!(matches!(restored, Condition::Restored { waited: 2, .. }), "{restored:?}");
        assert_whole(&place, &journal, 2 * round + 1);
    }

    // What stands in its place by now is another's: it is left alone.
    fs::rename(place.record.join("journal"), place.record.join("kept")).unwrap();
    fs::write(place.record.join("journal"), "not ours").unwrap();
    observe(&journal, opened("while another file is there"));
    let Err(SinkError::Unwritable(text)) = journal.barrier() else { panic!("it is another's") };
    assert!(text.contains("another file stands in its place"), "{text}");
    assert_eq!(fs::read(place.record.join("journal")).unwrap(), b"not ours");
    fs::rename(place.record.join("kept"), place.record.join("journal")).unwrap();
    journal.wait_until_writable().unwrap();
    assert_whole(&place, &journal, 6);
}
