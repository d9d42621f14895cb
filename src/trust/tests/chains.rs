//! A table of chains of four layers, each with what it must come to here and at OpenSSL.

use super::*;

/// Root, domain, TSP: as PKIoverheid has them.
pub(crate) struct Hierarchy {
    pub(crate) root: Authority,
    pub(crate) domain: Authority,
    pub(crate) tsp: Authority,
}

impl Hierarchy {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub(crate) fn with(domain: impl FnOnce(&mut CertificateParams), tsp: impl FnOnce(&mut CertificateParams)) -> Self {
        let root = authority("Private Root", None, |_| {});
        let domain = authority("Private Domain", Some(&root), |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[2]));
            domain(params);
        });
        let tsp = authority("Private TSP", Some(&domain), |params| {
            params.serial_number = Some(SerialNumber::from_slice(&[3]));
            tsp(params);
        });
        Self { root, domain, tsp }
    }

    pub(crate) fn case(&self, name: &'static str, leaf: CertificateDer<'static>) -> Case {
        let lists = [&self.root, &self.domain, &self.tsp].map(|issuer| list(issuer, NOW - DAY, &[])).to_vec();
        Case {
            name,
            roots: vec![self.root.der().clone()],
            chain: vec![leaf, self.tsp.der().clone(), self.domain.der().clone()],
            lists,
            profile: profile(),
            environment: Environment::Test,
            at: NOW,
            fault: None,
            at_openssl: None,
        }
    }

    pub(crate) fn hundred_certificates(&self) -> Case {
        let more = std::iter::repeat_n(self.domain.der().clone(), 97);
        self.leaf("100 certificates", |_| {}).with(|case| case.chain.extend(more))
    }

    pub(crate) fn mebibyte(&self) -> Case {
        self.leaf("a certificate of 1 MiB", |params| {
            let content = [vec![0x04, 0x83, 0x10, 0, 0], vec![0; 1 << 20]].concat();
            params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], content));
        })
    }

    /// OpenSSL dates by the machine's clock.
    pub(crate) fn by_the_clock_of_openssl(&self, case: &mut Case) {
        case.at = Contents::read(&case.chain[0]).unwrap().not_before + Duration::MINUTE;
        case.lists = [&self.root, &self.domain, &self.tsp].map(|issuer| list(issuer, case.at - DAY, &[])).to_vec();
    }

    pub(crate) fn leaf(&self, name: &'static str, change: impl FnOnce(&mut CertificateParams)) -> Case {
        self.case(name, leaf(&self.tsp, change))
    }
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) lists: Vec<Vec<u8>>,
    pub(crate) profile: Profile,
    environment: Environment,
    pub(crate) at: OffsetDateTime,
    pub(crate) fault: Option<Fault>,
    /// What OpenSSL comes to where that is something else, and why.
    at_openssl: Option<(bool, &'static str)>,
}

impl Case {
    fn is(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// OpenSSL lets it in, because what is wrong is no rule of RFC 5280.
    fn but_openssl_believes(self, why: &'static str) -> Self {
        Self { at_openssl: Some((true, why)), ..self }
    }

    fn but_openssl_refuses(self, why: &'static str) -> Self {
        Self { at_openssl: Some((false, why)), ..self }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The anchors that it is shown to.
    pub(crate) fn set(&self) -> Set {
        let lists = self.lists.iter().filter_map(|der| List::read(der).ok()).collect();
        Set::new("pki", self.profile.clone(), &self.roots, lists, self.environment).unwrap()
    }

    fn judged(&self) -> Result<Verdict, Refused> {
        Trust::new(self.environment, vec![self.set()]).judge(&self.chain, self.at)
    }
}

pub(crate) fn oin(params: &mut CertificateParams, text: &str) {
    params.distinguished_name = name("Gemeente Almelo");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), text);
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn critical_unknown() -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

/// A leaf that only OpenSSL makes: an option line for its request and its certificate.
pub(crate) fn made_by_openssl(
    folder: &Path,
    tsp: &Authority,
    key: &str,
    subject: &str,
    sign: &str,
) -> CertificateDer<'static> {
    let extensions = format!(
        "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\ncertificatePolicies={POLICY}\nbasicConstraints=CA:FALSE\n"
    );
    for (file, text) in [
        ("leaf.ext", extensions),
        ("tsp.pem", pem("CERTIFICATE", &[tsp.der()])),
        ("tsp.key", tsp.key().serialize_pem()),
        ("req.cnf", "[req]\ndistinguished_name=dn\n[dn]\n".to_owned()),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    openssl(folder, &format!("genpkey {key} -out own.key"));
    openssl(folder, &format!("req -new -config req.cnf -key own.key -subj {subject} -out own.csr"));
    let ca = "-CA tsp.pem -CAkey tsp.key -extfile leaf.ext -set_serial 9 -days 300";
    openssl(folder, &format!("x509 -req -in own.csr {ca} {sign} -out own.pem"));
    CertificateDer::from_pem_file(folder.join("own.pem")).unwrap()
}

const OUR_RULE: &str = "no rule of RFC 5280";

fn good(h: &Hierarchy) -> Vec<Case> {
    let cross = authority("Other Root", None, |_| {});
    vec![
        h.leaf("four layers", |_| {}),
        h.leaf("issuers in another order", |_| {}).with(|case| case.chain[1..].reverse()),
        h.leaf("issuers twice", |_| {}).with(|case| case.chain.extend(case.chain[1..].to_vec())),
        h.leaf("the root too", |_| {}).with(|case| case.chain.push(h.root.der().clone())),
        h.leaf("somebody else's authority too", |_| {}).with(|case| case.chain.insert(1, cross.der().clone())),
        h.leaf("somebody else's leaf too", |_| {}).with(|case| case.chain.push(leaf(&cross, |_| {}))),
        h.leaf("server too", |p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth)),
        h.leaf("two policies", |p| p.custom_extensions = vec![policies(&[OTHER_POLICY, POLICY])]),
        h.leaf("ends this second", |p| p.not_after = NOW)
            .but_openssl_refuses("the last second counts (RFC 5280 §4.1.2.5); there it does not"),
        h.leaf("begins this second", |p| p.not_before = NOW),
        h.leaf("key usage not said", |p| p.key_usages.clear()),
        h.leaf("another OIN", |p| oin(p, "00000003123456780000")),
        h.leaf("in production", |p| oin(p, "00000003123456780000"))
            .with(|case| case.environment = Environment::Production),
        Hierarchy::with(|p| p.custom_extensions = vec![policies(&[ANY_POLICY])], |_| {})
            .leaf("any policy above", |_| {}),
        Hierarchy::with(|_| {}, |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))
            .leaf("no level below", |_| {}),
        h.case("three layers", leaf(&h.domain, |_| {})).with(|case| drop(case.chain.remove(1))),
        h.leaf("a list of somebody else is stale", |_| {})
            .with(|case| case.lists.push(list(&cross, NOW - DAY * 100, &[]))),
        h.leaf("an older list says otherwise", |_| {}).with(|case| case.lists.push(list(&h.tsp, NOW - DAY * 5, &[9]))),
        h.leaf("somebody else is revoked", |_| {}).with(|case| case.lists[2] = list(&h.tsp, NOW - DAY, &[10])),
    ]
}

fn bad_leaves(h: &Hierarchy) -> Vec<Case> {
    let address = SanType::IpAddress([192, 0, 2, 7].into());
    vec![
        h.leaf("expired", |p| p.not_after = NOW - DAY / 2).is(Fault::Expired),
        h.leaf("not yet valid", |p| p.not_before = NOW + DAY / 2).is(Fault::NotYetValid),
        h.leaf("for servers", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]).is(Fault::Purpose),
        h.leaf("for code", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]).is(Fault::Purpose),
        h.leaf("purpose not said", |p| p.extended_key_usages.clear())
            .is(Fault::Purpose)
            .but_openssl_believes("not said is any (RFC 5280 §4.2.1.12)"),
        h.leaf("does not sign", |p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]).is(Fault::Purpose),
        h.leaf("no policy", |p| p.custom_extensions.clear()).is(Fault::Policy),
        h.leaf("another policy", |p| p.custom_extensions = vec![policies(&[OTHER_POLICY])]).is(Fault::Policy),
        h.leaf("any policy itself", |p| p.custom_extensions = vec![policies(&[ANY_POLICY])])
            .is(Fault::Policy)
            .but_openssl_believes("a leaf for any policy is for this one; it must be named here"),
        h.leaf("no OIN", |p| p.distinguished_name = name("Gemeente Almelo"))
            .is(Fault::NoOin)
            .but_openssl_believes(OUR_RULE),
        h.leaf("KvK number", |p| oin(p, "12345678")).is(Fault::WrongOin).but_openssl_believes(OUR_RULE),
        h.leaf("19 digits", |p| oin(p, "0000009910000141000")).is(Fault::WrongOin).but_openssl_believes(OUR_RULE),
        h.leaf("letters in the OIN", |p| oin(p, "0000009910000141000a"))
            .is(Fault::WrongOin)
            .but_openssl_believes(OUR_RULE),
        h.leaf("OIN that is not issued here", |p| oin(p, "00000011123456780000"))
            .is(Fault::OinPattern)
            .but_openssl_believes(OUR_RULE),
        h.leaf("test OIN in production", |_| {})
            .with(|case| case.environment = Environment::Production)
            .is(Fault::TestOin)
            .but_openssl_believes(OUR_RULE),
        h.leaf("IP address", |p| p.subject_alt_names = vec![address.clone()])
            .is(Fault::Names)
            .but_openssl_believes(OUR_RULE),
        h.leaf("DNS name", |p| p.subject_alt_names = vec![dns("agent.almelo.example")])
            .is(Fault::Names)
            .but_openssl_believes(OUR_RULE),
        h.leaf("DNS name missing", |_| {})
            .with(|case| case.profile.names.dns = Presence::Required)
            .is(Fault::Names)
            .but_openssl_believes(OUR_RULE),
        h.leaf("valid for five years", |p| p.not_after = NOW + DAY * 1800)
            .is(Fault::Validity)
            .but_openssl_believes(OUR_RULE),
        h.leaf("unknown and critical", |p| p.custom_extensions.push(critical_unknown())).is(Fault::Unsupported),
        h.leaf("an authority", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
            .is(Fault::AuthorityAsLeaf)
            .but_openssl_believes("verifies authorities too"),
        h.leaf("its key is not accepted", |_| {})
            .with(|case| case.profile.keys.curves = vec!["P-384".to_owned()])
            .is(Fault::Key)
            .but_openssl_believes(OUR_RULE),
        h.leaf("how it is signed is not accepted", |_| {})
            .with(|case| case.profile.signatures.retain(|known| !known.name().starts_with("ecdsa-p256")))
            .is(Fault::SignatureAlgorithm)
            .but_openssl_believes(OUR_RULE),
        h.leaf("one byte is another", |_| {})
            .with(|case| {
                let mut der = case.chain[0].to_vec();
                *der.last_mut().unwrap() ^= 1;
                case.chain[0] = der.into();
            })
            .is(Fault::BadSignature),
        h.case("signed by itself", {
            let mut params = good_leaf();
            params.custom_extensions = vec![policies(&[POLICY])];
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
        })
        .is(Fault::UnknownIssuer),
    ]
}

fn bad_issuers(h: &Hierarchy) -> Vec<Case> {
    type Change = fn(&mut CertificateParams);
    let with = |domain: Change, tsp: Change| Hierarchy::with(domain, tsp);
    let none: Change = |_| {};
    let other = Hierarchy::new();
    let long = {
        let third = authority("Third", Some(&h.tsp), |_| {});
        let leaf = leaf(&third, |_| {});
        h.case("one level too many", leaf).with(|case| {
            case.chain.push(third.der().clone());
            case.lists.push(list(&third, NOW - DAY, &[]));
        })
    };
    fn only(name: &str) -> NameConstraints {
        NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(name.to_owned())],
            excluded_subtrees: Vec::new(),
        }
    }
    fn except(name: &str) -> NameConstraints {
        NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: vec![GeneralSubtree::DnsName(name.to_owned())],
        }
    }
    let named = |p: &mut CertificateParams| p.subject_alt_names = vec![dns("agent.almelo.example")];
    let allow_names = |case: &mut Case| case.profile.names.dns = Presence::Allowed;
    vec![
        with(none, |p| p.not_after = NOW - DAY).leaf("TSP expired", |_| {}).is(Fault::Expired),
        with(|p| p.not_after = NOW - DAY, none).leaf("domain expired", |_| {}).is(Fault::Expired),
        with(none, |p| p.not_before = NOW + DAY).leaf("TSP not yet valid", |_| {}).is(Fault::NotYetValid),
        with(none, |p| p.is_ca = IsCa::ExplicitNoCa).leaf("TSP is no authority", |_| {}).is(Fault::NotAnAuthority),
        with(none, |p| p.is_ca = IsCa::NoCa).leaf("TSP does not say that it is one", |_| {}).is(Fault::NotAnAuthority),
        with(none, |p| p.key_usages = vec![KeyUsagePurpose::CrlSign])
            .leaf("TSP may not sign certificates", |_| {})
            .is(Fault::NotAnAuthority),
        with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), none)
            .leaf("path too long", |_| {})
            .is(Fault::PathLength),
        long.is(Fault::PathLength).but_openssl_believes("no issuer limits it; the profile does"),
        with(none, |p| p.custom_extensions.clear()).leaf("TSP without policies", |_| {}).is(Fault::Policy),
        with(|p| p.custom_extensions = vec![policies(&[OTHER_POLICY])], none)
            .leaf("domain with another policy", |_| {})
            .is(Fault::Policy),
        with(none, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
            .leaf("TSP for servers", |_| {})
            .is(Fault::Purpose),
        with(none, |p| p.custom_extensions.push(critical_unknown()))
            .leaf("TSP: unknown and critical", |_| {})
            .is(Fault::Unsupported),
        with(none, |p| p.name_constraints = Some(only("zwolle.example")))
            .leaf("not a permitted name", named)
            .with(allow_names)
            .is(Fault::NameConstraint),
        with(|p| p.name_constraints = Some(except("almelo.example")), none)
            .leaf("an excluded name", named)
            .with(allow_names)
            .is(Fault::NameConstraint),
        h.leaf("TSP missing", |_| {}).with(|case| drop(case.chain.remove(1))).is(Fault::UnknownIssuer),
        h.leaf("domain missing", |_| {}).with(|case| drop(case.chain.remove(2))).is(Fault::UnknownIssuer),
        h.leaf("alone", |_| {}).with(|case| case.chain.truncate(1)).is(Fault::UnknownIssuer),
        h.leaf("another root", |_| {})
            .with(|case| case.roots = vec![authority("Other Root", None, |_| {}).der().clone()])
            .is(Fault::UnknownIssuer),
        h.leaf("a root of the same name", |_| {})
            .with(|case| case.roots = vec![other.root.der().clone()])
            .is(Fault::BadSignature),
        h.leaf("a TSP of the same name", |_| {})
            .with(|case| case.chain[1] = other.tsp.der().clone())
            .is(Fault::BadSignature),
    ]
}

fn bad_lists(h: &Hierarchy) -> Vec<Case> {
    let forged = Hierarchy::new();
    vec![
        h.leaf("revoked", |_| {}).with(|case| case.lists[2] = list(&h.tsp, NOW - DAY, &[9])).is(Fault::Revoked),
        h.leaf("TSP revoked", |_| {}).with(|case| case.lists[1] = list(&h.domain, NOW - DAY, &[3])).is(Fault::Revoked),
        h.leaf("domain revoked", |_| {}).with(|case| case.lists[0] = list(&h.root, NOW - DAY, &[2])).is(Fault::Revoked),
        h.leaf("no list of the TSP", |_| {}).with(|case| drop(case.lists.remove(2))).is(Fault::ListMissing),
        h.leaf("no list of the root", |_| {}).with(|case| drop(case.lists.remove(0))).is(Fault::ListMissing),
        h.leaf("the TSP's list is stale", |_| {})
            .with(|case| case.lists[2] = list(&h.tsp, NOW - DAY * 11, &[]))
            .is(Fault::ListStale),
        h.leaf("the root's list is stale", |_| {})
            .with(|case| case.lists[0] = list(&h.root, NOW - DAY * 11, &[]))
            .is(Fault::ListStale),
        h.leaf("every list is stale", |_| {})
            .with(|case| {
                case.lists = [&h.root, &h.domain, &h.tsp].map(|one| list(one, NOW - DAY * 11, &[])).to_vec();
            })
            .is(Fault::ListStale),
        h.leaf("the TSP's list is of tomorrow", |_| {})
            .with(|case| case.lists[2] = list(&h.tsp, NOW + DAY, &[]))
            .is(Fault::ListStale),
        h.leaf("a list that somebody else signed", |_| {})
            .with(|case| case.lists[2] = list(&forged.tsp, NOW - DAY, &[]))
            .is(Fault::ListInvalid),
        h.leaf("a list that is not signed", |_| {})
            .with(|case| *case.lists[2].last_mut().unwrap() ^= 1)
            .is(Fault::ListInvalid),
    ]
}

/// What OpenSSL makes and rcgen does not.
fn foreign(h: &Hierarchy, folder: &Path) -> Vec<Case> {
    let subject = format!("/C=NL/CN=Almelo/serialNumber={ALMELO}");
    let ec = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let make = |key: &str, subject: &str, sign: &str| made_by_openssl(folder, &h.tsp, key, subject, sign);
    let by_its_clock = |case: &mut Case| h.by_the_clock_of_openssl(case);
    vec![
        h.case("made by OpenSSL", make(ec, &subject, "-sha256")).with(by_its_clock),
        h.case("SHA-1", make(ec, &subject, "-sha1")).with(by_its_clock).is(Fault::SignatureAlgorithm),
        h.case("RSA of 1024 bits", make("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", &subject, "-sha256"))
            .with(by_its_clock)
            .is(Fault::Key),
        h.case("RSA of 2048 bits", make("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", &subject, "-sha256"))
            .with(by_its_clock)
            .is(Fault::Key)
            .but_openssl_believes(OUR_RULE),
        h.case("P-521", make("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", &subject, "-sha256"))
            .with(by_its_clock)
            .is(Fault::Key)
            .but_openssl_believes(OUR_RULE),
        h.case("Ed25519", make("-algorithm ED25519", &subject, "-sha256"))
            .with(by_its_clock)
            .is(Fault::Key)
            .but_openssl_believes(OUR_RULE),
        h.case("two OINs", make(ec, &format!("{subject}/serialNumber={ALMELO}"), "-sha256"))
            .with(by_its_clock)
            .is(Fault::SeveralOins)
            .but_openssl_believes(OUR_RULE),
    ]
}

/// Too much of what is well formed.
fn too_much(h: &Hierarchy) -> Vec<Case> {
    let bounds = "bounds of our own: OpenSSL reads what it is given";
    vec![
        h.hundred_certificates().is(Fault::TooLarge).but_openssl_believes(bounds),
        h.mebibyte().is(Fault::TooLarge).but_openssl_believes(bounds),
    ]
}

/// What is no chain of certificates at all.
fn junk(h: &Hierarchy) -> Vec<Case> {
    let short = h.leaf("cut short", |_| {}).with(|case| {
        let half = case.chain[0].len() / 2;
        case.chain[0] = case.chain[0][..half].to_vec().into();
    });
    vec![
        h.leaf("nothing", |_| {}).with(|case| case.chain.clear()).is(Fault::NoCertificate),
        h.case("no certificate", b"0\x03\x02\x01\x00".to_vec().into()).is(Fault::Malformed),
        h.leaf("a byte too many", |_| {})
            .with(|case| case.chain[0] = [case.chain[0].to_vec(), vec![0]].concat().into())
            .is(Fault::Malformed)
            .but_openssl_believes("reads to the certificate's end and no further"),
        short.is(Fault::Malformed),
        h.leaf("an issuer that is no certificate", |_| {})
            .with(|case| case.chain[2] = b"<html>".to_vec().into())
            .is(Fault::Malformed),
    ]
}

#[test]
fn every_chain_comes_to_what_it_must_here_and_at_openssl() {
    let h = Hierarchy::new();
    let folder = tempfile::tempdir().unwrap();
    let asks = has_openssl();
    let mut table = [good(&h), bad_leaves(&h), bad_issuers(&h), bad_lists(&h), too_much(&h), junk(&h)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    if asks {
        table.extend(foreign(&h, folder.path()));
    }
    let mut wrong = Vec::new();
    for case in &table {
        let judged = case.judged();
        let fault = judged.as_ref().err().map(|refused| refused.fault);
        if fault != case.fault {
            wrong.push(format!("{}: {fault:?}, not {:?}", case.name, case.fault));
        }
        if !asks {
            continue;
        }
        let verdict = openssl_believes(folder.path(), &case.roots, &case.chain, &case.lists, case.at);
        let expected = case.at_openssl.map_or(case.fault.is_none(), |(believes, _)| believes);
        if verdict.is_ok() != expected {
            wrong.push(format!("{}: OpenSSL: {verdict:?}", case.name));
        }
        if case.at_openssl.is_some_and(|(believes, _)| believes == case.fault.is_none()) {
            wrong.push(format!("{}: a difference that is none", case.name));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(table.len() >= 82, "{}", table.len());
}

#[test]
fn a_refusal_names_what_it_is_about() {
    let h = Hierarchy::new();
    let refused = |case: Case| {
        let refused = case.judged().unwrap_err();
        (refused.set.unwrap_or_default(), refused.at, refused.about)
    };
    let without = |at: usize| h.leaf("", |_| {}).with(|case| drop(case.chain.remove(at)));
    assert_eq!(refused(without(1)), (String::new(), Some(0), "Private TSP".to_owned()));
    assert_eq!(refused(without(2)), (String::new(), Some(1), "Private Domain".to_owned()));
    let pki = || "pki".to_owned();
    let stale = h.leaf("", |_| {}).with(|case| case.lists[1] = list(&h.domain, NOW - DAY * 11, &[]));
    assert_eq!(refused(stale), (pki(), Some(1), "Private Domain until 2026-05-31 12:00:00.0 +00:00:00".to_owned()));
    let revoked = h.leaf("", |_| {}).with(|case| case.lists[1] = list(&h.domain, NOW - DAY, &[3]));
    assert_eq!(refused(revoked), (pki(), Some(1), "Private TSP".to_owned()));
    let policy = h.leaf("", |p| p.custom_extensions = vec![policies(&[OTHER_POLICY])]);
    assert_eq!(refused(policy), (pki(), Some(0), OTHER_POLICY.to_owned()));
}

#[test]
fn sets_stand_beside_each_other() {
    let (old, new) = (Hierarchy::new(), Hierarchy::new());
    let set = |name: &str, h: &Hierarchy, fresh: bool| {
        let from = if fresh { NOW - DAY } else { NOW - DAY * 11 };
        let lists = [&h.root, &h.domain, &h.tsp].map(|one| List::read(&list(one, from, &[])).unwrap());
        let roots = [h.root.der().clone()];
        Set::new(name, profile(), &roots, lists.into_iter().collect(), Environment::Test).unwrap()
    };
    let trust = Trust::new(Environment::Test, vec![set("g1", &old, false), set("g4", &new, true)]);
    let judged = |case: Case| trust.judge(&case.chain, NOW).map(|verdict| verdict.set.to_string());
    assert_eq!(judged(new.leaf("", |_| {})), Ok("g4".to_owned()), "a stale list of another set is in nobody's way");
    let refused = judged(old.leaf("", |_| {})).unwrap_err();
    assert_eq!((refused.fault, refused.set.as_deref()), (Fault::ListStale, Some("g1")));
    let refused = judged(Hierarchy::new().leaf("", |_| {})).unwrap_err();
    assert_eq!((refused.fault, refused.set), (Fault::BadSignature, Some("g1".to_owned())));
}

#[test]
fn the_other_environment_is_named() {
    let unit = |unit: &'static str| {
        move |params: &mut CertificateParams| params.distinguished_name.push(DnType::OrganizationalUnitName, unit)
    };
    for (made_for, environment) in [("test", Environment::Production), ("production", Environment::Test)] {
        let issuer = authority("Sluis issuing CA", None, unit(made_for));
        let here = authority("Sluis issuing CA", None, |_| {});
        let set = Set::new(
            "own",
            Profile::built_in("sluis-ca").unwrap(),
            &[here.der().clone()],
            Lists::default(),
            environment,
        );
        let trust = Trust::new(environment, vec![set.unwrap()]);
        let refused = trust.judge(&[leaf(&issuer, |_| {})], NOW).unwrap_err();
        assert_eq!(refused.fault, Fault::OtherEnvironment, "{made_for}");
    }
}

proptest::proptest! {
    /// No byte of a chain can be changed, and no bytes make it panic.
    #[test]
    fn a_changed_byte_is_never_believed(of in 0_usize..3, at in proptest::prelude::any::<proptest::sample::Index>(), bit in 0_u8..8) {
        thread_local!(static GOOD: Case = Hierarchy::new().leaf("", |_| {}));
        let believed = GOOD.with(|good| {
            let mut chain = good.chain.clone();
            let mut der = chain[of].to_vec();
            let place = at.index(der.len());
            der[place] ^= 1 << bit;
            chain[of] = der.into();
            let case = Case { chain, roots: good.roots.clone(), lists: good.lists.clone(), profile: good.profile.clone(), ..*good };
            case.judged().is_ok()
        });
        proptest::prop_assert!(!believed);
    }
}
