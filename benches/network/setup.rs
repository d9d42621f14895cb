//! Sets up the network of a run once, through the API of a hub, as an operator and the partners would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message as _;
use rand_core::OsRng;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sluis::api::v1;
use sluis::api::v1::audit_client::AuditClient;
use sluis::api::v1::cases_client::CasesClient;
use sluis::api::v1::covenants_client::CovenantsClient;
use sluis::api::v1::directory_client::DirectoryClient;
use sluis::api::v1::inbox_client::InboxClient;
use sluis::api::v1::pseudonyms_client::PseudonymsClient;
use sluis::api::v1::records_client::RecordsClient;
use sluis::api::v1::registry_client::RegistryClient;
use sluis::ca::profile::alternative;
use sluis::ca::{Authority, DEFAULT_DAYS, Profile};
use sluis::clock::{Clock as _, SystemClock};
use sluis::identity::certificate::Environment;
use sluis::keys::HubKeys;
use sluis::pseudonym::Epoch;
use sluis::seal::AgentKeys;
use sluis::seal::certificate_signature::{Domain, sign};
use sluis::tlog::PrivateKey;
use tonic::transport::Channel;

use crate::Failed;
use crate::case::Parcel;
use crate::hub;
use crate::process::Process;
use crate::upload::{Press, seed};
use crate::world::{HOST, OFFICER, World, ca, context, id, tls};

pub(crate) const NETWERK: &str = "00000099400000010000";
pub(crate) const GEMEENTE: &str = "00000099100001410000";
const OUTSIDER: &str = "00000099100001420000";
/// Experts: as many partners as a covenant of 42 has besides.
const EXPERTS: usize = 42;
/// Those at the small table.
const TABLE: usize = 5;
/// Cases to read, so that calls at the same time are not all about one.
const CASES: usize = 64;
/// Cases of the gemeente: a query by subject goes through all that its organisation has.
pub(crate) const ALL_CASES: usize = 1000;
/// Records to read.
const RECORDS: usize = 8;
/// Announcements that wait in every inbox.
const WAITING: usize = 200;

/// Certificates, keys, a hub, partners, cases, records. The hub has stopped when it returns; its store is to be copied.
pub(crate) async fn network(folder: &Path) -> Result<World, Failed> {
    let experts: Vec<String> = (1..=EXPERTS).map(|nth| format!("00000099300000{nth:02}0000")).collect();
    let mut partners = vec![NETWERK.to_owned(), GEMEENTE.to_owned(), OUTSIDER.to_owned()];
    partners.extend(experts.iter().cloned());
    certificates(folder, &partners)?;
    let config = hub::prepare(folder, hub::FIRST, &hub::Store::sqlite(&hub::home(folder, hub::FIRST)), None)?;
    let process = Process::hub(&config.file)?;
    let mut setup = Setup { folder: folder.to_owned(), address: config.address };
    hub::until_serving(folder, &setup.address).await?;
    setup.enrol(&partners).await?;
    let mut cases = Vec::new();
    for _ in 0..ALL_CASES {
        cases.push(setup.refer().await?);
    }
    cases.truncate(CASES);
    setup.appoint().await?;
    let mut subjects = Vec::new();
    for case in &cases {
        subjects.push(setup.subject(case).await?);
    }
    let table = setup.gather(experts.get(..TABLE).unwrap_or_default()).await?;
    let hall = setup.gather(&experts).await?;
    let mut world = World {
        folder: folder.to_owned(),
        addresses: BTreeMap::new(),
        partners,
        gemeente: GEMEENTE.to_owned(),
        outsider: OUTSIDER.to_owned(),
        experts,
        cases,
        subjects,
        log_key: log_key(folder)?.public().to_string(),
        history: 0,
        table,
        hall,
        records: Vec::new(),
        waiting: 0,
    };
    setup.fill(&mut world).await?;
    setup.sample(&world).await?;
    process.stop().await?;
    Ok(world)
}

/// The authority, and a certificate for everybody.
fn certificates(folder: &Path, partners: &[String]) -> Result<(), Failed> {
    let now = SystemClock.now();
    let authority = Authority::init(&ca(folder), &"Meetnetwerk".parse()?, Environment::Test, now)?;
    let server = Profile::Server { name: "hub".parse()?, oin: None, alternatives: vec![alternative(HOST)?] };
    authority.issue("hub", &server, DEFAULT_DAYS, now)?;
    let operator = Profile::Person { person: "operator".parse()?, oin: NETWERK.parse()? };
    authority.issue("operator", &operator, DEFAULT_DAYS, now)?;
    let officer = Profile::Person { person: OFFICER.parse()?, oin: GEMEENTE.parse()? };
    authority.issue(OFFICER, &officer, DEFAULT_DAYS, now)?;
    std::fs::create_dir_all(folder.join("seeds"))?;
    for oin in partners {
        let name = format!("Organisatie {oin}").parse()?;
        let profile = Profile::Organisation { name, oin: oin.parse()?, alternatives: Vec::new() };
        authority.issue(oin, &profile, DEFAULT_DAYS, now)?;
        let keys = AgentKeys::generate(&mut OsRng)?;
        std::fs::write(folder.join("seeds").join(oin), keys.seed_file_text().as_bytes())?;
    }
    Ok(())
}

struct Setup {
    folder: PathBuf,
    address: String,
}

impl Setup {
    async fn channel(&self, who: &str) -> Result<Channel, Failed> {
        Ok(tls(&self.folder, who)?.connect(&self.address).await?)
    }

    /// Registers everybody; each publishes keys and signs.
    async fn enrol(&mut self, partners: &[String]) -> Result<(), Failed> {
        use v1::OrganisationKind::{Aanbieder, Gemeente, Netwerk};
        let mut registry = RegistryClient::new(self.channel("operator").await?);
        for oin in partners {
            let (kind, standing) = match oin.as_str() {
                NETWERK => (Netwerk, vec![v1::Role::R03 as i32, v1::Role::R04 as i32]),
                GEMEENTE | OUTSIDER => (Gemeente, Vec::new()),
                _ => (Aanbieder, Vec::new()),
            };
            let request = v1::RegisterPartnerRequest {
                request_id: id(),
                oin: oin.clone(),
                display_name: format!("Partner {oin}"),
                kind: kind as i32,
                standing_roles: standing,
                effective_time: None,
            };
            registry.register_partner(request).await?;
            let request = v1::RegisterCertificateRequest {
                request_id: id(),
                certificate: self.leaf(oin)?,
                holder: v1::HolderKind::Organisation as i32,
                ..Default::default()
            };
            registry.register_certificate(request).await?;
            self.join(oin).await?;
        }
        Ok(())
    }

    fn leaf(&self, oin: &str) -> Result<Vec<u8>, Failed> {
        Ok(self.chain(oin)?.into_iter().next().ok_or("an empty chain")?)
    }

    fn chain(&self, oin: &str) -> Result<Vec<Vec<u8>>, Failed> {
        let chain = CertificateDer::pem_file_iter(ca(&self.folder).join(format!("{oin}.pem")))?;
        Ok(chain.map(|der| der.map(|der| der.to_vec())).collect::<Result<_, _>>()?)
    }

    async fn join(&self, oin: &str) -> Result<(), Failed> {
        let channel = self.channel(oin).await?;
        let key = PrivateKeyDer::from_pem_file(ca(&self.folder).join(format!("{oin}.key")))?;
        let keys = seed(&self.folder, oin)?;
        let signed = keys.key_set(oin.parse()?, Epoch::FIRST, SystemClock.now())?.sign(&key)?;
        let set = v1::KeySet {
            document: signed.bytes,
            signature_scheme: u32::from(signed.signature.scheme.code()),
            signature: signed.signature.signature,
            certificate_chain: self.chain(oin)?,
            mandate: None,
        };
        let request = v1::PublishKeysRequest { request_id: id(), keys: Some(set) };
        DirectoryClient::new(channel.clone()).publish_keys(request).await?;
        let mut covenants = CovenantsClient::new(channel);
        let covenant = covenants.get_covenant(v1::GetCovenantRequest::default()).await?.into_inner();
        let signature = sign(&key, Domain::Covenant, &covenant.content_hash)?;
        let request = v1::SignCovenantRequest {
            request_id: id(),
            name: covenant.name,
            content_hash: covenant.content_hash,
            signature_scheme: u32::from(signature.scheme.code()),
            signature: signature.signature,
            certificate_chain: self.chain(oin)?,
        };
        covenants.sign_covenant(request).await?;
        Ok(())
    }

    /// Opens a case of the gemeente.
    async fn refer(&self) -> Result<String, Failed> {
        let subject = v1::subject::Id::VoprfOutput(voprf_output());
        let regime = v1::ConsentRegime {
            age_band: v1::AgeBand::AgeBand011 as i32,
            capable: true,
            authority: vec![v1::Giver::Ouder1 as i32],
            ..v1::ConsentRegime::default()
        };
        let request = v1::ReferCaseRequest {
            request_id: id(),
            context: context("10", "aanmelding", v1::Role::R01),
            subject: Some(v1::Subject { id: Some(subject) }),
            regime: Some(regime),
            holder: String::new(),
        };
        Ok(CasesClient::new(self.channel(GEMEENTE).await?).refer_case(request).await?.into_inner().name)
    }

    /// The gemeente gets a privacy officer.
    async fn appoint(&self) -> Result<(), Failed> {
        let request = v1::RegisterCertificateRequest {
            request_id: id(),
            certificate: self.leaf(OFFICER)?,
            holder: v1::HolderKind::Officer as i32,
            person_ref: OFFICER.to_owned(),
            ..Default::default()
        };
        RegistryClient::new(self.channel("operator").await?).register_certificate(request).await?;
        Ok(())
    }

    /// What the gemeente calls the youth of a case in its log.
    async fn subject(&self, case: &str) -> Result<String, Failed> {
        let request = v1::QueryEventsRequest {
            context: context("36", "verantwoording", v1::Role::R14),
            case: case.to_owned(),
            page_size: 1,
            ..v1::QueryEventsRequest::default()
        };
        let found = AuditClient::new(self.channel(OFFICER).await?).query_events(request).await?.into_inner();
        let subject = found.events.into_iter().map(|event| event.subject).find(|subject| !subject.is_empty());
        Ok(subject.ok_or("a case whose youth has no name")?)
    }

    /// A case at a table of these experts, by everybody's own name.
    async fn gather(&self, experts: &[String]) -> Result<BTreeMap<String, String>, Failed> {
        let case = self.refer().await?;
        let mut cases = CasesClient::new(self.channel(GEMEENTE).await?);
        for phase in [v1::Phase::F2, v1::Phase::F3] {
            let request = v1::AdvancePhaseRequest {
                request_id: id(),
                context: context("4", "beheer", v1::Role::R02),
                case: case.clone(),
                phase: phase as i32,
            };
            cases.advance_phase(request).await?;
        }
        let mut names = BTreeMap::from([(GEMEENTE.to_owned(), case.clone())]);
        for oin in experts {
            let seen = self.names(oin).await?;
            let request = v1::AssignRoleRequest {
                request_id: id(),
                context: context("1", "beheer", v1::Role::R02),
                case: case.clone(),
                role: v1::Role::R05 as i32,
                partner: format!("partners/{oin}"),
                ..v1::AssignRoleRequest::default()
            };
            cases.assign_role(request).await?;
            let new = self.names(oin).await?.into_iter().find(|name| !seen.contains(name));
            names.insert(oin.clone(), new.ok_or("an expert without a case")?);
        }
        Ok(names)
    }

    /// The cases in which a partner has a role, by its own names.
    async fn names(&self, oin: &str) -> Result<Vec<String>, Failed> {
        let request = v1::ListCasesRequest {
            context: context("4", "beheer", v1::Role::R05),
            page_size: 100,
            ..v1::ListCasesRequest::default()
        };
        let listed = CasesClient::new(self.channel(oin).await?).list_cases(request).await?.into_inner();
        Ok(listed.cases.into_iter().map(|case| case.name).collect())
    }

    /// Records to read, and announcements in every inbox.
    async fn fill(&self, world: &mut World) -> Result<(), Failed> {
        let mut records = RecordsClient::new(self.channel(GEMEENTE).await?);
        let small = Press::new(world, Parcel::Small)?;
        for _ in 0..RECORDS {
            let published = records.publish_record(tokio_stream::iter(small.make()?)).await?.into_inner();
            world.records.push(published.record.ok_or("a publication without its record")?.name);
        }
        let all = Press::new(world, Parcel::All)?;
        for _ in 0..WAITING {
            records.publish_record(tokio_stream::iter(all.make()?)).await?;
        }
        let ask = crate::calls::Requests::new(world)?.inbox();
        for oin in &world.experts {
            let mut inbox = InboxClient::new(self.channel(oin).await?);
            let mut items = inbox.stream_inbox(ask.clone()).await?.into_inner();
            while items.message().await?.is_some() {
                world.waiting += 1;
            }
        }
        Ok(())
    }

    /// Keeps a reply of every kind, for the bare server to give.
    async fn sample(&self, world: &World) -> Result<(), Failed> {
        let folder = self.folder.join("samples");
        std::fs::create_dir_all(&folder)?;
        for (name, parcel) in [("small", Parcel::Small), ("large", Parcel::Large)] {
            let mut records = RecordsClient::new(self.channel(GEMEENTE).await?);
            let upload = tokio_stream::iter(Press::new(world, parcel)?.make()?);
            let reply = records.publish_record(upload).await?.into_inner();
            std::fs::write(folder.join(name), reply.encode_to_vec())?;
        }
        let calls = crate::calls::Requests::new(world)?;
        let case = CasesClient::new(self.channel(GEMEENTE).await?).get_case(calls.get_case(0)).await?.into_inner();
        std::fs::write(folder.join("case"), case.encode_to_vec())?;
        let expert = self.channel(world.experts.first().ok_or("no expert")?).await?;
        let mut pieces = RecordsClient::new(expert.clone()).fetch_record(calls.fetch(0)).await?.into_inner();
        let piece = pieces.message().await?.ok_or("a record without a piece")?;
        std::fs::write(folder.join("piece"), piece.encode_to_vec())?;
        let mut items = InboxClient::new(expert).stream_inbox(calls.inbox()).await?.into_inner();
        let mut last = v1::InboxItem::default();
        while let Some(item) = items.message().await? {
            last = item;
        }
        std::fs::write(folder.join("item"), last.encode_to_vec())?;
        let mut pseudonyms = PseudonymsClient::new(self.channel(GEMEENTE).await?);
        let reply = pseudonyms.resolve_pseudonym(calls.resolve()).await?.into_inner();
        std::fs::write(folder.join("pseudonym"), reply.encode_to_vec())?;
        Ok(())
    }
}

/// What a keyholder could have answered.
pub(crate) fn voprf_output() -> Vec<u8> {
    let mut output = vec![0; 64];
    rand_core::RngCore::fill_bytes(&mut OsRng, &mut output);
    output
}

/// The key with which every hub of a run signs its log.
pub(crate) fn log_key(folder: &Path) -> Result<PrivateKey, Failed> {
    Ok(HubKeys::load(&folder.join("keys"))?.log(&hub::ORIGIN.parse()?).ok_or("no key of a log")?)
}
