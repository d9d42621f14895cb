use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// What psql says with this URL.
fn ask(cluster: &Cluster, url: &str, statements: &str) -> Result<String, String> {
    let output = cluster.psql(url, statements).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn refused(cluster: &Cluster, url: &str, statements: &str, why: &str) {
    let said = ask(cluster, url, statements).unwrap_err();
    assert!(said.contains(why), "{url}: {said}");
}

#[test]
fn only_tls_under_the_right_authority_and_only_the_right_role() {
    let cluster = Cluster::start().unwrap();
    let access = cluster.access();
    let tls = "SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid();";
    assert_eq!(ask(&cluster, &access.url, tls).unwrap(), "sluis_hub|t|TLSv1.3");
    refused(&cluster, &access.url.replace("verify-full", "disable"), "", "no encryption");
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("ca");
    drop(Authority::init(&other, &"Elders".parse().unwrap(), Environment::Test, SystemClock.now()).unwrap());
    let anchors = |ca: &Path| encoded(&ca.join("anchors.pem"));
    let elsewhere = access.url.replace(&anchors(&cluster.folder.join("ca")), &anchors(&other));
    assert_ne!(elsewhere, access.url);
    refused(&cluster, &elsewhere, "", "certificate verify failed");
    refused(&cluster, &access.url.replace("127.0.0.1", "localhost"), "", "does not match host name");

    ask(&cluster, &access.owner_url, "CREATE TABLE t (a BIGINT);").unwrap();
    refused(&cluster, &access.url, "CREATE TABLE u (a BIGINT);", "permission denied");
    refused(&cluster, &access.url, "SELECT * FROM t;", "permission denied");
    refused(&cluster, &access.url, "CREATE DATABASE u;", "permission denied");
    refused(&cluster, &cluster.url(HUB, SUPERUSER), "", "permission denied for database");
    let further = cluster.new_database().unwrap();
    assert_eq!(
        ask(&cluster, &further.owner_url, "SELECT count(*) FROM pg_tables WHERE tableowner = current_user;").unwrap(),
        "0"
    );

    for file in [&access.password_file, &access.owner_password_file, &cluster.pgpass()] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        let text = fs::read_to_string(file).unwrap();
        let secrets = text.lines().map(|line| line.rsplit(':').next().unwrap());
        for secret in secrets {
            assert!(secret.len() == 32 && !cluster.log().contains(secret) && !access.to_toml().contains(secret));
        }
    }
    assert_eq!(cluster.sql(DATABASE, "SHOW fsync;").unwrap(), "on");
}

#[test]
fn what_was_committed_survives_a_kill_and_nothing_survives_the_end() {
    let mut cluster = Cluster::start().unwrap();
    let (folder, data, access, port) = (cluster.folder.clone(), cluster.data(), cluster.access(), cluster.port());
    ask(&cluster, &access.owner_url, "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1);").unwrap();
    assert!(guard::processes_in(&data) > 1);
    cluster.kill().unwrap();
    assert_eq!(guard::processes_in(&data), 0);
    refused(&cluster, &access.owner_url, "SELECT a FROM t;", "Connection refused");
    cluster.kill().unwrap();
    cluster.restart().unwrap();
    for how in [Stop::Fast, Stop::Immediate] {
        assert_eq!(ask(&cluster, &access.owner_url, "SELECT a FROM t;").unwrap(), "1");
        cluster.stop(how).unwrap();
        assert_eq!(guard::processes_in(&data), 0, "{how:?}");
        cluster.restart().unwrap();
    }
    cluster.restart().unwrap();
    assert_eq!((cluster.access().url, cluster.port()), (access.url.clone(), port));
    drop(cluster);
    assert!(!folder.exists() && guard::processes_in(&data) == 0);
}

#[test]
fn a_killed_server_leaves_nothing_either() {
    let mut cluster = Cluster::start().unwrap();
    let state = fs::read_to_string(cluster.data().join("postmaster.pid")).unwrap();
    let lock = state.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let locks = || fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let held = |locks: &str| locks.lines().any(|line| line.split_whitespace().nth(1) == Some(&*lock));
    assert!(held(&locks()));
    cluster.kill().unwrap();
    assert!(held(&locks()), "else the last line of this test says nothing");
    let folder = cluster.folder.clone();
    drop(cluster);
    assert!(!folder.exists() && !held(&locks()));
}

#[test]
fn a_path_is_one_word_of_a_url() {
    assert_eq!(encoded(Path::new("/tmp/a b&c=d/é.pem")), "/tmp/a%20b%26c%3Dd/%C3%A9.pem");
}
