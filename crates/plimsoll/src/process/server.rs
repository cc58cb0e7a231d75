//! A listener beside the data plane: for operations, or the console.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use plimsoll_console::{ConsoleOptions, Control, serve_console, serve_ops};
use tokio::task::JoinHandle;

use crate::exit::with_causes;
use crate::launch::side_listener;
use crate::view::View;

/// A server of the control thread.
pub(super) struct Server {
    pub(super) configured: SocketAddr,
    pub(super) listener: TcpListener,
    pub(super) task: JoinHandle<()>,
}

impl Server {
    pub(super) fn ops(
        configured: SocketAddr,
        listener: TcpListener,
        view: &Arc<View>,
    ) -> std::io::Result<Self> {
        let (copy, control) = (listener.try_clone()?, Arc::clone(view) as Arc<dyn Control>);
        let task = tokio::spawn(async move {
            if let Err(error) = serve_ops(copy, control).await {
                tracing::error!(%error, "the ops endpoints have stopped");
            }
        });
        Ok(Self {
            configured,
            listener,
            task,
        })
    }

    pub(super) fn console(
        configured: SocketAddr,
        listener: TcpListener,
        view: &Arc<View>,
    ) -> std::io::Result<Self> {
        let (copy, control) = (listener.try_clone()?, Arc::clone(view) as Arc<dyn Control>);
        let options = ConsoleOptions {
            hosts: Vec::new(),
            turns: view.turns.clone(),
        };
        let task = tokio::spawn(async move {
            if let Err(error) = serve_console(copy, control, options).await {
                tracing::error!(%error, "the console has stopped");
            }
        });
        Ok(Self {
            configured,
            listener,
            task,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.configured)
    }

    /// A new listener, if the address has changed.
    pub(super) fn changed(&self, configured: SocketAddr) -> Result<Option<TcpListener>, String> {
        if configured == self.configured {
            return Ok(None);
        }
        side_listener(configured, None)
            .map(Some)
            .map_err(|error| with_causes(&error))
    }
}
