//! Chains in the shape of PKIoverheid (REFERENCE §3.1), four layers each: G1 with RSA 2048 and PKCS#1, G4 with RSA 3072 and
//! RSASSA-PSS (SHA-512, a salt of 64 bytes), for certificates and lists alike. Made by OpenSSL, as no Rust library here
//! signs that way.

use super::*;

const PSS: &str = "-sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:64";
const PKCS1: &str = "-sha256";
/// `id-RSASSA-PSS` (RFC 8017).
const ID_PSS: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// What `openssl` reads; `[crl]` for lists, `[ca]` to write them.
fn configuration() -> String {
    let leaf = |name: &str, more: &str| {
        format!(
            "[{name}]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\ncertificatePolicies={POLICY}\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{more}\n"
        )
    };
    let authority =
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
    [
        "[req]\ndistinguished_name=dn\n[dn]\n".to_owned(),
        "[ca]\ndefault_ca=d\n[d]\ndatabase=$ENV::INDEX\ncrlnumber=$ENV::NUMBER\ndefault_md=sha256\n".to_owned(),
        "[crl]\nauthorityKeyIdentifier=keyid\n".to_owned(),
        format!("[root]\n{authority}"),
        format!("[issuing]\n{authority}authorityKeyIdentifier=keyid\ncertificatePolicies={POLICY}\n"),
        leaf("client", "extendedKeyUsage=clientAuth"),
        leaf("device", "extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:agent.almelo.example"),
        leaf("address", "extendedKeyUsage=clientAuth\nsubjectAltName=IP:192.0.2.7"),
        leaf("server", "extendedKeyUsage=serverAuth"),
        leaf("silent", ""),
    ]
    .concat()
}

/// Makes an authority's chain of three in a folder, and a list of each.
struct Pki<'f> {
    folder: &'f Path,
    bits: usize,
    sign: &'static str,
}

impl Pki<'_> {
    fn make(&self) {
        std::fs::write(self.folder.join("pki.cnf"), configuration()).unwrap();
        let (bits, sign) = (self.bits, self.sign);
        let request = format!("-newkey rsa:{bits} -nodes -config pki.cnf -subj");
        openssl(
            self.folder,
            &format!("req -x509 {request} /CN=root -keyout root.key -out root.pem -extensions root {sign}"),
        );
        for (name, issuer) in [("domain", "root"), ("tsp", "domain")] {
            openssl(self.folder, &format!("req -new {request} /CN={name} -keyout {name}.key -out {name}.csr"));
            self.sign(name, issuer, "issuing", 2);
        }
        for name in ["root", "domain", "tsp"] {
            std::fs::write(self.folder.join(format!("{name}.index")), "").unwrap();
            std::fs::write(self.folder.join(format!("{name}.number")), "01\n").unwrap();
            self.list(name);
        }
        openssl(
            self.folder,
            &format!("req -new {request} /CN=Almelo/serialNumber={ALMELO} -keyout leaf.key -out leaf.csr"),
        );
    }

    fn sign(&self, name: &str, issuer: &str, extensions: &str, serial: u8) {
        let ca = format!("-CA {issuer}.pem -CAkey {issuer}.key -extfile pki.cnf -extensions {extensions}");
        let sign = self.sign;
        openssl(
            self.folder,
            &format!("x509 -req -in {name}.csr {ca} -set_serial {serial} -days 300 {sign} -out {name}.pem"),
        );
    }

    fn list(&self, name: &str) {
        self.ca(
            name,
            &format!("-gencrl -crlexts crl -crldays 1 -out {name}.crl {}", self.sign.replace("-sha", "-md sha")),
        );
    }

    fn revoke(&self, of: &str, issuer: &str) {
        self.ca(issuer, &format!("-revoke {of}.pem"));
        self.list(issuer);
    }

    fn ca(&self, name: &str, what: &str) {
        let line = format!("ca -config pki.cnf -keyfile {name}.key -cert {name}.pem {what}");
        let mut command = Command::new("openssl");
        command.env("INDEX", format!("{name}.index")).env("NUMBER", format!("{name}.number"));
        let done = command.current_dir(self.folder).args(line.split_whitespace()).output().unwrap();
        assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn read(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.folder.join(format!("{name}.pem"))).unwrap()
    }

    fn lists(&self) -> Vec<Vec<u8>> {
        let one = |name: &str| {
            let file = self.folder.join(format!("{name}.crl"));
            rustls_pki_types::CertificateRevocationListDer::from_pem_file(file).unwrap().to_vec()
        };
        ["root", "domain", "tsp"].map(one).to_vec()
    }

    /// A leaf of this kind: what is said of it here, after what OpenSSL says.
    fn judge(&self, profile: &Profile, kind: &str) -> (Option<Fault>, bool) {
        self.sign("leaf", "tsp", kind, 9);
        self.verdict(profile)
    }

    fn verdict(&self, profile: &Profile) -> (Option<Fault>, bool) {
        let chain = ["leaf", "domain", "tsp"].map(|name| self.read(name));
        // OpenSSL dates by the machine's clock: a minute later, when the lists are there too.
        let at = Contents::read(&chain[0]).unwrap().not_before + Duration::MINUTE;
        let (roots, lists) = ([self.read("root")], self.lists());
        let read = lists.iter().map(|der| List::read(der).unwrap()).collect();
        let set = Set::new("pki", profile.clone(), &roots, read, Environment::Test).unwrap();
        let judged = Trust::new(Environment::Test, vec![set]).judge(&chain, at);
        let openssl = openssl_believes(self.folder, &roots, &chain, &lists, at);
        (judged.err().map(|refused| refused.fault), openssl.is_ok())
    }
}

fn with_policy(name: &str) -> Profile {
    let mut profile = Profile::built_in(name).unwrap();
    profile.policies = [POLICY.parse().unwrap()].into();
    profile.environment = None;
    profile.oin_prefixes.push("00000099".to_owned());
    profile
}

#[test]
fn the_fourth_generation_is_understood() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki { folder: folder.path(), bits: 3072, sign: PSS };
    pki.make();
    let is_pss = |der: &[u8]| der.windows(ID_PSS.len()).any(|window| window == ID_PSS);
    assert!(["root", "domain", "tsp"].iter().all(|name| is_pss(&pki.read(name))));
    assert!(pki.lists().iter().all(|list| is_pss(list)));
    let (other, devices) = (with_policy("pkioverheid-g4-other"), with_policy("pkioverheid-g4-tls"));
    for (profile, kind, fault, at_openssl) in [
        (&other, "client", None, true),
        (&other, "device", Some(Fault::Names), true),
        (&other, "address", Some(Fault::Names), true),
        (&other, "server", Some(Fault::Purpose), false),
        (&other, "silent", Some(Fault::Purpose), true),
        (&devices, "device", None, true),
        (&devices, "client", Some(Fault::Names), true),
        (&devices, "address", Some(Fault::Names), true),
    ] {
        assert_eq!(pki.judge(profile, kind), (fault, at_openssl), "{kind}");
        let contents = Contents::read(&pki.read("leaf")).unwrap();
        assert_eq!((contents.signature.to_string(), contents.key), ("rsa-pss-sha512".to_owned(), Key::Rsa(3072)));
    }
    pki.judge(&other, "client");
    pki.revoke("leaf", "tsp");
    assert_eq!(pki.verdict(&other), (Some(Fault::Revoked), false));
    let refused = with_policy("pkioverheid-g1");
    pki.sign("leaf", "tsp", "client", 10);
    assert_eq!(pki.verdict(&refused), (Some(Fault::SignatureAlgorithm), true), "the first generation has no PSS");
}

#[test]
fn the_first_generation_is_understood() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki { folder: folder.path(), bits: 2048, sign: PKCS1 };
    pki.make();
    let g1 = with_policy("pkioverheid-g1");
    for (kind, fault, at_openssl) in [
        ("client", None, true),
        ("silent", None, true),
        ("device", None, true),
        ("address", None, true),
        ("server", Some(Fault::Purpose), false),
    ] {
        assert_eq!(pki.judge(&g1, kind), (fault, at_openssl), "{kind}");
    }
    pki.judge(&g1, "silent");
    pki.revoke("tsp", "domain");
    assert_eq!(pki.verdict(&g1), (Some(Fault::Revoked), false));
    assert_eq!(pki.verdict(&with_policy("pkioverheid-g4-other")), (Some(Fault::Revoked), false));
}
