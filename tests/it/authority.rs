//! `sluis ca` as a process: keys in a PKCS#11 token (SoftHSM), a passphrase at a terminal, and none where there is no terminal.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SLUIS: &str = env!("CARGO_BIN_EXE_sluis");

/// Where Debian and others put SoftHSM.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
];

const PIN: &str = "13579246";

fn skipped(test: &str, why: &str) {
    // Past the test harness, which keeps what passing tests print to itself.
    std::io::stderr().write_all(format!("SKIPPED authority::{test}: {why}\n").as_bytes()).unwrap();
}

fn secret(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// A token of its own for a test, in a folder.
struct Token {
    folder: tempfile::TempDir,
    module: PathBuf,
}

impl Token {
    fn new() -> Option<Self> {
        let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists())?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let settings = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", folder.path().display());
        std::fs::write(folder.path().join("softhsm2.conf"), settings).unwrap();
        secret(folder.path(), "pin", PIN);
        secret(folder.path(), "wrong-pin", "24681357");
        let token = Self { folder, module };
        let made = token
            .command("softhsm2-util")
            .args(["--init-token", "--free", "--label", "sluis", "--so-pin", "87654321", "--pin", PIN])
            .output()
            .ok()?;
        assert!(made.status.success(), "{made:?}");
        Some(token)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("SOFTHSM2_CONF", self.folder.path().join("softhsm2.conf"));
        command
    }

    /// `sluis ca` with the words of a line, in which @ is the module.
    fn ca(&self, line: &str) -> Result<String, String> {
        let line = line.replace('@', self.module.to_str().unwrap());
        let output = self.command(SLUIS).arg("ca").args(line.split_whitespace()).stdin(Stdio::null()).output().unwrap();
        said(&output)
    }

    fn openssl(&self, line: &str) -> Result<String, String> {
        said(&self.command("openssl").args(line.split_whitespace()).output().unwrap())
    }
}

fn said(output: &Output) -> Result<String, String> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!out.contains(PIN) && !err.contains(PIN), "the PIN is printed");
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{out}{err}")) }
}

const ROOT: &str = "root --dir root --network RET --environment production --token-module @ --token sluis \
    --token-key root --passphrase-file pin --crl-url http://crl.example/root.crl";
const ISSUING: &str = "issuing --root root --root-passphrase-file pin --dir ca --token-module @ --token sluis \
    --token-key issuing --passphrase-file pin --operator anna=anna.pub --operator bert=bert.pub";

#[test]
fn keys_in_a_token_sign_and_stay_there() {
    let Some(token) = Token::new() else {
        return skipped("keys_in_a_token_sign_and_stay_there", "no SoftHSM on this machine (apt-get install softhsm2)");
    };
    for name in ["anna", "bert"] {
        token.ca(&format!("operator {name} --insecure-plain-key")).unwrap();
    }
    token.ca(ROOT).unwrap();
    // The key of the root is not to be the issuing CA's too.
    let same = token.ca(&ISSUING.replace("--token-key issuing", "--token-key root")).unwrap_err();
    assert!(same.contains("another authority"), "{same}");
    token.ca(ISSUING).unwrap();
    for absent in ["root/root.key", "ca/issuing.key"] {
        assert!(!token.folder.path().join(absent).exists(), "{absent}");
    }
    token
        .openssl(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout zorg.key -subj /CN=x -out zorg.csr",
        )
        .unwrap();
    let request = "request zorg.csr organisation zorg --name Zorg --oin 00000003123456780000 --key anna.key";
    token.ca(request).unwrap();
    token.ca("approve ca/zorg.proposal --key bert.key").unwrap();
    token.ca("sign ca/zorg.proposal --passphrase-file pin").unwrap();
    token.ca("crl --passphrase-file pin").unwrap();
    token.ca("crl --root --dir root --days 90 --passphrase-file pin").unwrap();
    for (list, pem) in [("ca/issuing.crl", "issuing.pem"), ("root/root.crl", "root.pem")] {
        token.openssl(&format!("crl -inform DER -in {list} -out {pem}")).unwrap();
    }
    let verify = "verify -x509_strict -crl_check_all -CAfile ca/anchors.pem -CRLfile issuing.pem -CRLfile root.pem \
        -untrusted ca/issuing.pem ca/zorg.pem";
    token.openssl(verify).unwrap();
    token.ca("revoke ca/zorg.pem --reason superseded").unwrap();
    token.ca("crl --passphrase-file pin").unwrap();
    token.openssl("crl -inform DER -in ca/issuing.crl -out issuing.pem").unwrap();
    let revoked = token.openssl(verify).unwrap_err();
    assert!(revoked.contains("certificate revoked"), "{revoked}");
}

#[test]
fn a_token_that_does_not_open_says_why() {
    let Some(token) = Token::new() else {
        return skipped("a_token_that_does_not_open_says_why", "no SoftHSM on this machine (apt-get install softhsm2)");
    };
    let cases = [
        (ROOT.replace("--passphrase-file pin", "--passphrase-file wrong-pin"), "the PIN is wrong"),
        (ROOT.replace("--token sluis", "--token other"), "no token is called `other`"),
        (ROOT.replace("--token-module @", "--token-module /absent.so"), "can't be loaded"),
        (ROOT.replace("--token-module @", "--token-module pin"), "can't be loaded"),
        (ROOT.replace("--passphrase-file pin", "--passphrase-file absent"), "can't be read"),
    ];
    for (line, hint) in &cases {
        let error = token.ca(line).unwrap_err();
        assert!(error.contains(hint), "{hint:?} is not in {error}");
        assert!(!token.folder.path().join("root/root.pem").exists(), "{hint}");
    }
    token.ca(ROOT).unwrap();
    let settings = token.folder.path().join("root/root.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("key = \"root\"", "key = \"gone\"")).unwrap();
    let error = token.ca("crl --root --dir root --passphrase-file pin").unwrap_err();
    assert!(error.contains("no key pair `gone`"), "{error}");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    // A session without a terminal.
    let output = Command::new("setsid")
        .args(["--wait", SLUIS, "ca", "root", "--network", "RET", "--environment", "production"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = said(&output).unwrap_err();
    assert!(error.contains("there is no terminal") && error.contains("--passphrase-file"), "{error}");
    assert!(!folder.path().join("root/root.pem").exists());
}

/// `script` gives a process a terminal.
#[test]
fn a_passphrase_is_asked_for_twice_and_not_shown() {
    const PASSPHRASE: &str = "vier woorden of meer";
    let folder = tempfile::tempdir().unwrap();
    let ask = |answers: [&str; 2]| {
        let mut child = Command::new("script")
            .args(["-qec", &format!("{SLUIS} ca operator anna"), "/dev/null"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut typed, mut shown) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut all = String::new();
        for answer in answers {
            let mut byte = [0];
            let mut asked = String::new();
            while !asked.ends_with(": ") && shown.read(&mut byte).unwrap() == 1 {
                asked.push(char::from(byte[0]));
            }
            // The echo is off a moment after the question.
            std::thread::sleep(std::time::Duration::from_millis(300));
            typed.write_all(format!("{answer}\n").as_bytes()).unwrap();
            all += &asked;
        }
        shown.read_to_string(&mut all).unwrap();
        child.wait().unwrap();
        assert!(!all.contains("woorden"), "{all}");
        all
    };
    let differs = ask([PASSPHRASE, "vier andere woorden"]);
    assert!(differs.contains("not typed the same way twice"), "{differs}");
    assert!(!folder.path().join("anna.key").exists());
    let made = ask([PASSPHRASE, PASSPHRASE]);
    assert!(made.contains("once more") && made.contains("anna.pub"), "{made}");
    let key = std::fs::read_to_string(folder.path().join("anna.key")).unwrap();
    assert!(key.contains("ENCRYPTED PRIVATE KEY"), "{}", key.len());
}
