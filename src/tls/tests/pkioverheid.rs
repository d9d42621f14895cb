//! Chains in the style of PKIoverheid G4 (REFERENCE §3.1): RSA 3072, RSASSA-PSS with SHA-512 and a salt of 64 bytes,
//! for certificates and CRL alike. Made by OpenSSL, as no Rust library here signs that way.

use std::path::Path;
use std::process::Command;

use rustls::pki_types::pem::PemObject;

use super::*;
use crate::identity::certificate::Leaf;
use crate::tls::files::revocation_lists;

const PSS: [&str; 5] = ["-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:64"];

/// What `openssl ca` wants in order to write a CRL.
const CA_SECTION: &str = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha512\n\
    [crl]\nauthorityKeyIdentifier=keyid\n[leaf]\nextendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n\
    [root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n\
    [req]\ndistinguished_name=dn\n[dn]\n";

fn openssl(folder: &Path, line: &str, signs: bool) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(line.split_whitespace());
    if signs {
        command.args(PSS);
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
}

fn make(folder: &Path) {
    for (file, text) in [("ca.cnf", CA_SECTION), ("index.txt", ""), ("crlnumber", "01\n")] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    let subject = format!("/CN=a/serialNumber={ALMELO}");
    let key = "-newkey rsa:3072 -nodes -config ca.cnf";
    openssl(folder, &format!("req -x509 {key} -keyout root.key -out root.pem -subj /CN=r -extensions root"), true);
    openssl(folder, &format!("req -new {key} -keyout a.key -out a.csr -subj {subject}"), false);
    let issuer = "-CA root.pem -CAkey root.key -extfile ca.cnf -extensions leaf";
    openssl(folder, &format!("x509 -req -in a.csr {issuer} -set_serial 7 -days 9 -out a.pem"), true);
    let crl = "ca -config ca.cnf -gencrl -crlexts crl -crldays 1 -keyfile root.key -cert root.pem";
    openssl(
        folder,
        &format!("{crl} -out clean.crl -md sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:64"),
        false,
    );
    openssl(folder, "ca -config ca.cnf -revoke a.pem -keyfile root.key -cert root.pem", false);
    openssl(
        folder,
        &format!("{crl} -out full.crl -md sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:64"),
        false,
    );
}

#[test]
fn pss_chains_and_their_crls_are_understood() {
    if Command::new("openssl").arg("version").output().is_err() {
        use std::io::Write;
        writeln!(std::io::stderr(), "skipped: no openssl on this machine").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let path = |name: &str| folder.path().join(name);
    let chain = vec![CertificateDer::from_pem_file(path("a.pem")).unwrap()];
    let pss = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    assert!(chain[0].windows(pss.len()).any(|window| window == pss), "RFC 8017 id-RSASSA-PSS");
    // OpenSSL dates by the machine's clock: the test's clock follows. A minute later, when the CRL is there too.
    let at = Leaf::read(&chain[0]).unwrap().not_before.unix_timestamp().unsigned_abs() + 60;
    let identity = Ca::new().issue(RAALTE, |_| {});
    let anchors = Anchors::load([path("root.pem").as_path()]).unwrap();
    for (list, verdict) in [("clean.crl", Ok(())), ("full.crl", Err(Failure::Revoked))] {
        let lists = revocation_lists([path(list).as_path()]).unwrap();
        assert!(lists[0].windows(pss.len()).any(|window| window == pss), "{list}");
        let lists = Revocation::Lists(lists);
        let clock = Arc::new(StillClock(AtomicU64::new(at)));
        let tls = ServerTls::new(&identity, &anchors, lists, rules(), clock).unwrap();
        assert_eq!(tls.verify(&chain), verdict, "{list}");
    }
}
