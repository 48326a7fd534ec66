//! The walls around the command.

use std::os::unix::fs::PermissionsExt;

use custody_keeper::inside::protocol::ExitStatus;

use super::sandbox::{Finished, Sandbox, start};

fn perl(script: &str) -> Finished {
    Sandbox::run(start(&["perl", "-MErrno", "-e", script])).finish()
}

#[test]
fn every_protection_says_how_it_took() {
    let sandbox = Sandbox::prepare(start(&["true"]));
    let names: Vec<_> = sandbox.protections.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "capabilities",
            "init",
            "landlock",
            "loopback",
            "name_server",
            "no_new_privs",
            "proxy",
            "rlimits",
            "seccomp"
        ]
    );
    assert!(sandbox.protections["landlock"].starts_with("version "), "{:?}", sandbox.protections);
    assert_eq!(sandbox.protections["name_server"], "127.0.0.1:53");
    assert_eq!(sandbox.protections["loopback"], "up");
    sandbox.inside.go().unwrap();
    assert_eq!(sandbox.finish().status, Some(Ok(ExitStatus::Code(0))));
}

#[test]
fn io_uring_is_not_there() {
    let done = perl("syscall(425, 1, 0) == -1 && $!{ENOSYS} or die $!; print 'refused'");
    assert_eq!(done.stdout, "refused", "{}", done.stderr);
}

#[test]
fn init_can_be_neither_traced_nor_read() {
    // 101 is ptrace, 16 PTRACE_ATTACH.
    let done = perl(
        "syscall(101, 16, 1, 0, 0) == -1 or die 'attached'; \
         for (qw(mem environ maps)) { open(F, '<', \"/proc/1/$_\") and sysread(F, $x, 1) and die $_ } \
         kill(9, 1); readlink('/proc/1/exe') and die 'exe'; print 'refused'",
    );
    assert_eq!(done.stdout, "refused", "{}", done.stderr);
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(0))));
}

#[test]
fn landlock_refuses_what_the_mounts_would_allow() {
    let outside = tempfile::Builder::new().prefix("custody-inside").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = outside.path().join("file");
    let script =
        format!("open(F, '>', '{}') and die; $!{{EACCES}} or die $!; print 'no'", file.display());
    let done = perl(&script);
    assert_eq!(done.stdout, "no", "{}", done.stderr);
    assert!(!file.exists());
}

/// A 32-bit program that exits with 7: an ELF header, one loadable segment, `exit(7)` by `int 0x80`.
fn program_of_i386() -> Vec<u8> {
    let code = [0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80];
    let base = 0x0804_8000_u32;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut words = |list: &[u32]| elf.extend(list.iter().flat_map(|w| w.to_le_bytes()));
    // Executable for i386, entry after the headers, program header at 52, headers of 52 and 32 bytes.
    words(&[2 | 3 << 16, 1, base + 84, 52, 0, 0, 52 | 32 << 16, 1, 0]);
    let length = 84 + code.len() as u32;
    words(&[1, 0, base, base, length, length, 5, 0x1000]);
    elf.extend(code);
    elf
}

#[test]
fn a_program_of_another_architecture_does_not_run() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("i386");
    std::fs::write(&path, program_of_i386()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let outside = std::process::Command::new(&path).status();
    let done =
        Sandbox::run(start(&["sh", "-c", "\"$0\"; echo $?", path.to_str().unwrap()])).finish();
    match outside {
        // SIGSYS, as shells tell it.
        Ok(status) if status.code() == Some(7) => assert_eq!(done.stdout, "159\n"),
        // A kernel without i386 refuses by itself.
        Ok(_) | Err(_) => assert_ne!(done.stdout, "7\n"),
    }
}
