//! The system call filter: what the command and all that descends from it may ask of the kernel.
//!
//! An allow-list no wider than Docker's default profile is for a container without capabilities, on x86_64 alone. The calls
//! that begin something the record must tell (another program, a connection, a send to an address) wait for the keeper.
//! `ptrace` is allowed, as Docker does: debuggers are a developer's tool, and it reaches only processes behind the
//! same walls. What is not in the table is refused with `EPERM`, or with `ENOSYS` where programs then fall back.

use std::os::fd::{FromRawFd, OwnedFd};

use custody_init::protocol::WatchNames;
use libc::c_long;
use nix::errno::Errno;

use crate::bpf::{
    Action, and, load_architecture, load_high, load_low, load_number, ret, skip, unless_at_least,
    unless_equal,
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the table of system calls is for x86_64");

/// `AUDIT_ARCH_X86_64` of linux/audit.h.
const X86_64: u32 = 0xc000_003e;
/// Calls of the x32 interface have this bit.
const X32: u32 = 0x4000_0000;
/// The last call that the table knows; what came later answers `ENOSYS`, as on an older kernel.
const LAST_KNOWN: c_long = FUTEX_REQUEUE;
/// All of the `CLONE_NEW…` flags that clone(2) takes.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

// Calls of newer kernels that libc 0.2 does not name for x86_64.
const IO_PGETEVENTS: c_long = 333;
const CACHESTAT: c_long = 451;
const MAP_SHADOW_STACK: c_long = 453;
const FUTEX_WAKE: c_long = 454;
const FUTEX_WAIT: c_long = 455;
const FUTEX_REQUEUE: c_long = 456;

/// Wait for the keeper. `sendto` only with an address: see [`program`].
const NOTIFIED: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_connect,
    // Their address is in memory, where a filter can't look.
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

/// Wait for the keeper as well where moves are watched.
const NOTIFIED_MOVES: &[c_long] =
    &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_link, libc::SYS_linkat];

/// Wait for the keeper as well where all calls on names are watched.
const NOTIFIED_REMOVALS: &[c_long] = &[libc::SYS_unlink, libc::SYS_unlinkat, libc::SYS_rmdir];

/// Refused so that programs fall back to something that the filter can judge.
const NOT_THERE: &[c_long] = &[
    // Its flags are in memory; C libraries fall back to clone.
    libc::SYS_clone3,
    // It would do reads, sends and connects behind the filter's back.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Address families of sockets; of them, only loopback has somebody to answer.
const FAMILIES: &[libc::c_int] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Execution domains: Linux and the 32-bit flags that Docker allows, and the question which one it is.
const PERSONALITIES: &[u32] = &[0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Allowed whatever the arguments, by what they are about.
const ALLOWED: &[&[c_long]] = &[
    FILES,
    DIRECTORIES,
    ATTRIBUTES,
    WAITING,
    MEMORY,
    PROCESSES,
    SIGNALS,
    TIME,
    SOCKETS,
    IDENTITY,
    SYSTEM,
];

#[rustfmt::skip]
const FILES: &[c_long] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64,
    libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2,
    libc::SYS_pwritev2, libc::SYS_open, libc::SYS_openat, libc::SYS_openat2, libc::SYS_creat,
    libc::SYS_close, libc::SYS_close_range, libc::SYS_lseek, libc::SYS_dup, libc::SYS_dup2,
    libc::SYS_dup3, libc::SYS_fcntl, libc::SYS_ioctl, libc::SYS_flock, libc::SYS_fsync,
    libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range,
    libc::SYS_truncate, libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fadvise64,
    libc::SYS_readahead, libc::SYS_sendfile, libc::SYS_copy_file_range, libc::SYS_splice,
    libc::SYS_tee, libc::SYS_vmsplice, libc::SYS_pipe, libc::SYS_pipe2, libc::SYS_memfd_create,
    libc::SYS_memfd_secret, libc::SYS_io_setup, libc::SYS_io_destroy, libc::SYS_io_getevents,
    IO_PGETEVENTS, libc::SYS_io_submit, libc::SYS_io_cancel, CACHESTAT,
];

#[rustfmt::skip]
const DIRECTORIES: &[c_long] = &[
    libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_getdents,
    libc::SYS_getdents64, libc::SYS_mkdir, libc::SYS_mkdirat, libc::SYS_rmdir, libc::SYS_mknod,
    libc::SYS_mknodat, libc::SYS_link, libc::SYS_linkat, libc::SYS_symlink, libc::SYS_symlinkat,
    libc::SYS_unlink, libc::SYS_unlinkat, libc::SYS_rename, libc::SYS_renameat,
    libc::SYS_renameat2, libc::SYS_readlink, libc::SYS_readlinkat, libc::SYS_name_to_handle_at,
    libc::SYS_inotify_init, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch, libc::SYS_fanotify_mark,
];

#[rustfmt::skip]
const ATTRIBUTES: &[c_long] = &[
    libc::SYS_stat, libc::SYS_lstat, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx,
    libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_access, libc::SYS_faccessat,
    libc::SYS_faccessat2, libc::SYS_chmod, libc::SYS_fchmod, libc::SYS_fchmodat,
    libc::SYS_fchmodat2, libc::SYS_chown, libc::SYS_lchown, libc::SYS_fchown,
    libc::SYS_fchownat, libc::SYS_umask, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat,
    libc::SYS_utimensat, libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr,
    libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_listxattr,
    libc::SYS_llistxattr, libc::SYS_flistxattr, libc::SYS_removexattr, libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
];

#[rustfmt::skip]
const WAITING: &[c_long] = &[
    libc::SYS_poll, libc::SYS_ppoll, libc::SYS_select, libc::SYS_pselect6,
    libc::SYS_epoll_create, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_epoll_ctl_old,
    libc::SYS_epoll_wait_old, libc::SYS_eventfd, libc::SYS_eventfd2, libc::SYS_futex,
    libc::SYS_futex_waitv, FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE,
    libc::SYS_get_robust_list, libc::SYS_set_robust_list, libc::SYS_membarrier, libc::SYS_rseq,
];

#[rustfmt::skip]
const MEMORY: &[c_long] = &[
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect,
    libc::SYS_madvise, libc::SYS_mincore, libc::SYS_msync, libc::SYS_mlock, libc::SYS_mlock2,
    libc::SYS_munlock, libc::SYS_mlockall, libc::SYS_munlockall, libc::SYS_remap_file_pages,
    libc::SYS_pkey_alloc, libc::SYS_pkey_free, libc::SYS_pkey_mprotect,
    MAP_SHADOW_STACK, libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmdt,
    libc::SYS_shmctl, libc::SYS_semget, libc::SYS_semop, libc::SYS_semtimedop, libc::SYS_semctl,
    libc::SYS_msgget, libc::SYS_msgsnd, libc::SYS_msgrcv, libc::SYS_msgctl, libc::SYS_mq_open,
    libc::SYS_mq_unlink, libc::SYS_mq_timedsend, libc::SYS_mq_timedreceive, libc::SYS_mq_notify,
    libc::SYS_mq_getsetattr,
];

#[rustfmt::skip]
const PROCESSES: &[c_long] = &[
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4,
    libc::SYS_waitid, libc::SYS_getpid, libc::SYS_gettid, libc::SYS_getppid, libc::SYS_getpgid,
    libc::SYS_getpgrp, libc::SYS_setpgid, libc::SYS_getsid, libc::SYS_setsid,
    libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_process_mrelease,
    libc::SYS_prctl, libc::SYS_arch_prctl, libc::SYS_modify_ldt, libc::SYS_set_thread_area,
    libc::SYS_get_thread_area, libc::SYS_set_tid_address, libc::SYS_ptrace,
    libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam, libc::SYS_sched_setparam, libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler, libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min, libc::SYS_sched_rr_get_interval, libc::SYS_sched_getattr,
    libc::SYS_sched_setattr, libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_ioprio_get,
    libc::SYS_ioprio_set, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_prlimit64,
    libc::SYS_getrusage, libc::SYS_seccomp, libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self,
];

#[rustfmt::skip]
const SIGNALS: &[c_long] = &[
    libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_pause,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_sigaltstack,
    libc::SYS_signalfd, libc::SYS_signalfd4, libc::SYS_restart_syscall,
];

#[rustfmt::skip]
const TIME: &[c_long] = &[
    libc::SYS_time, libc::SYS_times, libc::SYS_gettimeofday, libc::SYS_clock_gettime,
    libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_adjtimex,
    libc::SYS_alarm, libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_timer_create,
    libc::SYS_timer_delete, libc::SYS_timer_settime, libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun, libc::SYS_timerfd_create, libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
];

#[rustfmt::skip]
const SOCKETS: &[c_long] = &[
    libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4,
    libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_getsockname,
    libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt, libc::SYS_shutdown,
];

#[rustfmt::skip]
const IDENTITY: &[c_long] = &[
    libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
    libc::SYS_getgroups, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_setuid,
    libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid,
    libc::SYS_setresgid, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_setgroups,
    libc::SYS_capget, libc::SYS_capset,
];

const SYSTEM: &[c_long] =
    &[libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getcpu, libc::SYS_getrandom];

/// The calls that always wait for the keeper.
fn notified(names: WatchNames) -> impl Iterator<Item = c_long> {
    let (moves, removals): (&[c_long], &[c_long]) = match names {
        WatchNames::Nothing => (&[], &[]),
        WatchNames::Moves => (NOTIFIED_MOVES, &[]),
        WatchNames::All => (NOTIFIED_MOVES, NOTIFIED_REMOVALS),
    };
    NOTIFIED.iter().chain(moves).chain(removals).copied()
}

/// How many calls the program lets pass, and how many it makes wait for the keeper; those that it judges by their
/// arguments are of the latter, if they may wait.
fn counts(names: WatchNames) -> (usize, usize) {
    let waiting: Vec<c_long> = notified(names).chain([libc::SYS_sendto]).collect();
    let passing = ALLOWED.iter().copied().flatten().filter(|call| !waiting.contains(call));
    (passing.count(), waiting.len())
}

/// The program. Calls on names wait for the keeper as `names` says.
pub(crate) fn program(names: WatchNames) -> Vec<libc::sock_filter> {
    let mut program = vec![
        load_architecture(),
        // Another architecture has other numbers for the calls: its program ends here.
        unless_equal(X86_64, 1),
        skip(1),
        ret(Action::KillProcess),
        load_number(),
        unless_at_least(X32, 1),
        ret(Action::Errno(libc::ENOSYS)),
        unless_at_least(number(LAST_KNOWN) + 1, 1),
        ret(Action::Errno(libc::ENOSYS)),
    ];
    let mut rule = |call: c_long, body: &[libc::sock_filter]| {
        let length = u8::try_from(body.len()).expect("a rule is short");
        program.push(unless_equal(number(call), length));
        program.extend_from_slice(body);
    };
    for call in notified(names) {
        rule(call, &[ret(Action::Notify)]);
    }
    for call in NOT_THERE {
        rule(*call, &[ret(Action::Errno(libc::ENOSYS))]);
    }
    let to_an_address = [
        load_low(4),
        unless_equal(0, 3),
        load_high(4),
        unless_equal(0, 1),
        ret(Action::Allow),
        ret(Action::Notify),
    ];
    rule(libc::SYS_sendto, &to_an_address);
    let same_namespaces = [
        load_low(0),
        and(NEW_NAMESPACES),
        unless_equal(0, 1),
        ret(Action::Allow),
        ret(Action::Errno(libc::EPERM)),
    ];
    rule(libc::SYS_clone, &same_namespaces);
    let families = FAMILIES.iter().map(|f| f.cast_unsigned());
    rule(libc::SYS_socket, &one_of(families, libc::EAFNOSUPPORT));
    rule(libc::SYS_personality, &one_of(PERSONALITIES.iter().copied(), libc::EPERM));
    for call in ALLOWED.iter().copied().flatten() {
        rule(*call, &[ret(Action::Allow)]);
    }
    program.push(ret(Action::Errno(libc::EPERM)));
    program
}

/// Allowed if the first argument is one of these.
fn one_of(values: impl Iterator<Item = u32>, errno: libc::c_int) -> Vec<libc::sock_filter> {
    let mut body = vec![load_low(0)];
    for value in values {
        body.extend([unless_equal(value, 1), ret(Action::Allow)]);
    }
    body.push(ret(Action::Errno(errno)));
    body
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).expect("the number of a call is small and not negative")
}

/// Puts the filter around this process for good and returns its listener, and how it took. `no_new_privs` must be
/// set. From here on, an exec or connect of this process waits for whoever holds the listener.
/// `names` is what the program was made with.
pub(crate) fn install(
    program: &[libc::sock_filter],
    names: WatchNames,
) -> nix::Result<(OwnedFd, String)> {
    let described = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        filter: program.as_ptr().cast_mut(),
    };
    // With WAIT_KILLABLE_RECV (Linux 5.19) a signal does not undo a call that the keeper has begun to record.
    let best =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    for (flags, told) in [
        (best, "signals wait for the record"),
        (libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, "signals interrupt the record"),
    ] {
        // SAFETY: `described` names `program.len()` instructions, and both outlive the call.
        let raw = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const described,
            )
        };
        match Errno::result(raw) {
            Ok(raw) => {
                // SAFETY: the kernel has just made this descriptor, which fits an int; nobody else owns it.
                let listener = unsafe { OwnedFd::from_raw_fd(raw as libc::c_int) };
                let (allowed, notified) = counts(names);
                return Ok((
                    listener,
                    format!("{allowed} calls allowed, {notified} notified, {told}"),
                ));
            }
            Err(Errno::EINVAL) if flags == best => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::run;

    #[test]
    fn names_wait_for_the_keeper_only_where_they_are_watched() {
        let (all, moves) = (WatchNames::All, WatchNames::Moves);
        let (pass, wait) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_USER_NOTIF);
        for (calls, names, expected) in [
            (NOTIFIED_MOVES, WatchNames::Nothing, pass),
            (NOTIFIED_MOVES, moves, wait),
            (NOTIFIED_MOVES, all, wait),
            (NOTIFIED_REMOVALS, WatchNames::Nothing, pass),
            (NOTIFIED_REMOVALS, moves, pass),
            (NOTIFIED_REMOVALS, all, wait),
        ] {
            for call in calls {
                let answer = run(&program(names), X86_64, number(*call), [0; 6]);
                assert_eq!(answer, expected, "{call} {names:?}");
            }
        }
    }

    #[test]
    fn the_record_tells_how_many_calls_pass_and_how_many_wait() {
        for names in [WatchNames::Nothing, WatchNames::Moves, WatchNames::All] {
            let program = program(names);
            // With an address for `sendto`, and with everything else that would pass if the arguments were right.
            let answer = |call| run(&program, X86_64, call, [1, 0, 0, 0, 1, 0]);
            let waiting = (0..=number(LAST_KNOWN))
                .filter(|call| answer(*call) == libc::SECCOMP_RET_USER_NOTIF);
            let judged = [libc::SYS_clone, libc::SYS_socket, libc::SYS_personality].map(number);
            let passing = (0..=number(LAST_KNOWN))
                .filter(|call| answer(*call) == libc::SECCOMP_RET_ALLOW && !judged.contains(call));
            assert_eq!(counts(names), (passing.count(), waiting.count()), "{names:?}");
        }
    }

    fn answer(call: c_long, arguments: [u64; 6]) -> u32 {
        run(&program(WatchNames::Nothing), X86_64, number(call), arguments)
    }

    fn errno(n: libc::c_int) -> u32 {
        libc::SECCOMP_RET_ERRNO | n.cast_unsigned()
    }

    #[test]
    fn what_leaves_a_trace_waits_for_the_keeper() {
        for call in NOTIFIED {
            assert_eq!(answer(*call, [0; 6]), libc::SECCOMP_RET_USER_NOTIF, "{call}");
        }
        assert_eq!(answer(libc::SYS_sendto, [0; 6]), libc::SECCOMP_RET_ALLOW);
        for address in [1, 1 << 32, u64::MAX] {
            let arguments = [0, 0, 0, 0, address, 16];
            assert_eq!(answer(libc::SYS_sendto, arguments), libc::SECCOMP_RET_USER_NOTIF);
        }
    }

    #[test]
    fn other_architectures_are_refused() {
        let i386 = 0x4000_0003;
        assert_eq!(
            run(&program(WatchNames::Nothing), i386, 1, [0; 6]),
            libc::SECCOMP_RET_KILL_PROCESS
        );
        let x32 = X32 | number(libc::SYS_getpid);
        assert_eq!(run(&program(WatchNames::Nothing), X86_64, x32, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(
            run(&program(WatchNames::Nothing), X86_64, u32::MAX, [0; 6]),
            errno(libc::ENOSYS)
        );
    }

    #[test]
    fn new_namespaces_are_refused() {
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        let flags = |f: libc::c_int| [u64::from(f.cast_unsigned()), 0, 0, 0, 0, 0];
        assert_eq!(answer(libc::SYS_clone, flags(thread)), libc::SECCOMP_RET_ALLOW);
        for new in [
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWCGROUP,
        ] {
            assert_eq!(answer(libc::SYS_clone, flags(new | libc::SIGCHLD)), errno(libc::EPERM));
        }
        assert_eq!(answer(libc::SYS_clone3, [0; 6]), errno(libc::ENOSYS));
    }

    #[test]
    fn what_reaches_into_the_kernel_or_round_the_record_is_refused() {
        for call in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_fsopen,
            libc::SYS_fsmount,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_mount_setattr,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_open_by_handle_at,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_acct,
            libc::SYS_reboot,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_syslog,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_kcmp,
            libc::SYS_pidfd_getfd,
            libc::SYS_fanotify_init,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_sethostname,
            libc::SYS_uselib,
            libc::SYS_vhangup,
        ] {
            assert_eq!(answer(call, [0; 6]), errno(libc::EPERM), "{call}");
        }
        for call in NOT_THERE {
            assert_eq!(answer(*call, [0; 6]), errno(libc::ENOSYS), "{call}");
        }
        for later in [LAST_KNOWN + 1, 500, 100_000] {
            assert_eq!(answer(later, [0; 6]), errno(libc::ENOSYS), "{later}");
        }
    }

    #[test]
    fn sockets_are_of_four_families_and_personalities_are_few() {
        let first = |n: u64| [n, 0, 0, 0, 0, 0];
        for family in FAMILIES {
            let family = u64::from(family.cast_unsigned());
            assert_eq!(answer(libc::SYS_socket, first(family)), libc::SECCOMP_RET_ALLOW);
        }
        for family in [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG, libc::AF_BLUETOOTH] {
            let family = u64::from(family.cast_unsigned());
            assert_eq!(answer(libc::SYS_socket, first(family)), errno(libc::EAFNOSUPPORT));
        }
        assert_eq!(answer(libc::SYS_personality, first(0xffff_ffff)), libc::SECCOMP_RET_ALLOW);
        assert_eq!(answer(libc::SYS_personality, first(0x40_0000)), errno(libc::EPERM));
    }

    #[test]
    fn no_call_stands_in_the_table_twice() {
        let mut calls: Vec<_> =
            ALLOWED.iter().copied().flatten().chain(NOTIFIED).chain(NOT_THERE).collect();
        calls.sort_unstable();
        let before = calls.len();
        calls.dedup();
        assert_eq!(calls.len(), before);
    }
}
