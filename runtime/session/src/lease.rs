//! Leases: this instance renews those of the sessions that it looks after, and takes over those of dead instances.

use std::sync::Arc;
use std::sync::PoisonError;

use custody_model::SessionId;
use custody_model::error::chain;
use custody_store::{Holder, Room, Taken};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

/// The states in which a session takes room.
pub(crate) const LIVING: &[&str] = &["provisioning", "running", "paused", "stopping"];

/// The name of this process as a holder of leases: pid and start time tell it from every other one on this machine.
#[must_use]
pub fn this_process() -> Holder {
    let pid = std::process::id();
    Holder::new(format!("{}/{pid}/{}", host(), started(pid).unwrap_or_default()))
}

fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "localhost".to_owned()).replace('/', "-")
}

/// The start time of a process in clock ticks since boot (proc(5), field 22 of stat).
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

/// Whether a holder is a process of this machine that is gone.
fn is_dead(holder: &Holder) -> bool {
    let mut parts = holder.as_str().rsplitn(3, '/');
    let (Some(start), Some(pid), Some(of)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    of == host()
        && pid.parse::<u32>().is_ok_and(|pid| started(pid).is_none_or(|found| found != start))
}

impl Orchestrator {
    /// Renews this instance's leases until the process ends, and looks for sessions that nobody looks after any more.
    pub(crate) async fn keep_leases(self: &Arc<Self>) {
        let period = self.options().lease / 3;
        while self.sleep(period).await {
            if let Err(error) = self.renew().await {
                tracing::error!(error = %chain(&error), "leases can't be renewed");
            }
            if let Err(error) = self.adopt().await {
                tracing::error!(error = %chain(&error), "sessions without an owner can't be looked after");
            }
        }
        let own: Vec<SessionId> =
            self.followed.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for session in own {
            // Who comes next need not wait until it runs out, and its place stays counted.
            let _said = self.expire(session).await;
        }
    }

    async fn renew(&self) -> Result<(), SessionError> {
        let own: Vec<SessionId> =
            self.followed.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for session in own {
            let row = self.row(session).await?;
            let now = self.plane().now();
            let lease = self.lease_of(&row, now);
            match self.plane().store().lease(&lease, now, &Room::ENDLESS).await? {
                Taken::Taken => {}
                Taken::Held | Taken::Full => {
                    tracing::error!(%session, "another instance took the session's lease over");
                }
            }
        }
        Ok(())
    }

    /// Lets this instance's lease of a session run out now.
    async fn expire(&self, session: SessionId) -> Result<(), SessionError> {
        let row = self.row(session).await?;
        let now = self.plane().now();
        let mut lease = self.lease_of(&row, now);
        lease.until = now;
        self.plane().store().lease(&lease, now, &Room::ENDLESS).await?;
        Ok(())
    }

    pub(crate) async fn release(&self, session: SessionId) {
        if let Err(error) = self.plane().store().release(session, self.holder()).await {
            tracing::error!(%session, error = %chain(&error), "a lease can't be given back");
        }
    }

    /// Gives back the leases of instances that died on this machine. Leases of sessions that are over go as well.
    pub(crate) async fn bury_holders(&self) -> Result<(), SessionError> {
        for lease in self.plane().store().leases().await? {
            let row = self.plane().store().session(lease.session).await?;
            let over = row.is_none_or(|row| row.state.is_final());
            let own = lease.holder == *self.holder();
            if is_dead(&lease.holder) || (over && own && self.followed(lease.session).is_none()) {
                self.plane().store().release(lease.session, &lease.holder).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_dead_when_its_process_is_gone_or_another_one() {
        let own = this_process();
        assert!(!is_dead(&own));
        let (rest, _) = own.as_str().rsplit_once('/').unwrap();
        assert!(is_dead(&Holder::new(format!("{rest}/1"))), "the pid is another process's now");
        assert!(!is_dead(&Holder::new("elsewhere/1/1")), "of other machines nothing is known");
        assert!(!is_dead(&Holder::new("x")));
    }
}
