//! A root apart, several issuing CAs under it, and disks that are full.

use super::*;

fn root(folder: &Path) -> Authority {
    Authority::root(folder, &"RET Testland".parse().unwrap(), Environment::Test, Plan::throwaway(), NOW).unwrap()
}

#[test]
fn issuing_authorities_stand_side_by_side_under_one_root() {
    let folder = tempfile::tempdir().unwrap();
    let (safe, first, second) = (folder.path().join("safe"), folder.path().join("first"), folder.path().join("second"));
    let root = root(&safe);
    let later = NOW + Duration::days(3 * 365);
    let old = root.issuing(&first, Plan::throwaway(), NOW).unwrap();
    let new = root.issuing(&second, Plan::throwaway(), later).unwrap();
    assert!(!first.join("root.key").exists() && !safe.join("issuing.key").exists());
    fs::rename(&safe, folder.path().join("elsewhere")).unwrap();
    for (folder, authority) in [(&first, &old), (&second, &new)] {
        let issued = authority.issue("org", &organisation(), 30, later).unwrap();
        assert_eq!(webpki_verify(folder, &issued.chain, webpki::KeyUsage::client_auth(), later), Ok(()));
        // Whoever has the anchors of one believes those of the other.
        assert_eq!(webpki_verify(&first, &issued.chain, webpki::KeyUsage::client_auth(), later), Ok(()));
    }
    let subject = |folder: &Path| trust::Contents::read(&certificates(&folder.join("issuing.pem"))[0]).unwrap().subject;
    assert!(subject(&first).contains("Sluis issuing CA") && subject(&second).contains("Sluis issuing CA 2"));
    let office = Office::read(&folder.path().join("elsewhere"), Level::Root).unwrap();
    assert_eq!(office.issued().unwrap().len(), 2);
}

#[test]
fn an_issuing_authority_is_made_once_and_ends_before_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    let ca = folder.path().join("ca");
    drop(root.issuing(&ca, Plan::throwaway(), NOW).unwrap());
    assert!(matches!(root.issuing(&ca, Plan::throwaway(), NOW), Err(CaError::Exists(_))));
    let late = NOW + Duration::days(ROOT_DAYS - ISSUING_DAYS + 1);
    assert!(matches!(root.issuing(&folder.path().join("late"), Plan::throwaway(), late), Err(CaError::OutlivesCa)));
    assert_eq!(root.office().issued().unwrap().len(), 1);
}

/// Directories that can't be written stand for disks that are full: the test on a real one is `tests/it/authority.rs`.
#[cfg(unix)]
#[test]
fn what_can_not_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let list = || fs::read_dir(folder.path()).unwrap().count();
    let before = list();
    // The register can't be added to: a directory has its name.
    fs::create_dir(folder.path().join("issued.jsonl")).unwrap();
    assert!(authority.issue("org", &organisation(), 30, NOW).is_err());
    assert_eq!(list(), before + 1, "neither key nor certificate, nor anything half written");
    fs::remove_dir(folder.path().join("issued.jsonl")).unwrap();
    // The second of two files can't be written.
    fs::create_dir(folder.path().join("org.pem.new")).unwrap();
    assert!(matches!(authority.issue("org", &organisation(), 30, NOW), Err(CaError::Unwritable { .. })));
    assert_eq!(list(), before + 1);
    fs::remove_dir(folder.path().join("org.pem.new")).unwrap();
    assert!(authority.issue("org", &organisation(), 30, NOW).is_ok());
}
