//! NIST's Public Key Interoperability Test Suite (PKITS): chains and revocation lists that nobody here made, each with what
//! must come of it. From PyPI's `cryptography_vectors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::CertificateDer;
use sluis::identity::certificate::Environment;
use sluis::trust::{Contents, Fault, List, Profile, Set, Trust};
use time::macros::datetime;

use crate::processes::foreign;

/// RFC 5280 and nothing of this network's own.
const PROFILE: &str = r#"
source = "PKITS"
subject = "local-system"
purpose = "client-auth-or-signature"
revocation = "lists"
max_days = 40000
max_intermediates = 9
signatures = ["rsa-pkcs1-sha256", "rsa-pkcs1-sha384", "rsa-pkcs1-sha512"]
title = { en = "PKITS", nl = "PKITS" }
keys = { rsa_bits = 2048, curves = [], ed25519 = false }
names = { dns = "allowed", ip = "allowed", other = "allowed" }
"#;

/// Tests that come out otherwise here, by the reason. All but one are good chains that are refused, of kinds that no authority
/// of this network issues; the one is of a list that need not be read.
const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "delta lists are not read: using them is optional (RFC 5280 §6.3.3), the complete list decides",
        &["InvaliddeltaCRLTest4EE", "ValiddeltaCRLTest5EE"],
    ),
    (
        "an authority may not have a second key for its lists, or list them for another authority: refused",
        &[
            "ValidBasicSelfIssuedCRLSigningKeyTest6EE",
            "ValidBasicSelfIssuedNewWithOldTest4EE",
            "ValidIDPwithindirectCRLTest22EE",
            "ValidIDPwithindirectCRLTest24EE",
            "ValidIDPwithindirectCRLTest25EE",
            "ValidSeparateCertificateandCRLKeysTest19EE",
            "ValidcRLIssuerTest28EE",
            "ValidcRLIssuerTest29EE",
            "ValidcRLIssuerTest30EE",
            "ValidcRLIssuerTest33EE",
        ],
    ),
    (
        "chains through a certificate that an authority gave itself at a change of keys: refused",
        &[
            "ValidBasicSelfIssuedNewWithOldTest3EE",
            "ValidBasicSelfIssuedOldWithNewTest1EE",
            "ValidDNnameConstraintsTest19EE",
            "ValidSelfIssuedpathLenConstraintTest15EE",
            "ValidSelfIssuedpathLenConstraintTest17EE",
        ],
    ),
    (
        "constraints on directory names, mail addresses and URIs are not understood: refused",
        &[
            "ValidDNandRFC822nameConstraintsTest27EE",
            "ValidDNnameConstraintsTest11EE",
            "ValidDNnameConstraintsTest14EE",
            "ValidDNnameConstraintsTest18EE",
            "ValidDNnameConstraintsTest1EE",
            "ValidDNnameConstraintsTest4EE",
            "ValidDNnameConstraintsTest5EE",
            "ValidDNnameConstraintsTest6EE",
            "ValidRFC822nameConstraintsTest21EE",
            "ValidRFC822nameConstraintsTest23EE",
            "ValidRFC822nameConstraintsTest25EE",
            "ValidURInameConstraintsTest34EE",
            "ValidURInameConstraintsTest36EE",
        ],
    ),
    ("DSA is not accepted", &["ValidDSAParameterInheritanceTest5EE", "ValidDSASignaturesTest4EE"]),
    (
        "names are compared byte by byte, as authorities write them",
        &[
            "ValidNameChainingCapitalizationTest5EE",
            "ValidNameChainingWhitespaceTest3EE",
            "ValidNameChainingWhitespaceTest4EE",
            "ValidRolloverfromPrintableStringtoUTF8StringTest10EE",
            "ValidUTF8StringCaseInsensitiveMatchTest11EE",
        ],
    ),
    (
        "policy constraints and mappings are critical and not understood: refused",
        &[
            "ValidPolicyMappingTest11EE",
            "ValidPolicyMappingTest12EE",
            "ValidPolicyMappingTest13EE",
            "ValidPolicyMappingTest14EE",
            "ValidPolicyMappingTest1EE",
            "ValidPolicyMappingTest3EE",
            "ValidPolicyMappingTest5EE",
            "ValidPolicyMappingTest6EE",
            "ValidPolicyMappingTest9EE",
            "ValidSelfIssuedinhibitAnyPolicyTest7EE",
            "ValidSelfIssuedinhibitAnyPolicyTest9EE",
            "ValidSelfIssuedinhibitPolicyMappingTest7EE",
            "ValidSelfIssuedrequireExplicitPolicyTest6EE",
            "ValidinhibitAnyPolicyTest2EE",
            "ValidinhibitPolicyMappingTest2EE",
            "ValidinhibitPolicyMappingTest4EE",
            "ValidrequireExplicitPolicyTest1EE",
            "ValidrequireExplicitPolicyTest2EE",
            "ValidrequireExplicitPolicyTest4EE",
        ],
    ),
    (
        "a list for a part of the certificates or of the reasons does not count as an issuer's list: refused",
        &[
            "ValiddistributionPointTest1EE",
            "ValiddistributionPointTest4EE",
            "ValiddistributionPointTest5EE",
            "ValiddistributionPointTest7EE",
            "ValidonlySomeReasonsTest18EE",
            "ValidonlySomeReasonsTest19EE",
        ],
    ),
    (
        "the leaf is an authority's",
        &["ValidonlyContainsCACertsTest13EE", "ValidpathLenConstraintTest14EE", "ValidpathLenConstraintTest8EE"],
    ),
    (
        "unique identifiers (RFC 5280 §4.1.2.8: must not be used), and a time before 1970",
        &["ValidNameUIDsTest6EE", "Validpre2000UTCnotBeforeDateTest3EE"],
    ),
];

fn vectors() -> Option<PathBuf> {
    let python = foreign("SLUIS_TEST_PYTHON")?;
    let program = "import cryptography_vectors as v, os; print(os.path.dirname(v.__file__))";
    let done = Command::new(python).args(["-c", program]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(Path::new(String::from_utf8(done.stdout).unwrap().trim()).join("x509/PKITS_data"))
}

/// As many as there are.
const PASSED: usize = 22;
const REFUSED: usize = 114;

struct Suite {
    certificates: BTreeMap<String, (CertificateDer<'static>, Contents)>,
    trust: Trust,
}

impl Suite {
    fn read(folder: &Path) -> Self {
        let files = |name: &str| std::fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path());
        let certificates: BTreeMap<_, _> = files("certs")
            .filter_map(|path| {
                let der = CertificateDer::from(std::fs::read(&path).unwrap());
                let contents = Contents::read(&der).ok()?;
                Some((path.file_stem().unwrap().to_string_lossy().into_owned(), (der, contents)))
            })
            .collect();
        let lists = files("crls").filter_map(|path| List::read(&std::fs::read(path).unwrap()).ok()).collect();
        let root = [certificates["TrustAnchorRootCertificate"].0.clone()];
        let set = Set::new("pkits", Profile::parse(PROFILE).unwrap(), &root, lists, Environment::Test).unwrap();
        Self { trust: Trust::new(Environment::Test, vec![set]), certificates }
    }

    /// The leaf, and whoever could have issued it, or have issued those.
    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let mut chain: Vec<&(CertificateDer<'static>, Contents)> = vec![&self.certificates[name]];
        let mut at = 0;
        while let Some(one) = chain.get(at).copied() {
            let issuers = self.certificates.values().filter(|other| one.1.is_issued_by(&other.1));
            let new: Vec<_> = issuers.filter(|other| !chain.iter().any(|known| known.0 == other.0)).collect();
            chain.extend(new);
            at += 1;
        }
        chain.truncate(10);
        chain.into_iter().map(|one| one.0.clone()).collect()
    }

    fn judge(&self, name: &str) -> Option<Fault> {
        let judged = self.trust.judge(&self.chain(name), datetime!(2026-06-01 12:00 UTC));
        judged.err().map(|refused| refused.fault)
    }
}

#[test]
fn chains_of_nist_come_to_what_they_must() {
    let Some(folder) = vectors() else { return };
    let suite = Suite::read(&folder);
    let mut expected: Vec<&str> = DIFFERENCES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    expected.sort_unstable();
    let (mut passed, mut refused, mut differs) = (0, 0, Vec::new());
    for name in suite.certificates.keys().filter(|name| name.contains("Test") && name.ends_with("EE")) {
        let must_pass = match name.as_str() {
            name if name.starts_with("Valid") => true,
            name if name.starts_with("Invalid") => false,
            // What comes of policies depends on those that are asked for: the other names say nothing of the outcome.
            _ => continue,
        };
        let fault = suite.judge(name);
        if fault.is_none() != must_pass {
            differs.push(name.as_str());
        } else if must_pass {
            passed += 1;
        } else {
            refused += 1;
        }
    }
    differs.sort_unstable();
    assert_eq!(differs, expected);
    assert_eq!((passed, refused), (PASSED, REFUSED));
}
