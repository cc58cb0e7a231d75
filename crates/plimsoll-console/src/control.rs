//! What the process offers to whoever asks from outside.

use std::pin::Pin;
use std::sync::Arc;

use plimsoll_measure::{Format, Snapshot};

/// The end of a reload: a sentence for the operator, either way.
pub type ReloadFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// The process, as seen by the servers of this crate. Called on the control thread: none of it may block.
pub trait Control: Send + Sync + 'static {
    /// The latest picture.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// All metrics, as of now.
    fn metrics(&self, format: Format) -> String;

    /// What is known of a request by its id or its trace's, as JSON; of the latest that were bad or slow, and of a sample.
    /// Reads up to 16 MiB: not to be called where a wait matters.
    fn request(&self, id: &str) -> Option<String>;

    /// Whether new requests are welcome; if not, why.
    ///
    /// # Errors
    /// The reason, for the operator.
    fn ready(&self) -> Result<(), String>;

    /// Reads the configuration again and puts it in force. An invalid one is refused, and the old one stays.
    fn reload(&self) -> ReloadFuture;
}
