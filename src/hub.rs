//! The hub. Not part of this build yet: the call site for `sluis hub`.

use crate::config::HubConfig;

/// The hub is not part of this build.
#[derive(Debug, thiserror::Error)]
#[error("not built yet")]
pub struct HubError;

/// Serves until `shutdown` is ready.
///
/// # Errors
/// Always, in this build.
pub async fn run(_config: HubConfig, _shutdown: impl Future<Output = ()>) -> Result<(), HubError> {
    Err(HubError)
}
