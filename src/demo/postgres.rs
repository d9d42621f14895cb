//! A throwaway PostgreSQL for the demo, tests and benchmarks: a cluster of its own in a temporary folder, reached over
//! TLS on loopback only, and gone without a trace afterwards.
//!
//! ```text
//! ca/              the CA of its server certificate; anchors.pem is the `sslrootcert` of every URL
//! hub.password     of the role sluis_hub, as `[store] password_file` wants it; likewise owner.password
//! pgpass           the passwords of all roles, for psql (PGPASSFILE)
//! server/          what the server may read: data/, its certificate and key, its log
//! ```
//!
//! All of it blocks: from asynchronous code, start it with `spawn_blocking`.

mod guard;
mod programs;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::ports::Ports;
use crate::ca::profile::alternative;
use crate::ca::{Authority, CaError, DEFAULT_DAYS, Profile};
use crate::clock::{Clock as _, SystemClock};
use crate::identity::certificate::Environment;
use guard::Guard;
use programs::Programs;

/// The database that every cluster has.
pub const DATABASE: &str = "sluis";
/// Owns the databases and their schema.
const OWNER: &str = "sluis_owner";
/// What hubs work with.
const HUB: &str = "sluis_hub";
/// Made by `initdb`; for [`Cluster::sql`] alone.
const SUPERUSER: &str = "postgres";
/// How long the server may take to start (with recovery) or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it did.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Not on this machine, or too old.
    #[error("no PostgreSQL {} or later on this machine: apt-get install postgresql", programs::OLDEST)]
    Absent,
    /// Its server refuses to run as root.
    #[error("PostgreSQL does not run as root, and this machine has neither a user `postgres` nor a user `nobody`")]
    Account,
    /// The server's certificate.
    #[error("can't make PostgreSQL's certificate")]
    Certificate(#[from] CaError),
    /// One of its programs failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// Its own words.
        said: String,
    },
    /// A file, a port or a process.
    #[error("can't make {what}")]
    Io {
        /// What was to be made.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server did not come up.
    #[error("PostgreSQL does not start; its log:\n{0}")]
    NotReady(String),
    /// The server did not go down.
    #[error("PostgreSQL does not stop")]
    NotStopped,
}

/// How a server is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends sessions and writes a checkpoint, as an operator would.
    Fast,
    /// Ends at once; the next start recovers.
    Immediate,
}

/// How to reach one database, in the terms of `[store]`.
#[derive(Debug, Clone)]
pub struct Access {
    /// `url`: as the role that hubs work with.
    pub url: String,
    /// `password_file` of that role.
    pub password_file: PathBuf,
    /// `owner_url`: as the role that owns the schema.
    pub owner_url: String,
    /// `owner_password_file` of that role.
    pub owner_password_file: PathBuf,
}

impl Access {
    /// The lines of a `[store]` section.
    pub fn to_toml(&self) -> String {
        format!(
            "url = \"{}\"\npassword_file = \"{}\"\nowner_url = \"{}\"\nowner_password_file = \"{}\"\n",
            self.url,
            self.password_file.display(),
            self.owner_url,
            self.owner_password_file.display()
        )
    }
}

/// A running cluster, or one that was killed or stopped and can be started again. Dropping it ends the server and removes
/// the folder; so does the end of this process, however it ends.
pub struct Cluster {
    guard: Guard,
    folder: PathBuf,
    programs: Programs,
    ports: Ports,
    postmaster: Option<Child>,
}

impl Cluster {
    /// Makes and starts a cluster with the database [`DATABASE`], still empty.
    ///
    /// # Errors
    /// No PostgreSQL on this machine, or one that does not start.
    pub fn start() -> Result<Self, PostgresError> {
        let programs = Programs::find()?;
        let folder = std::env::temp_dir().join(format!("sluis-postgres-{}", Uuid::new_v4().simple()));
        make_directory(&folder, 0o711)?;
        let guard = Guard::over(&folder).map_err(failed("the process that cleans up"))?;
        let ports = Ports::free(1).map_err(failed("a free port"))?;
        let mut cluster = Self { guard, folder, programs, ports, postmaster: None };
        let [hub, owner, superuser] = cluster.make_passwords()?;
        cluster.make_data(&superuser)?;
        cluster.make_certificate()?;
        cluster.configure()?;
        cluster.launch()?;
        cluster.sql(
            SUPERUSER,
            &format!(
                "CREATE ROLE {OWNER} LOGIN PASSWORD '{owner}';\nCREATE ROLE {HUB} LOGIN PASSWORD '{hub}';\n\
                 REVOKE ALL ON DATABASE {SUPERUSER}, template1 FROM PUBLIC;\nGRANT pg_checkpoint TO {OWNER};\n"
            ),
        )?;
        cluster.make_database(DATABASE)?;
        Ok(cluster)
    }

    /// How to reach [`DATABASE`].
    pub fn access(&self) -> Access {
        self.access_to(DATABASE)
    }

    /// One more database, empty, for a test of its own.
    ///
    /// # Errors
    /// A server that does not run.
    pub fn new_database(&self) -> Result<Access, PostgresError> {
        let name = format!("sluis_{}", Uuid::new_v4().simple());
        self.make_database(&name)?;
        Ok(self.access_to(&name))
    }

    /// Runs statements as the superuser and returns what they answer: a line per row, columns separated by `|`.
    ///
    /// # Errors
    /// A server that does not run or refuses.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, PostgresError> {
        let output = self.psql(&self.url(SUPERUSER, database), statements)?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status.success() { Ok(text) } else { Err(said("psql", &output)) }
    }

    /// Where the server listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports.numbers().first().copied().unwrap_or_default()
    }

    /// Passwords of all roles, for psql: `PGPASSFILE=… psql URL`.
    pub fn pgpass(&self) -> PathBuf {
        self.folder.join("pgpass")
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.server("log")).unwrap_or_default()
    }

    /// Kills the server (SIGKILL) and waits until its sessions have noticed. Nothing if it does not run.
    ///
    /// # Errors
    /// A process that can't be killed.
    pub fn kill(&mut self) -> Result<(), PostgresError> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        postmaster.kill().and_then(|()| postmaster.wait()).map_err(failed("an end of PostgreSQL"))?;
        // Its children are nobody's now; while one of them lives, the data can't be opened again.
        wait_until(|| Ok(guard::processes_in(&self.data()) == 0))?.then_some(()).ok_or(PostgresError::NotStopped)
    }

    /// Stops the server and waits for it. Nothing if it does not run.
    ///
    /// # Errors
    /// A server that does not stop within a minute.
    pub fn stop(&mut self, how: Stop) -> Result<(), PostgresError> {
        let Some(postmaster) = &mut self.postmaster else { return Ok(()) };
        let mut gone = || {
            let status = postmaster.try_wait().map_err(failed("an end of PostgreSQL"))?;
            Ok::<_, PostgresError>(status.is_some())
        };
        if gone()? {
            self.postmaster = None;
            return Ok(());
        }
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        let mut command = self.programs.of_server("pg_ctl");
        command.args(["stop", "--no-wait", "--mode", mode, "--pgdata"]).arg(self.folder.join("server/data"));
        let output = command.output().map_err(failed("pg_ctl"))?;
        if !output.status.success() {
            return Err(said("pg_ctl", &output));
        }
        if !wait_until(gone)? {
            return Err(PostgresError::NotStopped);
        }
        self.postmaster = None;
        Ok(())
    }

    /// Starts the server on the same data and port; stops it before, if it runs.
    ///
    /// # Errors
    /// A server that does not start.
    pub fn restart(&mut self) -> Result<(), PostgresError> {
        self.stop(Stop::Fast)?;
        self.launch()
    }

    fn launch(&mut self) -> Result<(), PostgresError> {
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).open(self.server("log")).map_err(failed("PostgreSQL's log"))?;
        let mut command = self.programs.of_server("postgres");
        command.arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // A Ctrl-C in the terminal is for the one who uses the server.
        let postmaster = command.process_group(0).spawn().map_err(failed("process postgres"))?;
        let (id, state) = (postmaster.id().to_string(), self.data().join("postmaster.pid"));
        let postmaster = self.postmaster.insert(postmaster);
        // The file of a server that was killed is still there: the first line says whose it is, the eighth how it is.
        let is_ready = |text: &str| {
            let mut lines = text.lines();
            lines.next() == Some(&*id) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
        };
        let ready = wait_until(|| {
            if postmaster.try_wait().map_err(failed("process postgres"))?.is_some() {
                return Err(PostgresError::NotReady(String::new()));
            }
            Ok(fs::read_to_string(&state).is_ok_and(|text| is_ready(&text)))
        });
        if matches!(ready, Ok(true)) { Ok(()) } else { Err(PostgresError::NotReady(self.log())) }
    }

    fn make_passwords(&self) -> Result<[String; 3], PostgresError> {
        let passwords = [HUB, OWNER, SUPERUSER].map(|_| Uuid::new_v4().simple().to_string());
        let [hub, owner, superuser] = &passwords;
        write(&self.folder.join("hub.password"), hub, 0o600)?;
        write(&self.folder.join("owner.password"), owner, 0o600)?;
        let line = |role, password| format!("127.0.0.1:{}:*:{role}:{password}\n", self.port());
        let pgpass = [line(HUB, hub), line(OWNER, owner), line(SUPERUSER, superuser)].concat();
        write(&self.pgpass(), &pgpass, 0o600)?;
        Ok(passwords)
    }

    fn make_data(&self, superuser: &str) -> Result<(), PostgresError> {
        let (server, password) = (self.folder.join("server"), self.server("password"));
        make_directory(&server, 0o700)?;
        write(&password, superuser, 0o600)?;
        self.programs.give(&[&server, &password]).map_err(failed("PostgreSQL's folder"))?;
        let mut command = self.programs.of_server("initdb");
        command.args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]);
        // What initdb itself writes need not be on the disk; what the server commits is.
        command.args(["--no-sync", "--no-instructions", "--pwfile"]).arg(&password).arg("--pgdata").arg(self.data());
        let output = command.output().map_err(failed("initdb"))?;
        fs::remove_file(&password).map_err(failed("PostgreSQL's folder"))?;
        if output.status.success() { Ok(()) } else { Err(said("initdb", &output)) }
    }

    /// The certificate of the server, under a CA of its own.
    fn make_certificate(&self) -> Result<(), PostgresError> {
        let (ca, now) = (self.folder.join("ca"), SystemClock.now());
        let authority = Authority::init(&ca, &"Sluis PostgreSQL".parse()?, Environment::Test, now)?;
        let alternatives = vec![alternative("127.0.0.1")?];
        let profile = Profile::Server { name: "postgres".parse()?, oin: None, alternatives };
        authority.issue("server", &profile, DEFAULT_DAYS, now)?;
        for name in ["server.pem", "server.key"] {
            let (from, to) = (ca.join(name), self.server(name));
            fs::rename(from, &to).and_then(|()| self.programs.give(&[&to])).map_err(failed(name))?;
        }
        Ok(())
    }

    fn configure(&self) -> Result<(), PostgresError> {
        let text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 60\n\
             ssl = on\nssl_min_protocol_version = 'TLSv1.3'\nssl_cert_file = '../server.pem'\n\
             ssl_key_file = '../server.key'\npassword_encryption = 'scram-sha-256'\n\
             # What is acknowledged must be on the disk, in a test too.\n\
             fsync = on\nfull_page_writes = on\nsynchronous_commit = on\n\
             shared_buffers = '16MB'\nmin_wal_size = '32MB'\nmax_wal_size = '256MB'\njit = off\n\
             # In the folder, not in /dev/shm, where a killed server would leave it behind.\n\
             dynamic_shared_memory_type = mmap\n\
             # Statements that fail may hold what must not be logged.\n\
             log_min_error_statement = panic\nlog_line_prefix = '%m [%p] %q%u@%d '\ntimezone = 'UTC'\n\
             log_timezone = 'UTC'\n",
            self.port()
        );
        let access = "# Nobody without TLS and a password, not even on this machine.\n\
                      hostssl all all 127.0.0.1/32 scram-sha-256\n";
        for (name, text) in [("postgresql.conf", &*text), ("pg_hba.conf", access)] {
            fs::write(self.data().join(name), text).map_err(failed(name))?;
        }
        Ok(())
    }

    fn make_database(&self, name: &str) -> Result<(), PostgresError> {
        let statements = format!(
            "CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0;\nREVOKE ALL ON DATABASE {name} FROM PUBLIC;\n\
             GRANT CONNECT ON DATABASE {name} TO {HUB};\n\\connect {name}\n\
             GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_ls_waldir() TO {OWNER};\n"
        );
        self.sql(SUPERUSER, &statements).map(|_| ())
    }

    /// Passwords come from the file, statements over standard input: neither stands among the arguments.
    fn psql(&self, url: &str, statements: &str) -> Result<Output, PostgresError> {
        let run = || -> io::Result<Output> {
            let mut command = self.programs.of_caller("psql");
            command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]);
            command.args(["--set", "ON_ERROR_STOP=1", "--file", "-", "--dbname", url]).env("PGPASSFILE", self.pgpass());
            // Where psql would look for certificates of its user's own.
            command.env("HOME", &self.folder);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // One that could not connect has closed it; what it says comes with its end.
                let _ = stdin.write_all(statements.as_bytes());
            }
            child.wait_with_output()
        };
        run().map_err(failed("process psql"))
    }

    fn access_to(&self, database: &str) -> Access {
        Access {
            url: self.url(HUB, database),
            password_file: self.folder.join("hub.password"),
            owner_url: self.url(OWNER, database),
            owner_password_file: self.folder.join("owner.password"),
        }
    }

    fn url(&self, role: &str, database: &str) -> String {
        let anchors = encoded(&self.folder.join("ca/anchors.pem"));
        format!("postgres://{role}@127.0.0.1:{}/{database}?sslmode=verify-full&sslrootcert={anchors}", self.port())
    }

    /// Where the server keeps everything.
    pub fn data(&self) -> PathBuf {
        self.server("data")
    }

    fn server(&self, name: &str) -> PathBuf {
        self.folder.join("server").join(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.guard.finish();
        if let Some(mut postmaster) = self.postmaster.take() {
            // It has ended; waiting for it takes its entry out of the process table.
            let _ = postmaster.wait();
        }
    }
}

/// A path as the value of a URL's parameter.
fn encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let encode = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    path.as_os_str().as_bytes().iter().map(encode).collect()
}

/// Whether it happened within [`PATIENCE`].
fn wait_until(mut happened: impl FnMut() -> Result<bool, PostgresError>) -> Result<bool, PostgresError> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if happened()? {
            return Ok(true);
        }
        std::thread::sleep(LOOK);
    }
    Ok(false)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), PostgresError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(failed(&path.display().to_string()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), PostgresError> {
    let file: io::Result<File> = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed(&path.display().to_string()))
}

fn failed(what: &str) -> impl FnOnce(io::Error) -> PostgresError {
    move |source| PostgresError::Io { what: what.to_owned(), source }
}

fn said(program: &'static str, output: &Output) -> PostgresError {
    PostgresError::Failed { program, said: String::from_utf8_lossy(&output.stderr).trim().to_owned() }
}

#[cfg(test)]
mod tests;
