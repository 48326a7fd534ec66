//! Classic BPF for seccomp, as far as the filter needs it (`seccomp(2)`, `linux/filter.h`).

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    sock_filter,
};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What a filter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    /// Ask the listener.
    Notify,
    Errno(libc::c_int),
    KillProcess,
}

impl Action {
    fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | (errno as u32 & 0xffff),
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | condition | BPF_K) as u16, jt, jf, k }
}

pub(crate) fn ret(action: Action) -> sock_filter {
    statement(BPF_RET | BPF_K, action.value())
}

pub(crate) fn load_number() -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, NUMBER)
}

pub(crate) fn load_architecture() -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, ARCHITECTURE)
}

/// Low half of argument `n` (x86_64 is little endian).
pub(crate) fn load_low(n: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, ARGUMENTS + 8 * n)
}

/// High half of argument `n`.
pub(crate) fn load_high(n: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, ARGUMENTS + 8 * n + 4)
}

pub(crate) fn and(mask: u32) -> sock_filter {
    statement(BPF_ALU | BPF_AND | BPF_K, mask)
}

/// Goes on after `skip` instructions unless what is loaded is `k`.
pub(crate) fn unless_equal(k: u32, skip: u8) -> sock_filter {
    jump(BPF_JEQ, k, 0, skip)
}

/// Goes on after `skip` instructions unless what is loaded is at least `k`.
pub(crate) fn unless_at_least(k: u32, skip: u8) -> sock_filter {
    jump(BPF_JGE, k, 0, skip)
}

/// Goes on after `n` instructions.
pub(crate) fn skip(n: u32) -> sock_filter {
    statement(BPF_JMP | BPF_JA, n)
}

/// Runs a program as the kernel would; for tests of what a filter answers.
#[cfg(test)]
pub(crate) fn run(
    program: &[sock_filter],
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(architecture.to_le_bytes());
    data.extend([0; 8]);
    for argument in arguments {
        data.extend(argument.to_le_bytes());
    }
    let (mut at, mut loaded) = (0, 0_u32);
    loop {
        let i = program[at];
        at += 1;
        let code = u32::from(i.code);
        if code == BPF_RET | BPF_K {
            return i.k;
        } else if code == BPF_LD | BPF_W | BPF_ABS {
            let k = i.k as usize;
            loaded = u32::from_le_bytes(data[k..k + 4].try_into().unwrap());
        } else if code == BPF_ALU | BPF_AND | BPF_K {
            loaded &= i.k;
        } else if code == BPF_JMP | BPF_JA {
            at += i.k as usize;
        } else {
            let holds = if code == BPF_JMP | BPF_JEQ | BPF_K {
                loaded == i.k
            } else {
                assert_eq!(code, BPF_JMP | BPF_JGE | BPF_K, "an instruction that is not made here");
                loaded >= i.k
            };
            at += usize::from(if holds { i.jt } else { i.jf });
        }
    }
}
