//! Revocation, as Sluis' own judgement and OpenSSL see it.

use super::super::register::Serial;
use super::*;
use crate::trust::{Fault, List, Lists, Set, TakenBack, Trust};

/// Trust in this authority with the lists in these files.
fn trusting(folder: &Path, lists: &[&Path]) -> Trust {
    let rules = trust::Profile::built_in("sluis-ca-lists").unwrap();
    let lists: Lists = lists.iter().map(|path| List::read(&fs::read(path).unwrap()).unwrap()).collect();
    let anchors = certificates(&folder.join("anchors.pem"));
    let set = Set::new("own-ca", rules, &anchors, lists, Environment::Test).unwrap();
    Trust::new(Environment::Test, vec![set])
}

/// OpenSSL's word on a chain under these lists: whether it is good, and what it says.
fn openssl(folder: &Path, chain: &Path, lists: &[&Path]) -> Option<(bool, String)> {
    let pem = folder.join("lists.pem");
    let text: String = lists.iter().map(|path| pem_text("X509 CRL", &fs::read(path).unwrap())).collect();
    fs::write(&pem, text).unwrap();
    let at = NOW.unix_timestamp().to_string();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-crl_check_all", "-attime", &at, "-CAfile"])
        .arg(folder.join("anchors.pem"))
        .arg("-CRLfile")
        .arg(&pem)
        .arg("-untrusted")
        .arg(folder.join("issuing.pem"))
        .arg(chain)
        .output()
        .ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn root(folder: &Path) -> Authority {
    let secret = SecretFrom::root(None);
    Authority::open_with(Office::read(folder, Level::Root).unwrap(), &secret).unwrap()
}

#[test]
fn who_is_revoked_is_refused_and_the_others_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = authority(path, Environment::Test);
    let good = authority.issue("good", &organisation(), 30, NOW).unwrap();
    let by_serial = authority.issue("serial", &organisation(), 30, NOW).unwrap();
    let by_file = authority.issue("file", &person(), 30, NOW).unwrap();
    let office = authority.office();
    office.revoke(&Which::Serial(by_serial.serial.clone()), Reason::KeyCompromise, NOW).unwrap();
    office.revoke(&Which::File(by_file.chain.clone()), Reason::CessationOfOperation, NOW).unwrap();
    let list = authority.publish(7, NOW).unwrap();
    assert_eq!((list.number, list.revoked), (1, 2));
    assert_eq!(list.next_update.to_string(), "2026-06-08T12:00:00Z");
    let of_root = root(path).publish(365, NOW).unwrap();
    let lists = [list.file.as_path(), of_root.file.as_path()];
    let trust = trusting(path, &lists);
    for (name, issued, accepted) in [("good", &good, true), ("serial", &by_serial, false), ("file", &by_file, false)] {
        let judged = trust.judge(&certificates(&issued.chain), NOW);
        assert_eq!(
            judged.as_ref().map(|_| ()).map_err(|refused| refused.fault),
            if accepted { Ok(()) } else { Err(Fault::Revoked) },
            "{name}"
        );
        if let Some((is_good, said)) = openssl(path, &issued.chain, &lists) {
            assert_eq!(is_good, accepted, "{name}: {said}");
            assert_eq!(said.contains("certificate revoked"), !accepted, "{name}: {said}");
        }
    }
    // A list counts to its next update and no longer.
    let late = NOW + Duration::days(7) + Duration::seconds(1);
    assert_eq!(trust.judge(&certificates(&good.chain), late).err().unwrap().fault, Fault::ListStale);
}

#[test]
fn the_root_takes_an_issuing_authority_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = authority(path, Environment::Test);
    let issued = authority.issue("org", &organisation(), 30, NOW).unwrap();
    let chain = certificates(&issued.chain);
    let (list, before) = (authority.publish(7, NOW).unwrap(), root(path).publish(7, NOW).unwrap());
    let early = path.join("before.crl");
    fs::copy(&before.file, &early).unwrap();
    assert!(trusting(path, &[&list.file, &early]).judge(&chain, NOW).is_ok());
    root(path).office().revoke(&Which::File(path.join("issuing.pem")), Reason::CaCompromise, NOW).unwrap();
    let after = root(path).publish(7, NOW).unwrap();
    assert_eq!((after.number, after.revoked), (2, 1));
    let lists = [list.file.as_path(), after.file.as_path()];
    assert_eq!(trusting(path, &lists).judge(&chain, NOW).err().unwrap().fault, Fault::Revoked);
    if let Some((is_good, said)) = openssl(path, &issued.chain, &lists) {
        assert!(!is_good && said.contains("revoked"), "{said}");
        assert!(openssl(path, &issued.chain, &[&list.file, &early]).unwrap().0);
    }
}

#[test]
fn numbers_of_lists_grow_and_mistakes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = authority(path, Environment::Test);
    let issued = authority.issue("org", &organisation(), 30, NOW).unwrap();
    let office = authority.office();
    let numbers: Vec<u64> = (0..3).map(|_| authority.publish(7, NOW).unwrap().number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    // Not even a list that was lost is numbered anew.
    fs::remove_file(path.join("issuing.crl")).unwrap();
    assert_eq!(authority.publish(7, NOW).unwrap().number, 4);
    let of_openssl = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-crlnumber", "-in"])
        .arg(path.join("issuing.crl"))
        .output();
    if let Ok(output) = of_openssl {
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("0x04")
                || String::from_utf8_lossy(&output.stdout).contains("=04"),
            "{output:?}"
        );
    }
    for days in [0, 32, u16::MAX] {
        assert!(matches!(authority.publish(days, NOW), Err(CaError::BadListDays(31))), "{days}");
    }
    let stranger = tempfile::tempdir().unwrap();
    let foreign = super::authority(stranger.path(), Environment::Test).issue("org", &organisation(), 30, NOW).unwrap();
    let unknown: Serial = "0123456789".parse().unwrap();
    let revoke = |which| office.revoke(&which, Reason::Superseded, NOW).map(drop);
    assert!(matches!(revoke(Which::Serial(unknown)), Err(CaError::Journal(JournalError::UnknownSerial(_)))));
    // Two authorities of one name: the signature tells them apart.
    assert!(matches!(revoke(Which::File(foreign.chain)), Err(CaError::NotOurs(_))));
    assert!(matches!(revoke(Which::File(path.join("absent.pem"))), Err(CaError::NotOurs(_))));
    assert!(matches!(revoke(Which::File(path.join("org.key"))), Err(CaError::NotOurs(_))));
    assert!(revoke(Which::File(issued.chain.clone())).is_ok());
    for which in [Which::File(issued.chain), Which::Serial(issued.serial)] {
        let error = revoke(which).unwrap_err();
        assert!(
            matches!(error, CaError::Journal(JournalError::RevokedTwice { .. }))
                && error.to_string().contains("2026-06-01"),
            "{error}"
        );
    }
    assert_eq!(office.revoked().unwrap().len(), 1);
}

/// What was needed no more turns out to be somebody else's; nobody takes that back.
#[test]
fn of_a_certificate_that_was_taken_back_it_is_said_later_that_its_key_got_out() {
    let folder = tempfile::tempdir().unwrap();
    let authority = super::authority(folder.path(), Environment::Test);
    let issued = authority.issue("org", &organisation(), 30, NOW).unwrap();
    let revoke = |reason, later| {
        let which = Which::Serial(issued.serial.clone());
        authority.office().revoke(&which, reason, NOW + later).map(drop)
    };
    revoke(Reason::Superseded, Duration::ZERO).unwrap();
    revoke(Reason::CessationOfOperation, Duration::HOUR).unwrap_err();
    revoke(Reason::KeyCompromise, Duration::HOUR).unwrap();
    for reason in Reason::ALL {
        revoke(*reason, Duration::HOUR).unwrap_err();
    }
    let [one] = &*authority.office().revoked().unwrap() else { panic!() };
    assert_eq!((one.reason, one.at.0), (Reason::KeyCompromise, NOW));
    let made = authority.publish(7, NOW + Duration::HOUR).unwrap();
    assert_eq!(made.revoked, 1, "a list names each once");
    let trust = trusting(folder.path(), &[&made.file]);
    assert_eq!(trust.taken_back(&certificates(&issued.chain)), Some(TakenBack::Exposed));
}

#[test]
fn reasons_are_those_of_the_standard() {
    for reason in Reason::ALL {
        assert_eq!(reason.word().parse::<Reason>().unwrap(), *reason);
    }
    for text in ["", "certificate-hold", "remove-from-crl", "Superseded", "because"] {
        let error = text.parse::<Reason>().unwrap_err().to_string();
        assert!(error.contains("key-compromise"), "{text}: {error}");
    }
}

#[test]
fn certificates_say_where_the_list_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let plan = |url: &str| Plan { crl_url: Some(url.parse().unwrap()), ..Plan::throwaway() };
    let plans = (plan("http://crl.example/root.crl"), plan("http://crl.example/issuing.crl"));
    let authority = Authority::init_with(path, &"RET".parse().unwrap(), Environment::Test, plans, NOW).unwrap();
    let issued = authority.issue("org", &organisation(), 30, NOW).unwrap();
    let holds = |file: &Path, nth: usize, url: &str| {
        certificates(file)[nth].windows(url.len()).any(|window| window == url.as_bytes())
    };
    assert!(holds(&issued.chain, 0, "http://crl.example/issuing.crl"));
    assert!(holds(&issued.chain, 1, "http://crl.example/root.crl"));
    assert!(!holds(&path.join("root.pem"), 0, "http://crl.example"));
    for url in ["", "https://x/y", "http://", "http:///x", "http://a b", "ftp://x", "http://é"] {
        assert!(url.parse::<CrlUrl>().is_err(), "{url}");
    }
}

/// Days, hours: what was done with the list by then.
#[test]
fn a_list_is_kept_fresh_where_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = authority(path, Environment::Test);
    let bad = authority.issue("bad", &organisation(), 30, NOW).unwrap();
    let web = tempfile::tempdir().unwrap();
    let file = web.path().join("sluis.crl");
    let keep = |hours| authority.keep_list(7, &file, NOW + Duration::hours(hours)).unwrap().map(|list| list.number);
    let shown = || List::read(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((keep(0), keep(0), keep(23), keep(24), keep(47)), (Some(1), None, None, Some(2), None));
    assert_eq!((shown().this_update, shown().revoked), (NOW + Duration::DAY, 0));
    // At once with what was revoked.
    let revoked = Which::Serial(bad.serial);
    authority.office().revoke(&revoked, Reason::KeyCompromise, NOW + Duration::hours(30)).unwrap();
    assert_eq!((keep(30), keep(30), shown().revoked), (Some(3), None, 1));
    // What somebody took away or wrote over is put back, though it is not made anew; and nothing half written lies about.
    fs::write(&file, "half").unwrap();
    assert_eq!((keep(31), shown().revoked), (None, 1));
    fs::remove_file(&file).unwrap();
    assert_eq!((keep(31), shown().revoked), (None, 1));
    assert_eq!(fs::read_dir(web.path()).unwrap().count(), 1);
    // The register has the next list already and its file could not be written, with somebody who was revoked on it.
    let before = fs::read(path.join("issuing.crl")).unwrap();
    let other = authority.issue("other", &organisation(), 30, NOW).unwrap();
    authority.office().revoke(&Which::Serial(other.serial), Reason::KeyCompromise, NOW + Duration::hours(32)).unwrap();
    assert_eq!(authority.publish(7, NOW + Duration::hours(32)).unwrap().number, 4);
    fs::write(path.join("issuing.crl"), before).unwrap();
    assert_eq!((shown().revoked, keep(32), shown().revoked, keep(32)), (1, Some(5), 2, None));
    // A list that counts for a day is never near its end: those who fetch it are alarmed by half a day.
    let day = |hours| authority.keep_list(1, &file, NOW + Duration::hours(hours)).unwrap().is_some();
    assert_eq!((day(60), day(65), day(66)), (true, false, true));
    let nowhere = authority.keep_list(7, &web.path().join("none/sluis.crl"), NOW + Duration::hours(67));
    assert!(matches!(nowhere, Err(CaError::Unwritable { .. })));
}

/// Two of them on one directory: nobody who was revoked comes off the list again.
#[test]
fn an_older_list_never_takes_the_place_of_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let serials: Vec<_> = {
        let authority = authority(path, Environment::Test);
        (0..12).map(|nth| authority.issue(&format!("n{nth}"), &local(), 30, NOW).unwrap().serial).collect()
    };
    let web = tempfile::tempdir().unwrap();
    let file = web.path().join("sluis.crl");
    std::thread::scope(|scope| {
        for half in serials.chunks(6) {
            let file = &file;
            scope.spawn(move || {
                let authority = Authority::open(path).unwrap();
                let mut before = 0;
                for serial in half {
                    authority.office().revoke(&Which::Serial(serial.clone()), Reason::Superseded, NOW).unwrap();
                    authority.keep_list(7, file, NOW).unwrap();
                    let shown = List::read(&fs::read(file).unwrap()).unwrap().revoked;
                    assert!(shown > before, "{shown} after {before}");
                    before = shown;
                }
            });
        }
    });
    assert_eq!(List::read(&fs::read(&file).unwrap()).unwrap().revoked, serials.len());
}
