//! What is left when this process is killed: nothing. A shell waits for the end of its standard input, which comes when
//! this process lets go of it or dies, ends the server and removes the folder.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `$1` is the folder. Processes of the server are known by where they work: its data.
const SCRIPT: &str = r#"
cat > /dev/null
data=$1/server/data
of_server() {
    found=
    for process in /proc/[0-9]*; do
        [ "$process/cwd" -ef "$data" ] && found="$found ${process#/proc/}"
    done
    [ -n "$found" ]
}
signal=QUIT
rounds=0
while of_server && [ $rounds -lt 200 ]; do
    [ $rounds -gt 100 ] && signal=KILL
    kill -s $signal $found
    sleep 0.1
    rounds=$((rounds + 1))
done
# A server that was killed and not started again has left its lock in shared memory.
set -- "$1" $(sed -n 7p "$data/postmaster.pid")
[ -n "$3" ] && ipcrm -m "$3"
rm -rf "$1"
"#;

/// The waiting shell.
pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn over(folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sh"]).arg(folder).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A Ctrl-C in the terminal must not end it before its work is done.
        command.process_group(0).spawn().map(Self)
    }

    /// Has the work done now, and waits for it.
    pub(super) fn finish(&mut self) {
        // Takes the last end of the pipe away; there is nothing to do about a shell that was killed.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How many processes work in a folder.
pub(super) fn processes_in(folder: &Path) -> usize {
    let works_there = |entry: &fs::DirEntry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
    fs::read_dir("/proc").into_iter().flatten().flatten().filter(works_there).count()
}
