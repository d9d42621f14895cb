//! First in line: a machine that does other things as well gives its cores to the run while it lasts.
//!
//! Linux shares CPU between sessions before it looks at processes, so a run is a session of its own, and asks for the
//! highest weight there is. Whoever may not ask measures beside everybody else; the control tells whether that will do.

use std::process::{ExitCode, Stdio};

use tokio::process::Command;

use crate::Failed;

/// The role of the conductor within its own session.
pub(crate) const CONDUCTOR: &str = "conduct";

/// Sets the weight and becomes the program.
const FIRST: &str = r#"echo -19 2>/dev/null >/proc/self/autogroup; exec "$@""#;

/// Conducts in a session of its own. That session ends with this process: its standard input is this process's to hold.
pub(crate) async fn conduct() -> Result<ExitCode, Failed> {
    let mut command = Command::new("setsid");
    command
        .args(["--wait", "bash", "-c", FIRST, "bash"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1));
    let mut child = command.args(["--role", CONDUCTOR]).stdin(Stdio::piped()).spawn()?;
    let _held = child.stdin.take();
    let status = child.wait().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(2)))
}
