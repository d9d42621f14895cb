//! The keyholder. Not part of this build yet: the call site for `sluis keyholder`.

use crate::config::KeyholderConfig;

/// The keyholder is not part of this build.
#[derive(Debug, thiserror::Error)]
#[error("not built yet")]
pub struct KeyholderError;

/// Serves until `shutdown` is ready.
///
/// # Errors
/// Always, in this build.
pub async fn run(_config: KeyholderConfig, _shutdown: impl Future<Output = ()>) -> Result<(), KeyholderError> {
    Err(KeyholderError)
}
