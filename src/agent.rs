//! The agent. Not part of this build yet: the call site for `sluis agent`.

use crate::config::AgentConfig;

/// The agent is not part of this build.
#[derive(Debug, thiserror::Error)]
#[error("not built yet")]
pub struct AgentError;

/// Serves until `shutdown` is ready.
///
/// # Errors
/// Always, in this build.
pub async fn run(_config: AgentConfig, _shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    Err(AgentError)
}
