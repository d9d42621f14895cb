//! The log from an officer's command line: proofs and copies, and what becomes of those that were changed.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_officer_proves_copies_and_verifies_from_the_command_line() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let log = Log::of(players.gemeente.client()).await;
    let event = players.gemeente.refer(None).await.unwrap().event;
    let first = log.newest(&event).await;
    let older = network.path("older");
    std::fs::write(&older, first.to_bytes()).unwrap();
    let last = list(players.gemeente.client()).await.unwrap();
    log.newest(&last).await;

    let shown = |name: &str| network.path(name).display().to_string();
    let remote = network.remote("fg-netwerk");
    let remote: Vec<&str> = remote.iter().map(String::as_str).collect();
    let (proofs, whole, log_key, older) = (shown("proofs"), shown("copy"), log.key.to_string(), shown("older"));
    let audit = |args: &[&str]| tokio::task::block_in_place(|| sluis(&[&["audit"], args].concat()));

    let (code, said) = audit(&[&["prove"], &remote[..], &["--dir", &proofs, &event]].concat());
    assert!(code == Some(0) && said.contains("proven"), "{said}");
    let proof = format!("{proofs}/{}.tlog-proof", event.replace("events/", ""));
    let (code, said) = audit(&["verify", "--log-key", &log_key, &proof]);
    assert!(code == Some(0) && said.contains("with actor, subject, case, data, decision, network"), "{said}");
    let (code, said) = audit(&[&["prove"], &remote[..], &["--dir", &proofs, &format!("events/{}", id())]].concat());
    assert!(code == Some(1) && said.contains("no event of this organisation"), "{said}");

    let copy = [&["copy"], &remote[..], &["--dir", &whole, "--entries"]].concat();
    let (code, said) = audit(&copy);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = audit(&["verify", "--log-key", &log_key, "--older", &older, &whole]);
    assert!(code == Some(0) && said.contains("all of them in this copy"), "{said}");
    let (code, said) = audit(&copy);
    assert_eq!(code, Some(0), "a copy is brought up to date: {said}");
    assert_eq!(audit(&["verify", "--log-key", &log_key, &whole]).0, Some(0));

    // What does not verify is exit code 1, a slip of the pen 2.
    assert_eq!(audit(&["verify", "--log-key", &log_key, "--older", &older, &proof]).0, Some(2), "only of a copy");
    let leaf = proof.replace(".tlog-proof", ".leaf");
    let honest = std::fs::read(&leaf).unwrap();
    std::fs::write(&leaf, String::from_utf8(honest.clone()).unwrap().replace("allowed", "refused")).unwrap();
    let (code, said) = audit(&["verify", "--log-key", &log_key, &proof]);
    assert!(code == Some(1) && said.contains("another entry"), "{said}");
    std::fs::write(&leaf, honest).unwrap();
    let other = log_key.replace('+', "x+");
    assert_eq!(audit(&["verify", "--log-key", &other, &proof]).0, Some(2));
    let elsewhere = PrivateKey::of_log(log.key.name().clone(), &[7; 32]).unwrap();
    let (code, said) = audit(&["verify", "--log-key", &elsewhere.public().to_string(), &whole]);
    assert!(code == Some(1) && said.contains("without a valid signature"), "{said}");
    let forged = Checkpoint::sign(&elsewhere, Tree { size: 3, root: record_hash(b"") });
    std::fs::write(&older, forged.unwrap().to_bytes()).unwrap();
    assert_eq!(audit(&["verify", "--log-key", &log_key, "--older", &older, &whole]).0, Some(1));
    // A partner's officer gets hashes, not the entries of others.
    let remote = network.remote("operator");
    let remote: Vec<&str> = remote.iter().map(String::as_str).collect();
    let (code, said) = audit(&[&["copy"], &remote[..], &["--dir", &shown("other"), "--entries"]].concat());
    assert!(code == Some(3) && said.contains("403"), "{said}");
    let (code, said) = audit(&[&["copy"], &remote[..], &["--dir", &shown("hashes")]].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = audit(&["verify", "--log-key", &log_key, &shown("hashes")]);
    assert!(code == Some(0) && said.contains(" 0 of them here"), "{said}");
}

/// A proof leads to the tree of its size alone, whatever else the log has signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_under_the_checkpoint_of_another_size_is_refused() {
    let network = Network::start().await;
    let gemeente = network.partner(GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let log = Log::of(gemeente.client()).await;
    let event = list(log.client).await.unwrap();
    log.newest(&event).await;
    let remote = network.remote("fg-netwerk");
    let remote: Vec<&str> = remote.iter().map(String::as_str).collect();
    let (key, dir) = (log.key.to_string(), network.path("proofs").display().to_string());
    let file = format!("{dir}/{}.tlog-proof", event.replace("events/", ""));
    let audit = |args: &[&str]| tokio::task::block_in_place(|| sluis(&[&["audit"], args].concat()));
    let proof = || {
        let (code, said) = audit(&[&["prove"], &remote[..], &["--dir", &dir, &event]].concat());
        assert_eq!(code, Some(0), "{said}");
        let text = std::fs::read_to_string(&file).unwrap();
        let (hashes, note) = text.split_once("\n\n").unwrap();
        (hashes.to_owned(), note.to_owned())
    };
    let verified = |hashes: &str, note: &str| {
        std::fs::write(&file, format!("{hashes}\n\n{note}")).unwrap();
        audit(&["verify", "--log-key", &key, &file])
    };
    let older = proof();
    let later = list(log.client).await.unwrap();
    log.newest(&later).await;
    let newer = proof();
    assert_ne!(older.1, newer.1);
    for ((hashes, _), (_, note), is_of_it) in
        [(&older, &older, true), (&newer, &newer, true), (&older, &newer, false), (&newer, &older, false)]
    {
        let (code, said) = verified(hashes, note);
        assert_eq!(code, Some(if is_of_it { 0 } else { 1 }), "{said}");
        assert_eq!(said.contains("the proof is of another entry or another tree"), !is_of_it, "{said}");
    }
    let index = |at: &str| {
        let line = newer.0.lines().find(|line| line.starts_with("index ")).unwrap();
        newer.0.replace(line, &format!("index {at}"))
    };
    for at in ["0", "1000000", "18446744073709551615"] {
        let (code, said) = verified(&index(at), &newer.1);
        assert_eq!(code, Some(1), "{at}: {said}");
    }
    for at in ["-1", "18446744073709551616", ""] {
        let (code, said) = verified(&index(at), &newer.1);
        assert!(code == Some(1) && said.contains("not a proof of inclusion"), "{at}: {said}");
    }
}
