//! What a sandbox shows, and what it does not let out or in.

mod ground;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use custody_sandbox::suite::{Control, Fixture, Room};
use custody_sandbox::{ExtraBind, Root, Sandbox};
use ground::{Real, sh};

/// A running sandbox; what it stands on comes first and lives as long.
fn inside() -> ((Real, Room), Box<dyn Sandbox>, Control) {
    let (real, room) = (Real::new(), Room::new());
    let spec = real.spec(&room);
    let (sandbox, control) = real.run(&room, spec);
    ((real, room), sandbox, control)
}

/// Fails unless the command fails inside.
fn refused(control: &mut Control, command: &str) {
    let (code, output) = sh(control, command);
    assert!(code > 0, "{command:?} ended with {code}: {output}");
}

/// Fails unless the command succeeds inside; what it wrote.
fn works(control: &mut Control, command: &str) -> String {
    let (code, output) = sh(control, command);
    assert_eq!(code, 0, "{command:?}: {output}");
    output.trim_end().to_owned()
}

#[test]
fn an_agent_has_what_work_needs() {
    let ((_real, room), sandbox, mut control) = inside();
    assert_eq!(works(&mut control, "id -u; id -g; id -un"), "1000\n1000\nagent");
    assert_eq!(works(&mut control, "pwd; hostname"), "/workspace\nsandbox");
    works(&mut control, "echo made > /workspace/file && chmod 700 /workspace/file");
    assert_eq!(fs::read_to_string(room.path("workspace/file")).unwrap(), "made\n");
    works(&mut control, "echo x > /tmp/x && echo x > /var/tmp/x && echo x > /home/agent/x");
    works(&mut control, "echo x > /dev/shm/x && echo x > /run/user/1000/x");
    works(&mut control, "printf '#!/bin/sh\\nexit 0' > /tmp/t && chmod +x /tmp/t && /tmp/t");
    works(&mut control, "head -c 4 /dev/urandom > /dev/null && test -c /dev/tty");
    works(&mut control, "test $(cat /proc/self/stat | cut -d' ' -f5) -gt 0");
    works(&mut control, "git --version && perl -e 'exit 0' && getent hosts localhost");
    assert_eq!(works(&mut control, "umask"), "0022");
    assert_eq!(
        works(&mut control, "ls -A /custody | sort | tr '\\n' ' '"),
        "control.sock init objects"
    );
    sandbox.destroy().unwrap();
}

#[test]
fn what_is_nobodys_business_is_not_there() {
    let (_ground, sandbox, mut control) = inside();
    for path in [
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/ssh",
        "/etc/ssl/private",
        "/etc/sudoers",
        "/etc/machine-id",
        "/etc/crontab",
        "/etc/cron.d",
        "/var/cache",
        "/var/log",
        "/var/spool",
        "/boot",
        "/nix",
        "/run/dbus",
        "/var/run",
        "/sys/fs",
        "/sys/class",
        "/dev/kmsg",
        "/dev/mem",
        "/old_root",
    ] {
        refused(&mut control, &format!("test -e {path}"));
    }
    for path in ["/root", "/proc/1/root/", "/proc/1/cwd/", "/proc/1/environ", "/proc/1/mem"] {
        refused(&mut control, &format!("ls {path} && cat {path}"));
    }
    // What is installed is no secret; the rest of the machine's state is.
    assert_eq!(works(&mut control, "ls -A /var && ls -A /var/lib"), "lib\ntmp\ndpkg");
    for empty in ["/mnt", "/media", "/srv"] {
        assert_eq!(works(&mut control, &format!("ls -A {empty}")), "");
    }
    for masked in ["kcore", "keys", "timer_list", "sysrq-trigger", "kallsyms"] {
        assert_eq!(
            works(&mut control, &format!("head -c 1 /proc/{masked} 2>/dev/null | wc -c")),
            "0"
        );
    }
    // Of the host's processes not one is seen: only process 1, the shell and what it runs.
    let seen = works(&mut control, "ls -d /proc/[0-9]* | wc -l");
    assert!(seen.parse::<u32>().unwrap() <= 5, "{seen}");
    sandbox.destroy().unwrap();
}

#[test]
fn nothing_of_the_machine_can_be_changed() {
    let (_ground, sandbox, mut control) = inside();
    for command in [
        "echo x > /usr/x",
        "echo x > /etc/passwd",
        "echo x > /x",
        "mkdir /custody/x",
        "echo x > /dev/x",
        "rm /custody/control.sock",
        "echo x > /custody/init",
        "touch /custody/objects/x",
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw /",
        "umount /usr",
        "umount /proc/sys",
        "unshare -U true",
        "unshare -Ur true",
        "unshare -m true",
        "unshare -n true",
        "mknod /tmp/x c 1 3",
        "chroot /tmp true",
        "hostname other",
        "echo 1 > /proc/sys/kernel/sysrq",
        "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start",
        "echo b > /proc/sysrq-trigger && test -s /proc/sysrq-trigger",
        "ip link set lo down 2>/dev/null || /sbin/ifconfig lo down",
        "ip link add dummy0 type dummy 2>/dev/null || /sbin/ifconfig dummy0 up",
        "cp /bin/sh /tmp/s && chmod u+s /tmp/s && /tmp/s -p -c 'test $(id -u) = 0'",
        "su -c true",
        "perl -e '$< = 0; $> = 0; exit($> == 0 ? 0 : 1)'",
        "perl -e '$> = 1001; exit($> == 1001 ? 0 : 1)'",
    ] {
        refused(&mut control, command);
    }
    sandbox.destroy().unwrap();
}

#[test]
fn process_1_is_out_of_reach_of_what_it_runs() {
    let (_ground, mut sandbox, mut control) = inside();
    assert_eq!(control.order(&["trace"]), format!("code {}", libc::EPERM));
    // Signals from inside never kill process 1.
    sh(&mut control, "kill -9 1; kill -TERM 1");
    assert_eq!(control.order(&["echo", "alive"]), "alive");
    refused(&mut control, "cat /custody/init");
    let status = fs::read_to_string(format!("/proc/{}/status", sandbox.pid().unwrap())).unwrap();
    for wanted in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Uid:\t2000001000\t2000001000\t2000001000\t2000001000",
        // SIGPIPE alone, which the stub's own runtime ignores.
        "SigIgn:\t0000000000001000",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.contains(wanted), "{wanted:?} is not in {status}");
    }
    let fds = fs::read_dir(format!("/proc/{}/fd", sandbox.pid().unwrap())).unwrap().count();
    // The three streams, and the stub's control socket twice.
    assert_eq!(fds, 5);
    control.say(&["complain", "a", "word"]);
    control.say(&["exit", "0"]);
    let exit = sandbox.wait(std::time::Duration::from_secs(30)).unwrap().unwrap();
    assert_eq!(exit.messages, "a word\n");
    sandbox.destroy().unwrap();
}

#[test]
fn the_network_is_loopback_and_nothing_else() {
    let (_ground, sandbox, mut control) = inside();
    assert_eq!(works(&mut control, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo");
    let connect = |address: &str, port: u16| {
        format!(
            "perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new(PeerAddr => \"{address}\", \
             PeerPort => {port}, Timeout => 2) ? 0 : 1)'"
        )
    };
    refused(&mut control, &connect("192.0.2.1", 443));
    // A low port can be bound, as init's name server does, and be reached.
    works(
        &mut control,
        "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", \
         LocalPort => 53, Listen => 1) or exit 1; \
         exit(IO::Socket::INET->new(PeerAddr => \"127.0.0.1\", PeerPort => 53) ? 0 : 2)'",
    );
    sandbox.destroy().unwrap();
}

#[test]
fn mounts_below_the_workspace_come_along_and_privileges_do_not() {
    let (real, room) = (Real::new(), Room::new());
    let spec = real.spec(&room);
    let guarded = room.path("workspace/guarded");
    fs::create_dir(&guarded).unwrap();
    nix::mount::mount(
        Some("tmpfs"),
        &guarded,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("mode=0755"),
    )
    .unwrap();
    fs::write(guarded.join("seen"), "by the mount").unwrap();
    let (sandbox, mut control) = real.run(&room, spec);
    nix::mount::umount2(&guarded, nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(works(&mut control, "cat /workspace/guarded/seen"), "by the mount");
    let options = works(&mut control, "grep ' /workspace/guarded ' /proc/self/mountinfo");
    assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
    refused(&mut control, "mv /workspace/guarded /workspace/other");
    sandbox.destroy().unwrap();
}

#[test]
fn a_toolchain_from_elsewhere_can_be_read_and_not_written() {
    let (real, room) = (Real::new(), Room::new());
    // As in a home directory that nobody else may enter.
    let home = room.path("home");
    fs::create_dir_all(home.join("tool/bin")).unwrap();
    fs::write(home.join("tool/bin/tool"), "#!/bin/sh\necho works\n").unwrap();
    fs::set_permissions(home.join("tool/bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = real.spec(&room);
    for inside in ["/toolchain", "/home/agent/.tool"] {
        spec.extra_read_only.push(ExtraBind { host: home.join("tool"), inside: inside.into() });
    }
    let (sandbox, mut control) = real.run(&room, spec);
    assert_eq!(works(&mut control, "/toolchain/bin/tool"), "works");
    assert_eq!(works(&mut control, "~agent/.tool/bin/tool"), "works");
    refused(&mut control, "echo x > /toolchain/bin/x");
    works(&mut control, "echo x > ~agent/x");
    sandbox.destroy().unwrap();
}

#[test]
fn a_disk_limit_holds_for_all_scratch_space_together() {
    let (real, room) = (Real::new(), Room::new());
    let mut spec = real.spec(&room);
    spec.limits.disk_bytes = Some(4 << 20);
    let (sandbox, mut control) = real.run(&room, spec);
    works(&mut control, "head -c 3000000 /dev/zero > /tmp/a");
    refused(&mut control, "head -c 3000000 /dev/zero > /home/agent/b");
    sandbox.destroy().unwrap();
}

#[test]
fn an_image_is_the_root_and_its_links_lead_nowhere_else() {
    let (real, room) = (Real::new(), Room::new());
    let image = room.path("image");
    for name in ["etc", "usr/bin", "usr/lib", "var/tmp", "root"] {
        fs::create_dir_all(image.join(name)).unwrap();
    }
    fs::write(image.join("etc/shadow"), "root:secret").unwrap();
    fs::write(image.join("etc/motd"), "an image").unwrap();
    fs::write(image.join("root/secret"), "no").unwrap();
    // Links that would lead to the machine's own files while the host is in sight.
    symlink("/root", image.join("home-of-root")).unwrap();
    symlink("/var/log", image.join("logs")).unwrap();
    for link in ["bin", "lib", "lib64", "sbin"] {
        let target = fs::read_link(Path::new("/").join(link)).unwrap_or_else(|_| link.into());
        symlink(target, image.join(link)).unwrap();
    }
    // The machine's own programs as an image: a bind mount below it comes along.
    nix::mount::mount(
        Some("/usr"),
        &image.join("usr"),
        None::<&str>,
        nix::mount::MsFlags::MS_BIND | nix::mount::MsFlags::MS_REC,
        None::<&str>,
    )
    .unwrap();
    let mut spec = real.spec(&room);
    spec.root = Root::Directory(image.clone());
    let (sandbox, mut control) = real.run(&room, spec);
    nix::mount::umount2(&image.join("usr"), nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(works(&mut control, "cat /etc/motd"), "an image");
    assert_eq!(works(&mut control, "id -un"), "agent");
    refused(&mut control, "test -e /etc/shadow");
    refused(&mut control, "ls /root");
    refused(&mut control, "ls /logs/");
    refused(&mut control, "echo x > /etc/motd");
    works(&mut control, "echo x > /var/tmp/x && echo x > /tmp/x");
    sandbox.destroy().unwrap();
}

#[test]
fn processor_time_is_limited() {
    let (real, room) = (Real::new(), Room::new());
    let mut spec = real.spec(&room);
    spec.limits.cpu_millicores = Some(100);
    let (sandbox, mut control) = real.run(&room, spec);
    let before = sandbox.usage().unwrap().cpu_micros.unwrap();
    sh(&mut control, "timeout 2 sh -c 'while :; do :; done'");
    let used = sandbox.usage().unwrap().cpu_micros.unwrap() - before;
    // A tenth of two seconds, and generously more; without a limit it would be about two seconds.
    assert!(used < 600_000, "{used} microseconds");
    assert!(sandbox.protections()["cpu_limit"].starts_with("100 millicores"));
    sandbox.destroy().unwrap();
}
