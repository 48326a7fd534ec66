//! What runs is what is told, or the difference is told: the path is changed between the notice and the exec.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use custody_keeper::inside::ExecNotice;
use custody_keeper::inside::protocol::ExitStatus;

use super::sandbox::{Finished, Sandbox, Told, start};

fn run(argv: &[&str], meanwhile: impl Fn(&ExecNotice) + Send + Sync + 'static) -> Finished {
    let told = Told { meanwhile: Some(Box::new(meanwhile)), ..Told::default() };
    let sandbox = Sandbox::prepare_with(start(argv), told);
    sandbox.inside.go().unwrap();
    sandbox.finish()
}

/// The one correction: what was told, and what was opened.
fn only(done: &Finished) -> (String, String) {
    let corrected = done.told.corrected.lock().unwrap();
    let [(notice, image, opened)] = corrected.as_slice() else { panic!("{corrected:?}") };
    let execs = done.told.execs.lock().unwrap();
    assert_eq!(execs[usize::try_from(image.0).unwrap() - 1], *notice);
    assert_eq!(*done.told.gaps.lock().unwrap(), [] as [String; 0]);
    (notice.path.clone(), opened.clone())
}

fn real(path: &str) -> String {
    fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_path_that_another_thread_rewrites_in_memory() {
    // The string that the caller waits with, as another thread of it could write to it.
    let rewrite = |notice: &ExecNotice| {
        if notice.path != "/bin/true" {
            return;
        }
        let call = fs::read_to_string(format!("/proc/{}/syscall", notice.tid)).unwrap();
        let address = call.split_whitespace().nth(1).unwrap().trim_start_matches("0x");
        let address = u64::from_str_radix(address, 16).unwrap();
        let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", notice.tid));
        memory.unwrap().write_all_at(b"/bin/echo", address).unwrap();
    };
    let done = run(&["perl", "-e", "exec {'/bin/true'} 'name', 'said'"], rewrite);
    assert_eq!(done.stdout, "said\n", "{}", done.stderr);
    assert_eq!(only(&done), ("/bin/true".to_owned(), real("/bin/echo")));
}

#[test]
fn a_link_that_is_turned() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let link = directory.path().join("link");
    symlink("/bin/false", &link).unwrap();
    let path = link.to_str().unwrap().to_owned();
    let turned = path.clone();
    let done = run(&["sh", "-c", &format!("{path}; {path}")], move |notice| {
        if notice.path == turned && fs::read_link(&link).unwrap() == Path::new("/bin/false") {
            fs::remove_file(&link).unwrap();
            symlink("/bin/true", &link).unwrap();
        }
    });
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(0))));
    assert_eq!(only(&done), (path, real("/bin/true")));
    let execs = done.told.execs.lock().unwrap();
    let files: Vec<_> = execs.iter().map(|exec| exec.file.clone()).collect();
    assert_eq!(files[1..], [Some(real("/bin/false")), Some(real("/bin/true"))]);
}

#[test]
fn a_thread_that_is_not_the_first() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let link = directory.path().join("link");
    symlink("/bin/true", &link).unwrap();
    let path = link.to_str().unwrap().to_owned();
    let script = format!("use threads; threads->create(sub {{ exec '{path}', 'said' }})->join;");
    let turned = path.clone();
    let done = run(&["perl", "-e", &script], move |notice| {
        if notice.path == turned {
            assert_ne!(notice.tid, notice.pid);
            fs::remove_file(&link).unwrap();
            symlink("/bin/echo", &link).unwrap();
        }
    });
    assert_eq!(done.stdout, "said\n", "{}", done.stderr);
    assert_eq!(only(&done), (path, real("/bin/echo")));
}

#[test]
fn programs_that_are_what_was_told_are_not_corrected() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "#!/usr/bin/env sh\necho by-script\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // Scripts, search paths, links, failures, descriptors of files and of a file that is on no mount.
    let commands = format!(
        "{0}; cd /usr/bin && ./env true; cd {1} && ./script; ../{2}/script; no-such-program; /etc/passwd; {1}
         exec 9</bin/true; /proc/self/fd/9; i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done
         perl -e '$f = q(memory); $n = syscall(319, $f, 0); open F, q(<), q(/bin/echo); open M, qq(>&=$n); binmode M; print M <F>; close F;
         M->flush; system {{qq(/proc/$$/fd/$n)}} q(x), q(of-memory)'",
        script.display(),
        directory.path().display(),
        directory.path().file_name().unwrap().display(),
    );
    let done = run(&["sh", "-c", &commands], |_| {});
    assert!(done.stdout.contains("by-script"), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("of-memory"), "{}{}", done.stdout, done.stderr);
    assert!(done.told.execs.lock().unwrap().len() > 108);
    let corrected = done.told.corrected.lock().unwrap();
    assert!(corrected.is_empty(), "{corrected:?}");
    assert_eq!(*done.told.gaps.lock().unwrap(), [] as [String; 0]);
}
