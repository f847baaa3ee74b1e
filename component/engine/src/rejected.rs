//! The heads of refused requests, available right after the refusal, for logging.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::ConnectionId;
use crate::head::Head;

/// How many heads are kept per turn. Nobody would read more log lines at once.
const MAX_HEADS: usize = 16;

/// The first few of the last turn that had any refusals.
#[derive(Debug, Default)]
pub(crate) struct RejectedHeads {
    turn: u64,
    heads: Vec<(ConnectionId, Arc<Head>)>,
}

impl RejectedHeads {
    pub(crate) fn push(&mut self, turn: u64, id: ConnectionId, head: &Arc<Head>) {
        if self.turn != turn {
            self.turn = turn;
            self.heads.clear();
        }
        if self.heads.len() < MAX_HEADS {
            self.heads.push((id, Arc::clone(head)));
        }
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Arc<Head>> {
        self.heads.iter().find(|(of, _)| *of == id).map(|(_, head)| head)
    }
}
