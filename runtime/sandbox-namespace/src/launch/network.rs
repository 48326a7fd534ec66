//! The one network interface of a sandbox: loopback.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::step::{During, Failure};

/// Brings loopback up, and lets init bind low ports on it (its name server listens on 127.0.0.1:53).
///
/// Needs `/proc` of this pid namespace, with `/proc/sys` still writable.
pub(crate) fn bring_loopback_up() -> Result<(), Failure> {
    let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .during(|| "open a socket for loopback".to_owned())?;
    // SAFETY: an ifreq of zeros is valid: an empty name and a zero union.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(up).during(|| "name the flags".to_owned())?;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result = unsafe {
        libc::ioctl(control.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request))
    };
    if result < 0 {
        return Err(io::Error::last_os_error()).during(|| "bring loopback up".to_owned());
    }
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
        .during(|| "open the low ports of loopback".to_owned())
}
