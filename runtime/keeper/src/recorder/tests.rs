//! The recorder against a sink that keeps what it gets.

use custody_model::WorkspacePath;
use custody_record::event::{Access, FileKind, FileOpened, FileRead};

use super::*;
use crate::inside::LifeSink;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(7)
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Draft>>);

impl Sink for Kept {
    fn observe(&self, draft: Draft) -> Result<EventId, SinkError> {
        let mut kept = self.0.lock().unwrap();
        kept.push(draft);
        Ok(EventId::new(Timestamp::from_micros(0), [u8::try_from(kept.len()).unwrap(); 10]))
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn barrier(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn exec(pid: u32, parent: Option<u32>, exe: &str) -> Exec {
    Exec {
        time: Timestamp::from_micros(7),
        pid,
        parent,
        exe: exe.into(),
        argv: vec![exe.into()],
        argv_cut: false,
        cwd: None,
        failed: None,
        file: None,
        corrects: None,
        tried: None,
    }
}

fn opened(path: &str, size: u64) -> Body {
    Body::FileOpened(FileOpened {
        path: path.parse::<WorkspacePath>().unwrap(),
        kind: FileKind::File,
        access: Access::Read,
        content: FileRead { size: Some(size), ..FileRead::default() },
        uncertain: None,
    })
}

fn recorder() -> (Arc<Kept>, Recorder) {
    let kept = Arc::new(Kept::default());
    let recorder = Recorder::new(kept.clone(), Arc::new(Fixed));
    recorder.started_by(EventId::new(Timestamp::from_micros(0), [0; 10]));
    (kept, recorder)
}

#[test]
fn repeats_are_counted_and_told_when_the_image_ends() {
    let (kept, recorder) = recorder();
    let now = Timestamp::from_micros(7);
    // Above any pid of this machine, so that /proc knows nothing of it.
    recorder.record_exec(exec(90_000_001, None, "/bin/cat"), &[]).unwrap();
    for _ in 0..3 {
        recorder.access(now, 90_000_001, opened("a", 1)).unwrap();
    }
    recorder.access(now, 90_000_001, opened("a", 2)).unwrap();
    recorder.access(now, 90_000_001, opened("a", 2)).unwrap();
    recorder.exited(90_000_001, Some(ExitStatus::Code(0)));
    recorder.bury(|| Ok(())).unwrap();
    let types: Vec<String> = kept.0.lock().unwrap().iter().map(short).collect();
    assert_eq!(
        types,
        ["exec /bin/cat", "open a 1", "again a 2", "open a 2", "again a 1", "exit 90000001"]
    );
}

#[test]
fn every_access_names_the_exec_that_led_to_it() {
    let (kept, recorder) = recorder();
    recorder.record_exec(exec(90_000_001, None, "/bin/sh"), &[]).unwrap();
    LifeSink::forked(&recorder, 90_000_001, 90_000_002);
    recorder.access(Timestamp::from_micros(7), 90_000_002, opened("a", 1)).unwrap();
    let kept = kept.0.lock().unwrap();
    let expected = ProcessRef { image: Some(ImageId(1)), pid: 90_000_002 };
    assert_eq!(kept[1].actor, Actor::Process(expected));
    assert_eq!(kept[1].cause, Some(EventId::new(Timestamp::from_micros(0), [1; 10])));
}

#[test]
fn what_happens_before_the_command_starts_is_no_process_of_the_sandbox() {
    let kept = Arc::new(Kept::default());
    let recorder = Recorder::new(kept.clone(), Arc::new(Fixed));
    recorder.access(Timestamp::from_micros(7), 90_000_001, opened("a", 1)).unwrap();
    assert!(kept.0.lock().unwrap().is_empty());
}

#[test]
fn a_failed_exec_leaves_the_image_as_it_was() {
    let (kept, recorder) = recorder();
    recorder.record_exec(exec(90_000_001, None, "/bin/sh"), &[]).unwrap();
    let mut missing = exec(90_000_001, None, "/usr/local/bin/rg");
    missing.failed = Some("ENOENT".into());
    recorder.record_exec(missing, &[]).unwrap();
    recorder.record_exec(exec(90_000_001, None, "/usr/bin/rg"), &[]).unwrap();
    recorder.access(Timestamp::from_micros(7), 90_000_001, opened("a", 1)).unwrap();
    let kept = kept.0.lock().unwrap();
    assert_eq!(
        kept[3].actor,
        Actor::Process(ProcessRef { image: Some(ImageId(2)), pid: 90_000_001 })
    );
}

fn short(draft: &Draft) -> String {
    match &draft.body {
        Body::ProcessExecuted(e) => format!("exec {}", e.exe),
        Body::FileOpened(o) => format!("open {} {}", o.path, o.content.size.unwrap()),
        Body::FileReopened(o) => format!("again {} {}", o.path, o.count),
        Body::ProcessExited(e) => format!("exit {}", e.pid),
        other => panic!("unexpected: {other:?}"),
    }
}
