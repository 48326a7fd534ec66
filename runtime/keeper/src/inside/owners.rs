//! Which process a local port of the sandbox belongs to, so that the proxy and the name server can name it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use custody_record::event::Transport;

/// Ports that are remembered; the oldest is forgotten first.
const MAX_PORTS: usize = 8192;

/// Local ports and the processes that connected from them.
#[derive(Debug, Default)]
pub struct PortOwners {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    owners: HashMap<(Transport, u16), u32>,
    order: VecDeque<(Transport, u16)>,
}

impl PortOwners {
    /// `pid` has connected from `port`.
    pub fn set(&self, transport: Transport, port: u16, pid: u32) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.owners.insert((transport, port), pid).is_some() {
            return;
        }
        inner.order.push_back((transport, port));
        if inner.order.len() > MAX_PORTS
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.owners.remove(&oldest);
        }
    }

    /// Who connected last from `port`.
    #[must_use]
    pub fn get(&self, transport: Transport, port: u16) -> Option<u32> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.owners.get(&(transport, port)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_process_at_a_port_is_its_owner_and_memory_is_bounded() {
        let owners = PortOwners::default();
        owners.set(Transport::Tcp, 1, 10);
        owners.set(Transport::Tcp, 1, 11);
        assert_eq!(owners.get(Transport::Tcp, 1), Some(11));
        assert_eq!(owners.get(Transport::Udp, 1), None);
        for port in 2..=u16::try_from(MAX_PORTS).unwrap() + 1 {
            owners.set(Transport::Tcp, port, 12);
        }
        assert_eq!(owners.get(Transport::Tcp, 1), None);
        assert_eq!(owners.get(Transport::Tcp, 2), Some(12));
    }
}
