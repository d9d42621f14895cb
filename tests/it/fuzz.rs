//! Whatever bytes a peer sends, every parser answers with a value or an error: no panic, no endless loop. A short run on
//! every test; `PROPTEST_CASES=1000000 cargo test --release --test it fuzz` for a long one.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use sluis::exchange::Operation;
use sluis::exchange::ops::changes::Propose;
use sluis::exchange::ops::{
    audit, case_read, case_state, certificates, changes, connection, consents, covenants, directory, erase, evidence,
    inbox, mandates, membership, newcomer, pseudonyms, query, records, refer, registry, renewal, revocation, roles,
    route, simulation, succession,
};

/// Decodes the bytes as the operation's message, and reads the fields if they are one.
fn feed<O: Operation>(bytes: &[u8])
where
    O::Message: Message + Default,
{
    if let Ok(message) = O::Message::decode(bytes) {
        let _ = O::parse(message);
    }
}

fn every_operation(bytes: &[u8]) {
    feed::<directory::ListPartners>(bytes);
    feed::<directory::GetPartner>(bytes);
    feed::<directory::PublishKeys>(bytes);
    feed::<connection::TestConnection>(bytes);
    feed::<covenants::GetCovenant>(bytes);
    feed::<covenants::SignCovenant>(bytes);
    feed::<covenants::ExplainDecision>(bytes);
    feed::<pseudonyms::ResolvePseudonym>(bytes);
    feed::<pseudonyms::CheckKnownAnswer>(bytes);
    feed::<refer::ReferCase>(bytes);
    feed::<case_read::GetCase>(bytes);
    feed::<case_read::ListCases>(bytes);
    feed::<roles::AssignRole>(bytes);
    feed::<roles::EndRole>(bytes);
    feed::<roles::HandOverCase>(bytes);
    feed::<case_state::AdvancePhase>(bytes);
    feed::<case_state::ChooseProvider>(bytes);
    feed::<case_state::RecordMeasure>(bytes);
    feed::<case_state::UpdateConsentRegime>(bytes);
    feed::<case_state::RestrictCase>(bytes);
    feed::<case_state::StartEscalation>(bytes);
    feed::<case_state::EndEscalation>(bytes);
    feed::<case_state::CloseCase>(bytes);
    feed::<consents::RecordConsent>(bytes);
    feed::<consents::WithdrawConsent>(bytes);
    feed::<consents::ListConsents>(bytes);
    feed::<route::PlanRoute>(bytes);
    feed::<records::FetchRecord>(bytes);
    feed::<records::ListRecords>(bytes);
    feed::<records::RequestRecords>(bytes);
    feed::<newcomer::AddRecipient>(bytes);
    feed::<inbox::OpenInbox>(bytes);
    feed::<inbox::AcknowledgeInbox>(bytes);
    feed::<query::QueryEvents>(bytes);
    feed::<erase::EraseEvents>(bytes);
    feed::<audit::ReportRefusal>(bytes);
    feed::<evidence::ProveEvents>(bytes);
    feed::<evidence::ReadEntries>(bytes);
    feed::<Propose<registry::RegisterPartner>>(bytes);
    feed::<Propose<certificates::RegisterCertificate>>(bytes);
    feed::<Propose<revocation::RevokeCertificate>>(bytes);
    feed::<certificates::RetireCertificate>(bytes);
    feed::<certificates::ListCertificates>(bytes);
    feed::<Propose<mandates::RegisterMandate>>(bytes);
    feed::<mandates::EndMandate>(bytes);
    feed::<changes::ConfirmChange>(bytes);
    feed::<changes::CancelChange>(bytes);
    feed::<renewal::RenewCertificate>(bytes);
    feed::<renewal::AnswerCertificateRequest>(bytes);
    feed::<Propose<membership::SetPartnerStatus>>(bytes);
    feed::<Propose<succession::SucceedPartner>>(bytes);
    feed::<succession::ListSuccessions>(bytes);
    feed::<registry::ReloadNode>(bytes);
    feed::<registry::ListRefusals>(bytes);
    feed::<simulation::AdvanceClock>(bytes);
}

/// Bytes that look like a message: a few length-delimited and number fields with low tags.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        vec(any::<u8>(), 0..40),
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "(cases|records|partners|events)/[0-9a-f-]{0,40}".prop_map(String::into_bytes),
        Just(b"0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10".to_vec()),
    ];
    let delimited = (1_u8..13, text).prop_map(|(tag, bytes)| {
        let mut field = vec![(tag << 3) | 2, u8::try_from(bytes.len()).unwrap()];
        field.extend(bytes);
        field
    });
    let number = (1_u8..13, any::<u64>()).prop_map(|(tag, mut value)| {
        let mut field = vec![tag << 3];
        while value > 127 {
            field.push(u8::try_from(value & 127).unwrap() | 128);
            value >>= 7;
        }
        field.push(u8::try_from(value).unwrap());
        field
    });
    vec(prop_oneof![delimited, number], 0..8).prop_map(|fields| fields.concat())
}

proptest! {
    #[test]
    fn fuzz_messages(bytes in prop_oneof![message(), vec(any::<u8>(), 0..200)]) {
        every_operation(&bytes);
    }

    #[test]
    fn fuzz_sealing(bytes in vec(any::<u8>(), 0..400), signature in vec(any::<u8>(), 0..70)) {
        let _ = sluis::seal::SignedHeader::read(bytes.clone(), &signature);
        let _ = sluis::seal::SignedAddition::read(bytes, &signature);
    }

    #[test]
    fn fuzz_mandates(bytes in vec(any::<u8>(), 0..400), text in "\\PC{0,200}", signed in vec(any::<u8>(), 0..80)) {
        let _ = sluis::seal::Mandate::read(&bytes);
        let _ = sluis::seal::Mandate::read(text.as_bytes());
        let _ = sluis::mandate::file::read(&text);
        let scheme = u32::try_from(signed.len()).unwrap() << 4;
        let mandate = sluis::api::v1::Mandate {
            document: bytes.clone(),
            signature_scheme: scheme,
            signature: signed,
            certificate_chain: vec![bytes],
        };
        let _ = sluis::mandate::told(&mandate);
        let _ = sluis::mandate::file::write(&mandate).map(|text| sluis::mandate::file::read(&text).unwrap());
    }

    #[test]
    fn fuzz_pseudonyms(bytes in vec(any::<u8>(), 0..80), text in "\\PC{0,80}") {
        let _ = sluis::pseudonym::OprfOutput::from_bytes(&bytes);
        let _ = sluis::pseudonym::oprf::PublicKey::from_bytes(&bytes);
        let _ = sluis::pseudonym::Bsn::parse(&text);
        let _ = sluis::pseudonym::contains_bsn(&text);
        let _ = text.parse::<sluis::pseudonym::Pseudonym>();
    }

    #[test]
    fn fuzz_certificates(bytes in vec(any::<u8>(), 0..400)) {
        let _ = sluis::identity::certificate::Leaf::read(&bytes);
        let _ = sluis::trust::Contents::read(&bytes);
        let _ = sluis::trust::List::read(&bytes);
    }
}
