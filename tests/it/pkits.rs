//! NIST's Public Key Interoperability Test Suite (PKITS): chains and revocation lists that nobody here made, each with what
//! must come of it. From PyPI's `cryptography_vectors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::CertificateDer;
use sluis::identity::certificate::Environment;
use sluis::trust::{Contents, Fault, List, Profile, Set, Trust};
use time::macros::datetime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

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

/// Tests that come out otherwise here, by the reason, each with what a refusal of it must say. All but one are good chains that are
/// refused, of kinds that no authority of this network issues; the one is of a list that need not be read.
const DIFFERENCES: &[(&str, &[Fault], &[&str])] = &[
    (
        "delta lists are not read: using them is optional (RFC 5280 §6.3.3), the complete list decides",
        &[Fault::Revoked],
        &["InvaliddeltaCRLTest4EE", "ValiddeltaCRLTest5EE"],
    ),
    (
        "an authority may not have a second key for its lists, or list them for another authority: refused",
        &[Fault::ListInvalid, Fault::ListMissing],
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
        &[Fault::ListInvalid, Fault::BadSignature],
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
        &[Fault::NameConstraint],
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
    (
        "DSA is not accepted",
        &[Fault::SignatureAlgorithm],
        &["ValidDSAParameterInheritanceTest5EE", "ValidDSASignaturesTest4EE"],
    ),
    (
        "names are compared byte by byte, as authorities write them",
        &[Fault::UnknownIssuer],
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
        &[Fault::Unsupported],
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
        &[Fault::ListMissing],
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
        &[Fault::AuthorityAsLeaf],
        &["ValidonlyContainsCACertsTest13EE", "ValidpathLenConstraintTest14EE", "ValidpathLenConstraintTest8EE"],
    ),
    (
        "unique identifiers (RFC 5280 §4.1.2.8: must not be used), and a time before 1970",
        &[Fault::Malformed],
        &["ValidNameUIDsTest6EE", "Validpre2000UTCnotBeforeDateTest3EE"],
    ),
];

/// Why each bad chain is refused: by a test's name without `Invalid` and `EE`, or by its group, which is that without `Test` and number.
/// A single test comes before its group.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::Expired, &["CAnotAfterDate", "EEnotAfterDate", "pre2000UTCEEnotAfterDate"]),
    (Fault::NotYetValid, &["CAnotBeforeDate", "EEnotBeforeDate"]),
    (Fault::BadSignature, &["EESignature", "BasicSelfIssuedCRLSigningKeyTest8"]),
    // These signatures are bit strings that do not end with a byte: no DER.
    (Fault::Malformed, &["CASignature", "DSASignature"]),
    (Fault::UnknownIssuer, &["NameChaining", "NameChainingOrder"]),
    (
        Fault::NotAnAuthority,
        &[
            "MissingbasicConstraints",
            "cAFalse",
            "keyUsageCriticalkeyCertSignFalse",
            "keyUsageNotCriticalkeyCertSignFalse",
        ],
    ),
    (Fault::PathLength, &["SelfIssuedpathLenConstraint", "pathLenConstraint"]),
    // The leaf is an authority's, which is looked at first.
    (
        Fault::AuthorityAsLeaf,
        &[
            "SelfIssuedinhibitAnyPolicyTest10",
            "onlyContainsUserCerts",
            "pathLenConstraintTest6",
            "pathLenConstraintTest10",
            "pathLenConstraintTest12",
        ],
    ),
    (Fault::Revoked, &["LongSerialNumber", "NegativeSerialNumber", "RevokedCA", "RevokedEE", "deltaCRL"]),
    (Fault::ListStale, &["OldCRLnextUpdate", "pre2000CRLnextUpdate", "deltaCRLTest10"]),
    // Signed with a key that may not sign lists, or with a second one.
    (
        Fault::ListInvalid,
        &[
            "BasicSelfIssuedCRLSigningKey",
            "BasicSelfIssuedNewWithOld",
            "BasicSelfIssuedOldWithNew",
            "SeparateCertificateandCRLKeys",
            "keyUsageCriticalcRLSignFalse",
            "keyUsageNotCriticalcRLSignFalse",
        ],
    ),
    // There is none, it is another issuer's, it can't be read, or it is for a part of the certificates or of the reasons.
    (
        Fault::ListMissing,
        &[
            "BadCRLIssuerName",
            "BadCRLSignature",
            "IDPwithindirectCRL",
            "MissingCRL",
            "UnknownCRLEntryExtension",
            "UnknownCRLExtension",
            "WrongCRL",
            "cRLIssuer",
            "deltaCRLIndicatorNoBase",
            "distributionPoint",
            "onlyContainsAttributeCerts",
            "onlyContainsCACerts",
            "onlySomeReasons",
        ],
    ),
    (
        Fault::NameConstraint,
        &[
            "DNSnameConstraints",
            "DNandRFC822nameConstraints",
            "DNnameConstraints",
            "RFC822nameConstraints",
            "URInameConstraints",
        ],
    ),
    (
        Fault::Unsupported,
        &[
            "MappingFromanyPolicy",
            "MappingToanyPolicy",
            "PolicyMapping",
            "SelfIssuedinhibitAnyPolicy",
            "SelfIssuedinhibitPolicyMapping",
            "SelfIssuedrequireExplicitPolicy",
            "UnknownCriticalCertificateExtension",
            "inhibitAnyPolicy",
            "inhibitPolicyMapping",
            "requireExplicitPolicy",
        ],
    ),
];

/// Not asked: what comes of these depends on the policies that are asked for, which their names do not say, and the profile here asks
/// for none. Policies along a path are in `src/trust/tests/chains.rs`.
const SKIPPED: &[&str] = &[
    "AllCertificatesNoPoliciesTest2EE",
    "AllCertificatesSamePoliciesTest10EE",
    "AllCertificatesSamePoliciesTest13EE",
    "AllCertificatesanyPolicyTest11EE",
    "AnyPolicyTest14EE",
    "CPSPointerQualifierTest20EE",
    "DifferentPoliciesTest12EE",
    "DifferentPoliciesTest3EE",
    "DifferentPoliciesTest4EE",
    "DifferentPoliciesTest5EE",
    "DifferentPoliciesTest7EE",
    "DifferentPoliciesTest8EE",
    "DifferentPoliciesTest9EE",
    "OverlappingPoliciesTest6EE",
    "UserNoticeQualifierTest15EE",
    "UserNoticeQualifierTest16EE",
    "UserNoticeQualifierTest17EE",
    "UserNoticeQualifierTest18EE",
    "UserNoticeQualifierTest19EE",
    "inhibitAnyPolicyTest3EE",
];

/// Lists that can't be read, so that those under their issuers are refused: delta lists, lists for others or for a part of the
/// certificates or reasons, unknown critical extensions, and the one whose signature is no DER.
const UNREAD: &[&str] = &[
    "BadCRLSignatureCACRL",
    "UnknownCRLEntryExtensionCACRL",
    "UnknownCRLExtensionCACRL",
    "deltaCRLCA1deltaCRL",
    "deltaCRLCA2deltaCRL",
    "deltaCRLCA3deltaCRL",
    "deltaCRLIndicatorNoBaseCACRL",
    "distributionPoint2CACRL",
    "indirectCRLCA1CRL",
    "indirectCRLCA3cRLIssuerCRL",
    "indirectCRLCA4cRLIssuerCRL",
    "indirectCRLCA5CRL",
    "onlyContainsAttributeCertsCACRL",
    "onlyContainsCACertsCACRL",
    "onlyContainsUserCertsCACRL",
    "onlySomeReasonsCA1compromiseCRL",
    "onlySomeReasonsCA1otherreasonsCRL",
    "onlySomeReasonsCA2CRL1",
    "onlySomeReasonsCA2CRL2",
    "onlySomeReasonsCA3compromiseCRL",
    "onlySomeReasonsCA3otherreasonsCRL",
    "onlySomeReasonsCA4compromiseCRL",
    "onlySomeReasonsCA4otherreasonsCRL",
];

/// Why a bad chain must be refused.
fn fault_of(name: &str) -> Option<Fault> {
    let test = name.strip_prefix("Invalid")?.strip_suffix("EE")?;
    let (group, _) = test.rsplit_once("Test")?;
    let of = |what: &str| FAULTS.iter().find(|(_, all)| all.contains(&what)).map(|(fault, _)| *fault);
    of(test).or_else(|| of(group))
}

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
        let files = |of: &str| -> BTreeMap<String, Vec<u8>> {
            let all = std::fs::read_dir(folder.join(of)).unwrap().map(|entry| entry.unwrap().path());
            all.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
                .collect()
        };
        let certificates: BTreeMap<_, _> = files("certs")
            .into_iter()
            .map(|(name, der)| {
                let contents = Contents::read(&der).unwrap();
                (name, (CertificateDer::from(der), contents))
            })
            .collect();
        let lists = files("crls");
        let unread: Vec<&String> =
            lists.iter().filter(|(_, der)| List::read(der).is_err()).map(|(name, _)| name).collect();
        assert_eq!(unread, UNREAD);
        let lists = lists.values().filter_map(|der| List::read(der).ok()).collect();
        let root = [certificates["TrustAnchorRootCertificate"].0.clone()];
        let set = Set::new("pkits", Profile::parse(PROFILE).unwrap(), &root, lists, Environment::Test).unwrap();
        Self { trust: Trust::new(Environment::Test, vec![set]), certificates }
    }

    /// The leaf, and whoever could have issued it, or have issued those.
    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let mut chain: Vec<&(CertificateDer<'static>, Contents)> = vec![&self.certificates[name]];
        let mut at = 0;
        while let Some(one) = chain.get(at).copied() {
            let issuers = self.certificates.values().filter(|other| is_issued_by(one, other));
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

/// By name and by key identifier: many authorities of the suite share a name, and a chain has two certificates of one name at most.
fn is_issued_by(one: &(CertificateDer<'_>, Contents), other: &(CertificateDer<'_>, Contents)) -> bool {
    if !one.1.is_issued_by(&other.1) {
        return false;
    }
    match (key_identifiers(&one.0).1, key_identifiers(&other.0).0) {
        (Some(issuers), Some(own)) => issuers == own,
        _ => true,
    }
}

/// Of its own key and of its issuer's.
fn key_identifiers(der: &[u8]) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (_, parsed) = X509Certificate::from_der(der).unwrap();
    let (mut own, mut issuers) = (None, None);
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => issuers = id.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => {}
        }
    }
    (own, issuers)
}

#[test]
fn chains_of_nist_come_to_what_they_must() {
    let Some(folder) = vectors() else { return };
    let suite = Suite::read(&folder);
    let (mut passed, mut refused, mut differs, mut skipped, mut wrong) = (0, 0, Vec::new(), Vec::new(), Vec::new());
    for name in suite.certificates.keys().filter(|name| name.contains("Test") && name.ends_with("EE")) {
        let must_pass = match name.as_str() {
            name if name.starts_with("Valid") => true,
            name if name.starts_with("Invalid") => false,
            name => {
                skipped.push(name);
                continue;
            }
        };
        let fault = suite.judge(name);
        let difference = DIFFERENCES.iter().find(|(_, _, names)| names.contains(&name.as_str()));
        let is_expected = fault.is_none_or(|fault| match difference {
            Some((_, faults, _)) => faults.contains(&fault),
            None => fault_of(name) == Some(fault),
        });
        if !is_expected {
            wrong.push(format!("{name}: {fault:?}"));
        }
        if fault.is_none() != must_pass {
            differs.push(name.as_str());
        } else if must_pass {
            passed += 1;
        } else {
            refused += 1;
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "refused for another reason");
    assert_eq!(skipped, SKIPPED);
    let mut expected: Vec<&str> = DIFFERENCES.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
    expected.sort_unstable();
    differs.sort_unstable();
    assert_eq!(differs, expected);
    assert_eq!((passed, refused), (PASSED, REFUSED));
}
