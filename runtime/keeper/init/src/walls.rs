//! Limits and privileges of the command's process.

use custody_init::protocol::{Resource, Rlimit, Step};
use nix::errno::Errno;
use nix::sys::resource::{self, getrlimit, setrlimit};

use crate::failure::{Failure, Try};

/// Sets the limits; a hard limit is never above the one that holds already, which would need a privilege.
pub(crate) fn limit(limits: &[Rlimit]) -> Result<String, Failure> {
    let mut told = Vec::new();
    for limit in limits {
        let resource = match limit.resource {
            Resource::Core => resource::Resource::RLIMIT_CORE,
            Resource::FileSize => resource::Resource::RLIMIT_FSIZE,
            Resource::OpenFiles => resource::Resource::RLIMIT_NOFILE,
            Resource::LockedMemory => resource::Resource::RLIMIT_MEMLOCK,
            Resource::Stack => resource::Resource::RLIMIT_STACK,
        };
        let (_, most) = getrlimit(resource).or_fail(Step::Rlimits, "getrlimit")?;
        let hard = limit.hard.min(most);
        let soft = limit.soft.min(hard);
        setrlimit(resource, soft, hard)
            .or_fail(Step::Rlimits, &format!("setrlimit {resource:?}"))?;
        told.push(format!("{resource:?}={soft}:{hard}"));
    }
    Ok(told.join(" "))
}

/// `struct __user_cap_header_struct` and two `__user_cap_data_struct`s of `capget(2)`, version 3.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Drops every capability and the way to get one by exec.
pub(crate) fn drop_privileges() -> Result<(), Failure> {
    let step =
        |what: &'static str| move |r: nix::Result<libc::c_int>| r.or_fail(Step::Privileges, what);
    // SAFETY: prctl takes integers only here.
    let done =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    step("PR_CAP_AMBIENT_CLEAR_ALL")(Errno::result(done))?;
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: the kernel reads a header and two structs of three words each, which outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    Errno::result(done).map(|_| 0).or_fail(Step::Privileges, "capset")?;
    nix::sys::prctl::set_no_new_privs().or_fail(Step::Privileges, "PR_SET_NO_NEW_PRIVS")
}
