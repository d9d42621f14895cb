//! The profiles that are built in, and text that is none.

use super::*;

#[test]
fn every_profile_is_read() {
    for name in Profile::names() {
        let profile = Profile::built_in(name).unwrap();
        assert!(!profile.title.nl.is_empty() && !profile.source.is_empty(), "{name}");
        assert!(profile.policies.iter().all(|policy| policy.to_string() != ANY_POLICY), "{name}");
    }
    assert!(Profile::built_in("pkioverheid-g2").unwrap_err().to_string().contains("pkioverheid-g1"));
}

/// The number is written down twice: as data, and where certificates are made.
#[test]
fn the_own_authority_is_trusted_by_its_policies() {
    use crate::identity::certificate::POLICY_UUID;
    let policies = |name: &str| -> Vec<String> {
        Profile::built_in(name).unwrap().policies.iter().map(ToString::to_string).collect()
    };
    assert_eq!(policies("sluis-ca"), [1, 2, 3].map(|kind| format!("2.25.{POLICY_UUID}.{kind}")));
    assert_eq!(policies("sluis-ca-local"), [format!("2.25.{POLICY_UUID}.4")]);
}

#[test]
fn what_is_no_profile_is_refused() {
    let good = include_str!("../../../certs/profiles/pkioverheid-g1.toml");
    assert!(Profile::parse(good).is_ok());
    for (from, to, hint) in [
        ("max_days = 1200", "max_days = \"long\"", "max_days"),
        ("max_days = 1200", "", "max_days"),
        ("revocation = \"lists\"", "revocation = \"none\"", "revocation"),
        ("environment = \"production\"", "environment = \"prod\"", "production"),
        ("\"rsa-pkcs1-sha256\"", "\"rsa-pkcs1-sha1\"", "is not one of"),
        (
            "signatures = [\"rsa-pkcs1-sha256\", \"rsa-pkcs1-sha384\", \"rsa-pkcs1-sha512\"]",
            "signatures = []",
            "no signature",
        ),
        ("\"2.16.528.1.1003.1.2.8.6\"", "\"services\"", "object identifier"),
        ("\"00000001\"", "\"1\"", "eight digits"),
        ("subject = ", "subjects = ", "subjects"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = Profile::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(hint), "{from} -> {to}: {error}");
    }
}

/// A set of somebody else's public authority without policies would let in everybody under it.
#[test]
fn sets_that_would_let_in_anybody_are_refused() {
    let root = authority("root", None, |_| {});
    let roots = [root.der().clone()];
    let make = |profile: Profile, roots: &[CertificateDer<'static>], lists: Lists, environment| {
        Set::new("set", profile, roots, lists, environment).map(drop)
    };
    let with_list = || [List::read(&list(&root, NOW, &[])).unwrap()].into_iter().collect::<Lists>();
    assert_eq!(make(profile(), &roots, with_list(), Environment::Test), Ok(()));
    assert_eq!(make(profile(), &[], with_list(), Environment::Test), Err(NotASet::NoAnchor));
    assert_eq!(make(profile(), &roots, Lists::default(), Environment::Test), Err(NotASet::NoLists));
    let open = Profile { policies: [].into(), ..profile() };
    assert_eq!(make(open, &roots, with_list(), Environment::Test), Err(NotASet::NoPolicies));
    let junk = [CertificateDer::from(vec![1, 2, 3])];
    assert_eq!(make(profile(), &junk, with_list(), Environment::Test), Err(NotASet::Anchor));
    let g1 = Profile::built_in("pkioverheid-g1").unwrap();
    assert_eq!(make(g1, &roots, with_list(), Environment::Test), Err(NotASet::Environment(Environment::Production)));
    let unit = |unit: &str| {
        let change = |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        };
        [authority("root", None, change).der().clone()]
    };
    let own = || Profile::built_in("sluis-ca").unwrap();
    for (made_for, environment, good) in [
        ("test", Environment::Test, true),
        ("test", Environment::Production, false),
        ("production", Environment::Production, true),
        ("production", Environment::Test, false),
    ] {
        assert_eq!(make(own(), &unit(made_for), Lists::default(), environment).is_ok(), good, "{made_for}");
    }
}
