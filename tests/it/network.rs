//! A network: a private CA, a hub that runs in this process, and partners that call it with certificates of their own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand_core::OsRng;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sluis::api::v1;
use sluis::ca::profile::alternative;
use sluis::ca::{Authority, DEFAULT_DAYS, Level, Office, Plan, Profile, SecretFrom};
use sluis::clock::{Clock, SystemClock, TlsClock};
use sluis::config::{HubConfig, KeyholderConfig, Source};
use sluis::demo::postgres::Cluster;
use sluis::identity::certificate::Environment;
use sluis::party::Oin;
use sluis::pseudonym::{Blinding, Bsn, Epoch, Keyholder, SecretKey};
use sluis::seal::AgentKeys;
use sluis::seal::certificate_signature::{Domain, sign};
use sluis::store::Access;
use sluis::tls::files::servers;
use sluis::tls::{ClientTls, Identity};
use sqlx::Row as _;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::calls::{Client, Reply};

/// OINs of the usual partners.
pub(crate) const GEMEENTE: &str = "00000099100001410000";
pub(crate) const ANDERE_GEMEENTE: &str = "00000099100001420000";
pub(crate) const GI: &str = "00000099200000010000";
pub(crate) const AANBIEDER: &str = "00000099300000010000";
pub(crate) const EXPERT: &str = "00000099300000020000";
pub(crate) const NETWERK: &str = "00000099400000010000";

/// A hub that is stopped as soon as a test ends.
pub(crate) const LIMITS: &str = "grace_seconds = 0, drain_seconds = 1";

/// A certificate with its key, and a connection that shows it.
pub(crate) struct Holder {
    pub(crate) oin: Oin,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) key_hash: String,
    pub(crate) client: Client,
}

impl Holder {
    /// A call that everybody may make.
    pub(crate) async fn greet(&self) {
        let request = v1::ListPartnersRequest::default();
        self.client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.unwrap();
    }
}

/// A partner that seals for itself.
pub(crate) struct Party {
    pub(crate) holder: Holder,
    pub(crate) keys: AgentKeys,
}

impl Party {
    pub(crate) fn oin(&self) -> &Oin {
        &self.holder.oin
    }

    /// `partners/{oin}`
    pub(crate) fn name(&self) -> String {
        format!("partners/{}", self.holder.oin)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.holder.client
    }
}

/// A new key, and the request of its holder for a certificate.
pub(crate) fn renewal(holder: &Holder) -> (rcgen::KeyPair, v1::RenewCertificateRequest) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&pair).unwrap();
    let (signing_request, certificate) = (request.der().to_vec(), holder.chain[0].to_vec());
    let proof = sign(&holder.key, Domain::Renewal, &signing_request).unwrap();
    let (signature_scheme, signature) = (proof.scheme.code().into(), proof.signature);
    (pair, v1::RenewCertificateRequest { signing_request, certificate, signature_scheme, signature })
}

/// Of [`Network::second_node`].
pub(crate) struct SecondNode {
    folder: PathBuf,
    pub(crate) address: String,
    running: Running,
}

impl SecondNode {
    /// The holder's connection to this node.
    pub(crate) async fn client(&self, holder: &Holder) -> Client {
        let identity = Identity::new(holder.chain.clone(), holder.key.clone_key()).unwrap();
        connect(&self.folder.join("ca/anchors.pem"), &identity, &self.address).await
    }

    pub(crate) async fn stop(mut self) {
        let _ = self.running.stop.take().unwrap().send(());
        self.running.task.await.unwrap().unwrap();
    }
}

/// Of [`Network::run_keyholder`].
pub(crate) struct RunningKeyholder {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), sluis::keyholder::KeyholderError>>,
}

impl RunningKeyholder {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}

impl Network {
    /// Where the keyholder listens, if it runs.
    pub(crate) fn keyholder_address(&self) -> &str {
        &self.keyholder_address
    }

    /// Runs the keyholder, with these holders on its roster.
    pub(crate) async fn run_keyholder(&self, holders: &[&Holder]) -> RunningKeyholder {
        use std::fmt::Write as _;
        issue_hub(&self.authority, "keyholder");
        let mut roster = String::new();
        for holder in holders {
            let Holder { oin, key_hash, .. } = holder;
            write!(roster, "[[partner]]\noin = \"{oin}\"\nkey_hashes = [\"{key_hash}\"]\nelements_per_day = 5000\n")
                .unwrap();
        }
        std::fs::write(self.path("roster.toml"), roster).unwrap();
        let text = format!(
            r#"
listen = {{ address = "{}" }}
tls = {{ certificate = "ca/keyholder.pem", key = "ca/keyholder.key", anchors = "ca/anchors.pem" }}
store = {{ url = "sqlite:keyholder/data/keyholder.db" }}
key = {{ file = "keyholder/keyholder.1.key", epoch = 1 }}
roster = {{ file = "roster.toml" }}
trust = {{ environment = "test" }}
"#,
            self.keyholder_address
        );
        let config: KeyholderConfig = sluis::config::parse(&self.path("keyholder.toml"), &text).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(sluis::keyholder::run(Source::still(config), async move {
            let _ = stopped.await;
        }));
        RunningKeyholder { stop, task }
    }
}

/// Moves the hub's clock.
pub(crate) async fn forward(network: &Network, seconds: i64) {
    let by = v1::advance_clock_request::By::Duration(prost_types::Duration { seconds, nanos: 0 });
    let forward = v1::AdvanceClockRequest { request_id: id(), by: Some(by) };
    network.operator.client.call::<_, v1::AdvanceClockResponse>("Simulation/AdvanceClock", &forward).await.unwrap();
}

/// Asks for another status of a partner: carried out, or waiting for a second operator.
pub(crate) async fn ask_status(
    operator: &Client,
    oin: &Oin,
    status: v1::PartnerStatus,
) -> Result<Reply<v1::Partner>, tonic::Status> {
    let request = v1::SetPartnerStatusRequest {
        request_id: id(),
        name: format!("partners/{oin}"),
        status: status as i32,
        reason: "proef".to_owned(),
        effective_time: None,
    };
    operator.call("Registry/SetPartnerStatus", &request).await
}

impl Network {
    /// Puts another certificate of the hub, with another key, in the old one's place.
    pub(crate) fn renew_hub(&self) {
        self.renew_hub_by(&self.authority);
    }

    /// The same under another issuing CA.
    pub(crate) fn renew_hub_by(&self, authority: &Authority) {
        let name = uuid::Uuid::new_v4().to_string();
        issue_hub(authority, &name);
        for end in ["key", "pem"] {
            let made = authority.office().folder().join(format!("{name}.{end}"));
            std::fs::rename(made, self.path(&format!("ca/hub.{end}"))).unwrap();
        }
    }

    /// Another issuing CA under the network's root.
    pub(crate) fn next_issuing(&self, folder: &str) -> Authority {
        let root = Office::read(&self.path("ca"), Level::Root).unwrap();
        let root = Authority::open_with(root, &SecretFrom::root(None)).unwrap();
        root.issuing(&self.path(folder), Plan::throwaway(), now()).unwrap()
    }

    /// The root of an authority that nobody here trusts, PEM.
    pub(crate) fn other_root(&self) -> Vec<u8> {
        let folder = self.path("other-ca");
        Authority::init(&folder, &"Ander netwerk".parse().unwrap(), Environment::Test, now()).unwrap();
        std::fs::read(folder.join("anchors.pem")).unwrap()
    }

    /// A certificate of that authority: `NAME.pem` and `NAME.key`.
    pub(crate) fn other_certificate(&self) -> String {
        let folder = self.path("other-ca");
        let profile = Profile::Person { person: "vreemde".parse().unwrap(), oin: NETWERK.parse().unwrap() };
        Authority::open(&folder).unwrap().issue("vreemde", &profile, DEFAULT_DAYS, now()).unwrap();
        "other-ca/vreemde".to_owned()
    }

    /// Puts a certificate of that authority, with its key, in the place of an organisation's under `ca/`.
    pub(crate) fn replace_by_other(&self, name: &str) {
        let folder = self.path("other-ca");
        let (shown, oin) = ("Elders".parse().unwrap(), NETWERK.parse().unwrap());
        let profile = Profile::Organisation { name: shown, oin, alternatives: vec![] };
        Authority::open(&folder).unwrap().issue(name, &profile, DEFAULT_DAYS, now()).unwrap();
        for end in ["key", "pem"] {
            std::fs::rename(folder.join(format!("{name}.{end}")), self.path(&format!("ca/{name}.{end}"))).unwrap();
        }
    }

    /// A certificate of this network's authority that is not registered: `NAME.pem` and `NAME.key`.
    pub(crate) fn officer_of_nobody(&self) -> String {
        let profile = Profile::Person { person: "niemand".parse().unwrap(), oin: NETWERK.parse().unwrap() };
        self.authority.issue("niemand", &profile, DEFAULT_DAYS, now()).unwrap();
        "ca/niemand".to_owned()
    }

    /// The certificate that the hub shows to whoever connects now.
    pub(crate) async fn shown(&self) -> Option<Vec<u8>> {
        self.shown_at(&self.address).await
    }

    /// The same of a node.
    pub(crate) async fn shown_at(&self, address: &str) -> Option<Vec<u8>> {
        let chain = Certificates::load(&self.path("ca"), "operator");
        let identity = Identity::new(chain.chain, chain.key).unwrap();
        let trust = servers(&self.path("ca/root.pem")).unwrap();
        let tls = ClientTls::new(&identity, &trust, "127.0.0.1", Arc::new(TlsClock)).unwrap();
        let _channel = tls.connect(address).await.ok()?;
        tls.server_leaf().map(|leaf| leaf.to_vec())
    }
}

/// A hub that runs.
struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), sluis::hub::HubError>>,
}

/// The network.
pub(crate) struct Network {
    folder: TempDir,
    authority: Authority,
    config: String,
    pub(crate) address: String,
    keyholder: Keyholder,
    keyholder_address: String,
    place: Place,
    clock: Arc<dyn Clock>,
    running: Option<Running>,
    pub(crate) operator: Holder,
    pub(crate) officer: Holder,
    pub(crate) netwerk: Party,
    issued: std::sync::atomic::AtomicUsize,
}

impl Network {
    /// Starts a hub, registers the network's office with its officer, and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with further limits: `, calls = 8`.
    pub(crate) async fn start_with(limits: &str) -> Self {
        Self::start_limited(&format!("{LIMITS}{limits}")).await
    }

    /// The same with these limits and no others.
    pub(crate) async fn start_limited(limits: &str) -> Self {
        Self::start_at(limits, Place::new, Arc::new(SystemClock)).await
    }

    /// The same with its rows somewhere else, and by another clock.
    pub(crate) async fn start_at(limits: &str, place: impl FnOnce(&Path) -> Place, clock: Arc<dyn Clock>) -> Self {
        Self::start_under(limits, "", place, clock).await
    }

    /// The same with further sections of the configuration.
    pub(crate) async fn start_under(
        limits: &str,
        more: &str,
        place: impl FnOnce(&Path) -> Place,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority =
            Authority::init(&folder.path().join("ca"), &"Proefnetwerk".parse().unwrap(), Environment::Test, now())
                .unwrap();
        let keyholder = prepare(folder.path(), &authority);
        let (address, keyholder_address) = (free_address(), free_address());
        let place = place(folder.path());
        let config = format!("{}{more}\n", config(&address, &keyholder, &place, limits));
        let running = run(folder.path(), &config, &clock);
        let tls = |name: &str| Certificates::load(&folder.path().join("ca"), name);
        let operator = tls("operator").hold(folder.path(), &address).await;
        let office = issue_organisation(&authority, "netwerk", NETWERK);
        let office = office.hold(folder.path(), &address).await;
        let officer = tls("fg-netwerk").hold(folder.path(), &address).await;
        let netwerk = Party { holder: office, keys: AgentKeys::generate(&mut OsRng).unwrap() };
        let network = Self {
            folder,
            authority,
            config,
            address,
            keyholder,
            keyholder_address,
            place,
            clock,
            running: Some(running),
            operator,
            officer,
            netwerk,
            issued: std::sync::atomic::AtomicUsize::new(0),
        };
        network.until_it_serves().await;
        let standing = [v1::Role::R03, v1::Role::R04];
        network.register_partner(NETWERK, v1::OrganisationKind::Netwerk, &standing).await;
        network.register_certificate(&network.netwerk.holder, v1::HolderKind::Organisation, "").await;
        network.register_certificate(&network.officer, v1::HolderKind::NetworkOfficer, "fg-netwerk").await;
        network.join(&network.netwerk).await;
        network
    }

    async fn until_it_serves(&self) {
        let request = v1::ListPartnersRequest::default();
        let asked = || self.operator.client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request);
        // On a busy machine a database takes seconds to be made.
        for _ in 0..1_200 {
            match asked().await {
                Ok(_) => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
        panic!("the hub does not serve: {:?}", asked().await.err());
    }

    /// A partner that is registered, has published keys and signed the covenant.
    pub(crate) async fn partner(&self, oin: &str, kind: v1::OrganisationKind) -> Party {
        let party = self.registered(oin, kind).await;
        self.join(&party).await;
        party
    }

    /// A partner that is registered and nothing more.
    pub(crate) async fn registered(&self, oin: &str, kind: v1::OrganisationKind) -> Party {
        self.register_partner(oin, kind, &[]).await;
        let holder = self.certificate(oin).await;
        self.register_certificate(&holder, v1::HolderKind::Organisation, "").await;
        Party { holder, keys: AgentKeys::generate(&mut OsRng).unwrap() }
    }

    /// A connection of a holder that says what it is.
    pub(crate) async fn calling_itself(&self, holder: &Holder, user_agent: &'static str) -> Client {
        let identity = Identity::new(holder.chain.clone(), holder.key.clone_key()).unwrap();
        let trust = servers(&self.path("ca/anchors.pem")).unwrap();
        let tls = ClientTls::new(&identity, &trust, "127.0.0.1", Arc::new(TlsClock)).unwrap();
        Client::new(tls.calling_itself(user_agent).connect_lazy(&self.address).unwrap())
    }

    /// Whoever holds this key, with what was issued for it.
    pub(crate) async fn holder_of(&self, pair: &rcgen::KeyPair, chain: &[Vec<u8>]) -> Holder {
        let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        Certificates { chain, key }.hold(self.folder.path(), &self.address).await
    }

    /// A new certificate of an organisation, which nobody has registered.
    pub(crate) async fn certificate(&self, oin: &str) -> Holder {
        self.certificate_for(oin, DEFAULT_DAYS).await
    }

    /// One that is good for so many days.
    pub(crate) async fn certificate_for(&self, oin: &str, days: u16) -> Holder {
        let name = format!("org-{}", self.number());
        let certificates = issue_organisation_for(&self.authority, &name, oin, days);
        certificates.hold(self.folder.path(), &self.address).await
    }

    /// A certificate whose time is half over, which nobody has registered.
    pub(crate) async fn half_over(&self, oin: &str) -> Holder {
        let name = format!("org-{}", self.number());
        let (parsed, alternatives) = (oin.parse().unwrap(), vec![]);
        let profile = Profile::Organisation { name: "Half om".parse().unwrap(), oin: parsed, alternatives };
        self.authority.issue(&name, &profile, 60, now() - time::Duration::days(30)).unwrap();
        Certificates::load(&self.path("ca"), &name).hold(self.folder.path(), &self.address).await
    }

    /// One that is good for so many seconds still, which nobody has registered.
    pub(crate) async fn ending(&self, oin: &str, seconds: i64) -> Holder {
        let name = format!("org-{}", self.number());
        let profile = Profile::Organisation {
            name: "Bijna om".parse().unwrap(),
            oin: oin.parse().unwrap(),
            alternatives: vec![],
        };
        let made = now() - time::Duration::days(2) + time::Duration::seconds(seconds);
        self.authority.issue(&name, &profile, 2, made).unwrap();
        Certificates::load(&self.path("ca"), &name).hold(self.folder.path(), &self.address).await
    }

    /// A registered privacy officer of a partner; the certificate's files are named after the person.
    pub(crate) async fn officer_of(&self, oin: &str, person: &str) -> Holder {
        self.person_of(oin, person, v1::HolderKind::Officer).await
    }

    /// A registered operator whom a partner employs.
    pub(crate) async fn operator_of(&self, oin: &str, person: &str) -> Holder {
        self.person_of(oin, person, v1::HolderKind::Operator).await
    }

    async fn person_of(&self, oin: &str, person: &str, kind: v1::HolderKind) -> Holder {
        let holder = self.issued_to(person, person, oin).await;
        self.register_certificate(&holder, kind, person).await;
        holder
    }

    /// A person of the network's office, whom nobody has registered.
    pub(crate) async fn person(&self, person: &str) -> Holder {
        self.issued_to(person, person, NETWERK).await
    }

    /// Another certificate of the same person.
    pub(crate) async fn second_of(&self, person: &str) -> Holder {
        self.issued_to(&format!("{person}-{}", self.number()), person, NETWERK).await
    }

    /// A certificate of a person, in files of this name.
    async fn issued_to(&self, file: &str, person: &str, oin: &str) -> Holder {
        let profile = Profile::Person { person: person.parse().unwrap(), oin: oin.parse().unwrap() };
        self.authority.issue(file, &profile, DEFAULT_DAYS, now()).unwrap();
        Certificates::load(&self.path("ca"), file).hold(self.folder.path(), &self.address).await
    }

    /// A second operator, who has called before.
    pub(crate) async fn second_operator(&self) -> Holder {
        let person = format!("operator-{}", self.number());
        let holder = self.person(&person).await;
        self.register_certificate(&holder, v1::HolderKind::Operator, &person).await;
        holder.greet().await;
        holder
    }

    /// Registers another certificate of an organisation and calls with it: what it had before has a successor.
    pub(crate) async fn succeeded(&self, oin: &str) -> Holder {
        let holder = self.certificate(oin).await;
        self.register_certificate(&holder, v1::HolderKind::Organisation, "").await;
        holder.greet().await;
        holder
    }

    /// Arguments of a command that calls the hub with a certificate under `ca/`.
    pub(crate) fn remote(&self, name: &str) -> Vec<String> {
        let shown = |name: &str| self.path(name).display().to_string();
        let own = |end: &str| shown(&format!("ca/{name}.{end}"));
        let server = ["--address", &self.address, "--server-name", "127.0.0.1"].map(ToOwned::to_owned);
        let files = ["--anchors", &shown("ca/anchors.pem"), "--certificate", &own("pem"), "--key", &own("key")];
        [server.to_vec(), files.map(ToOwned::to_owned).to_vec()].concat()
    }

    /// Files of a server's certificate and key, and of a client's, under `ca/`.
    pub(crate) fn issue(&self, server: &str, client: &str) {
        let alternatives = vec![alternative("127.0.0.1").unwrap()];
        let profile = Profile::Server { name: server.parse().unwrap(), oin: None, alternatives };
        self.authority.issue(server, &profile, DEFAULT_DAYS, now()).unwrap();
        issue_organisation(&self.authority, client, NETWERK);
    }

    /// Signs the key of a request; gives the chain.
    pub(crate) fn sign_key(&self, name: &str, request: &Path, profile: &Profile) -> Vec<Vec<u8>> {
        let issued = self.authority.sign(name, request, profile, DEFAULT_DAYS, now()).unwrap();
        let chain = CertificateDer::pem_file_iter(&issued.chain).unwrap();
        chain.map(|der| der.unwrap().to_vec()).collect()
    }

    /// A certificate of the same name from another authority.
    pub(crate) async fn stranger(&self, oin: &str) -> Holder {
        let folder = self.path(&format!("other-ca-{}", self.number()));
        let other = Authority::init(&folder, &"Elders".parse().unwrap(), Environment::Test, now()).unwrap();
        let name = "org";
        let profile =
            Profile::Organisation { name: "Elders".parse().unwrap(), oin: oin.parse().unwrap(), alternatives: vec![] };
        other.issue(name, &profile, DEFAULT_DAYS, now()).unwrap();
        Certificates::load(&folder, name).hold(self.folder.path(), &self.address).await
    }

    /// A connection that shows no certificate at all.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(anonymous(&self.path("ca/anchors.pem"), &self.address))
    }

    fn number(&self) -> usize {
        self.issued.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) async fn register_partner(&self, oin: &str, kind: v1::OrganisationKind, standing: &[v1::Role]) {
        let request = v1::RegisterPartnerRequest {
            request_id: id(),
            oin: oin.to_owned(),
            display_name: format!("Partner {kind:?}"),
            kind: kind as i32,
            standing_roles: standing.iter().map(|role| *role as i32).collect(),
            effective_time: None,
        };
        let done = self.operator.client.call::<_, v1::Partner>("Registry/RegisterPartner", &request).await;
        done.unwrap();
    }

    pub(crate) async fn register_certificate(&self, holder: &Holder, kind: v1::HolderKind, person: &str) {
        let request = v1::RegisterCertificateRequest {
            request_id: id(),
            certificate: holder.chain[0].to_vec(),
            holder: kind as i32,
            person_ref: person.to_owned(),
            ..Default::default()
        };
        let call = self.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
        assert_eq!(call.await.unwrap().message.key_hash, holder.key_hash);
    }

    /// Publishes keys and signs the covenant.
    pub(crate) async fn join(&self, party: &Party) {
        self.publish_keys(party).await;
        self.sign(party).await;
    }

    pub(crate) async fn publish_keys(&self, party: &Party) {
        let request = publish_keys(party);
        party.client().call::<_, v1::PublishKeysResponse>("Directory/PublishKeys", &request).await.unwrap();
    }

    pub(crate) async fn sign(&self, party: &Party) {
        let request = self.signature(party).await;
        party.client().call::<_, v1::CovenantSignature>("Covenants/SignCovenant", &request).await.unwrap();
    }

    /// The signature of a partner under the covenant in force.
    pub(crate) async fn signature(&self, party: &Party) -> v1::SignCovenantRequest {
        let request = v1::GetCovenantRequest::default();
        let covenant = self.operator.client.call::<_, v1::Covenant>("Covenants/GetCovenant", &request).await.unwrap();
        let v1::Covenant { name, content_hash, .. } = covenant.message;
        let signature = sign(&party.holder.key, Domain::Covenant, &content_hash).unwrap();
        v1::SignCovenantRequest {
            request_id: id(),
            name,
            content_hash,
            signature_scheme: u32::from(signature.scheme.code()),
            signature: signature.signature,
            certificate_chain: party.holder.chain.iter().map(|der| der.to_vec()).collect(),
        }
    }

    /// Sets a partner's status.
    pub(crate) async fn set_status(&self, oin: &Oin, status: v1::PartnerStatus) {
        let partner = ask_status(&self.operator.client, oin, status).await.unwrap().message;
        assert_eq!((partner.status(), partner.pending), (status, None));
    }

    /// Connections of whom the network has just put out are cut by now.
    pub(crate) async fn until_cut(&self) {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }

    /// The keyholder's public key, as configurations pin it.
    pub(crate) fn keyholder_key(&self) -> String {
        hex::encode(self.keyholder.public_key().to_bytes())
    }

    /// Where the hub listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What the keyholder makes of a BSN, 64 bytes.
    pub(crate) fn voprf(&self, bsn: &str) -> Vec<u8> {
        let bsn = Bsn::parse(bsn).unwrap();
        let (blinding, blinded) = Blinding::start(&bsn.canonical_input(), &mut OsRng).unwrap();
        let evaluation = self.keyholder.evaluate(&blinded, &mut OsRng).unwrap();
        let output = blinding.finish(&evaluation.evaluated[0], &evaluation.proof, &self.keyholder.public_key());
        output.unwrap().as_bytes().to_vec()
    }

    /// The digest that agents compare at connect.
    pub(crate) fn known_answer(&self) -> Vec<u8> {
        self.keyholder.evaluate_known_answer().unwrap().as_bytes().to_vec()
    }

    /// Everywhere the hub keeps something on disk.
    pub(crate) fn data(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.path("hub")];
        folders.extend(is_postgres().then(|| cluster().data()));
        folders
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection of our own to the hub's database.
    pub(crate) async fn database(&self) -> Database {
        Database::open(&self.place.url).await
    }

    /// Its configuration, for a command beside it.
    pub(crate) fn config_file(&self) -> PathBuf {
        let file = self.path("hub.toml");
        std::fs::write(&file, &self.config).unwrap();
        file
    }

    /// Looks at the whole store by its rows alone.
    pub(crate) async fn holds_together(&self) {
        let report = self.checked().await;
        assert!(report.findings.is_empty() && report.events > 0, "{report:?}");
    }

    pub(crate) async fn checked(&self) -> sluis::store::check::Report {
        let access = Access::new(&self.place.url, None).unwrap();
        sluis::store::check::check(&access).await.unwrap()
    }

    /// Another node over the same rows, which are in PostgreSQL.
    pub(crate) async fn second_node(&self) -> SecondNode {
        self.beside(self.config.clone()).await
    }

    /// Another hub under the same keys, over an empty database of its own.
    pub(crate) async fn twin(&self) -> SecondNode {
        let own =
            if is_postgres() { Place::on(cluster()).config } else { "url = \"sqlite:hub-of-2/hub.db\"".to_owned() };
        self.beside(self.config.replace(&self.place.config, &own)).await
    }

    async fn beside(&self, config: String) -> SecondNode {
        let address = free_address();
        let mut config = config.replace(&self.address, &address);
        for own in ["hub-1", "hub/spool", "hub/audit"] {
            config = config.replace(&format!("\"{own}"), &format!("\"{own}-of-2"));
        }
        let folder = self.folder.path().to_owned();
        std::fs::create_dir_all(folder.join("hub-of-2")).unwrap();
        let running = run(&folder, &config, &self.clock);
        let node = SecondNode { folder, address, running };
        let operator = node.client(&self.operator).await;
        let request = v1::ListPartnersRequest::default();
        for _ in 0..200 {
            match operator.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await {
                Ok(_) => return node,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("the second node does not serve");
    }

    /// Stops the hub as a signal would, and waits for it.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.stop.take().unwrap().send(());
            running.task.await.unwrap().unwrap();
        }
    }

    /// Starts it again over the same data, as a process of its own.
    pub(crate) async fn restart_as_process(&mut self) -> std::process::Child {
        assert!(self.running.is_none(), "stop it first");
        let file = self.path("hub.toml");
        std::fs::write(&file, &self.config).unwrap();
        let log = std::fs::File::create(self.path("hub.log")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluis"));
        let child = command.args(["hub", "--config"]).arg(&file).stderr(log).spawn().unwrap();
        self.until_it_serves().await;
        child
    }

    /// Changes its configuration, for the next start.
    pub(crate) fn reconfigure(&mut self, from: &str, to: &str) {
        assert!(self.config.contains(from));
        self.config = self.config.replace(from, to);
    }

    /// Tries to start it again over the same data: why it does not.
    pub(crate) async fn does_not_start(&self) -> String {
        let running = run(self.folder.path(), &self.config, &self.clock);
        let ended = tokio::time::timeout(Duration::from_secs(20), running.task).await.expect("it runs");
        sluis::telemetry::chain(&ended.unwrap().unwrap_err())
    }

    /// Starts it again over the same data.
    pub(crate) async fn restart(&mut self) {
        self.running = Some(run(self.folder.path(), &self.config, &self.clock));
        self.until_it_serves().await;
    }
}

/// A new request id.
pub(crate) fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The time of the machine.
pub(crate) fn now() -> time::OffsetDateTime {
    SystemClock.now()
}

/// A partner's key set, signed with its certificate.
pub(crate) fn publish_keys(party: &Party) -> v1::PublishKeysRequest {
    // Always the same moment: the same keys of one epoch are one document.
    let created = time::OffsetDateTime::from_unix_timestamp(1_780_000_000).unwrap();
    publish_set(party, &party.keys.key_set(party.oin().clone(), Epoch::FIRST, created).unwrap())
}

/// Some key set, signed with the partner's certificate.
pub(crate) fn publish_set(party: &Party, set: &sluis::seal::KeySet) -> v1::PublishKeysRequest {
    let signed = set.sign(&party.holder.key).unwrap();
    v1::PublishKeysRequest {
        request_id: id(),
        keys: Some(v1::KeySet {
            document: signed.bytes,
            signature_scheme: u32::from(signed.signature.scheme.code()),
            signature: signed.signature.signature,
            certificate_chain: party.holder.chain.iter().map(|der| der.to_vec()).collect(),
            mandate: None,
        }),
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Makes keys and the certificates that exist before the hub runs.
fn prepare(folder: &Path, authority: &Authority) -> Keyholder {
    let mut said = Vec::new();
    sluis::cli::init::hub(&folder.join("keys"), &mut said).unwrap();
    let facts = sluis::cli::init::keyholder(&folder.join("keyholder"), &mut said).unwrap();
    let seed = SecretKey::from_hex_file_text(&std::fs::read_to_string(&facts.file).unwrap()).unwrap();
    std::fs::create_dir(folder.join("hub")).unwrap();
    issue_hub(authority, "hub");
    for name in ["operator", "fg-netwerk"] {
        let profile = Profile::Person { person: name.parse().unwrap(), oin: NETWERK.parse().unwrap() };
        authority.issue(name, &profile, DEFAULT_DAYS, now()).unwrap();
    }
    Keyholder::from_seed(&seed).unwrap()
}

fn config(address: &str, keyholder: &Keyholder, place: &Place, limits: &str) -> String {
    let store = &place.config;
    let known = keyholder.evaluate_known_answer().unwrap();
    let known: String = known.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        r#"
node = "hub-1"
listen = {{ address = "{address}" }}
tls = {{ certificate = "ca/hub.pem", key = "ca/hub.key", anchors = "ca/anchors.pem" }}
trust = {{ environment = "test" }}
store = {{ {store}, spool = "hub/spool" }}
keys = {{ directory = "keys" }}
audit = {{ origin = "sluis.example/test", checkpoint = "hub/audit/checkpoint" }}
keyholder = {{ known_answer = "{known}" }}
bootstrap = {{ operator = "ca/operator.pem", organisation_name = "Netwerkbureau" }}
simulation = {{ clock = true }}
limits = {{ {limits} }}
"#
    )
}

fn run(folder: &Path, config: &str, clock: &Arc<dyn Clock>) -> Running {
    let config: HubConfig = sluis::config::parse(&folder.join("hub.toml"), config).unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(sluis::hub::run_by(Arc::clone(clock), Source::still(config), async move {
        let _ = stopped.await;
    }));
    Running { stop: Some(stop), task }
}

fn issue_hub(authority: &Authority, file: &str) {
    let server = Profile::Server {
        name: "hub".parse().unwrap(),
        oin: None,
        alternatives: vec![alternative("127.0.0.1").unwrap()],
    };
    authority.issue(file, &server, DEFAULT_DAYS, now()).unwrap();
}

fn issue_organisation(authority: &Authority, name: &str, oin: &str) -> Certificates {
    issue_organisation_for(authority, name, oin, DEFAULT_DAYS)
}

fn issue_organisation_for(authority: &Authority, name: &str, oin: &str, days: u16) -> Certificates {
    let profile = Profile::Organisation {
        name: format!("Organisatie {name}").parse().unwrap(),
        oin: oin.parse().unwrap(),
        alternatives: vec![],
    };
    let issued = authority.issue(name, &profile, days, now()).unwrap();
    Certificates::load(issued.chain.parent().unwrap(), name)
}

struct Certificates {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificates {
    fn load(folder: &Path, name: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(folder.join(format!("{name}.pem"))).unwrap();
        Self {
            chain: chain.map(Result::unwrap).collect(),
            key: PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap(),
        }
    }

    async fn hold(self, folder: &Path, address: &str) -> Holder {
        let identity = Identity::new(self.chain.clone(), self.key.clone_key()).unwrap();
        let leaf = sluis::identity::certificate::Leaf::read(&self.chain[0]).unwrap();
        Holder {
            oin: leaf.oin().unwrap(),
            key_hash: leaf.key_hash.to_string(),
            chain: self.chain,
            key: self.key,
            client: connect(&folder.join("ca/anchors.pem"), &identity, address).await,
        }
    }
}

async fn connect(anchors: &Path, identity: &Identity, address: &str) -> Client {
    let tls = ClientTls::new(identity, &servers(anchors).unwrap(), "127.0.0.1", Arc::new(TlsClock)).unwrap();
    Client::new(tls.connect_lazy(address).unwrap())
}

fn anonymous(anchors: &Path, address: &str) -> tonic::transport::Channel {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(anchors).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let target = address.to_owned();
    let connect = tower::service_fn(move |_: tonic::transport::Uri| {
        let (connector, target) = (connector.clone(), target.clone());
        async move {
            let stream = tokio::net::TcpStream::connect(target).await?;
            let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
            connector.connect(name, stream).await.map(hyper_util::rt::TokioIo::new)
        }
    });
    tonic::transport::Endpoint::from_static("http://127.0.0.1").connect_with_connector_lazy(connect)
}

/// Where a hub's rows are: `SLUIS_TEST_STORE=postgres` puts them on a PostgreSQL of this test run, anything else in SQLite.
pub(crate) struct Place {
    /// Keys of `[store]`.
    pub(crate) config: String,
    /// For a connection that may do everything.
    pub(crate) url: String,
    /// As a hub opens it.
    pub(crate) access: Access,
}

impl Place {
    /// A new, empty one.
    pub(crate) fn new(folder: &Path) -> Self {
        if !is_postgres() {
            let url = format!("sqlite:{}", folder.join("hub/hub.db").display());
            let access = Access::new(&url, None).unwrap();
            return Self { config: "url = \"sqlite:hub/hub.db\"".to_owned(), url, access };
        }
        Self::on(cluster())
    }

    /// A new, empty one on a PostgreSQL.
    pub(crate) fn on(cluster: &Cluster) -> Self {
        let database = cluster.new_database().unwrap();
        let password = |file: &Path| std::fs::read_to_string(file).unwrap().trim().to_owned();
        let (hub, owner) = (password(&database.password_file), password(&database.owner_password_file));
        let url = database.owner_url.replace("owner@", &format!("owner:{owner}@"));
        let access = Access::new(&database.url, Some(&hub)).unwrap();
        let access = access.with_owner(&database.owner_url, Some(&owner)).unwrap();
        Self { config: database.to_toml().trim_end().replace('\n', ", "), url, access }
    }
}

/// The PostgreSQL of this test run.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start().unwrap())
}

/// Whether this run is on PostgreSQL.
#[expect(clippy::disallowed_methods, reason = "the test command runs the suite once per engine")]
pub(crate) fn is_postgres() -> bool {
    std::env::var("SLUIS_TEST_STORE").is_ok_and(|store| store == "postgres")
}

/// A connection to the database beside the hub's.
pub(crate) struct Database(sqlx::AnyPool);

impl Database {
    pub(crate) async fn open(url: &str) -> Self {
        sqlx::any::install_default_drivers();
        Self(sqlx::any::AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap())
    }

    pub(crate) async fn run(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.0).await.unwrap();
    }

    /// Any statements, in a row.
    pub(crate) async fn any(&self, statements: String) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&self.0).await.unwrap();
    }

    /// From now on a table takes no rows, or none that a condition picks, until [`Self::allow`].
    pub(crate) async fn forbid(&self, table: &str, when: &str) {
        let when = if when.is_empty() { String::new() } else { format!("WHEN ({when})") };
        let statement = if is_postgres() {
            format!(
                "CREATE OR REPLACE FUNCTION forbid() RETURNS TRIGGER LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'not today'; END $$; \
                 CREATE TRIGGER forbidden BEFORE INSERT ON {table} FOR EACH ROW {when} EXECUTE FUNCTION forbid()"
            )
        } else {
            format!(
                "CREATE TRIGGER forbidden BEFORE INSERT ON {table} {when} BEGIN SELECT RAISE(ABORT, 'not today'); END"
            )
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&self.0).await.unwrap();
    }

    /// Ends [`Self::forbid`].
    pub(crate) async fn allow(&self, table: &str) {
        let on = if is_postgres() { format!(" ON {table}") } else { String::new() };
        let statement = format!("DROP TRIGGER forbidden{on}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&self.0).await.unwrap();
    }

    /// The single number that a query gives.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query(query).fetch_one(&self.0).await.unwrap().get(0)
    }

    /// The same of any query.
    pub(crate) async fn any_number(&self, query: String) -> i64 {
        sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&self.0).await.unwrap().get(0)
    }

    /// How many events there are.
    pub(crate) async fn events(&self) -> i64 {
        self.number("SELECT COUNT(*) FROM audit_event").await
    }

    /// When an event was, in microseconds.
    pub(crate) async fn time_of(&self, name: &str) -> i64 {
        let row = sqlx::query("SELECT at FROM audit_event WHERE event_id = $1");
        row.bind(name.trim_start_matches("events/")).fetch_one(&self.0).await.unwrap().get(0)
    }

    /// Id of the first event of this method in an organisation's name.
    pub(crate) async fn first_event(&self, oin: &str, method: &str) -> String {
        let row =
            sqlx::query("SELECT event_id FROM audit_event WHERE req_oin = $1 AND method = $2 ORDER BY at LIMIT 1");
        row.bind(oin).bind(method).fetch_one(&self.0).await.unwrap().get(0)
    }

    /// Id of the last one.
    pub(crate) async fn last_event(&self, oin: &str, method: &str) -> String {
        let row =
            sqlx::query("SELECT event_id FROM audit_event WHERE req_oin = $1 AND method = $2 ORDER BY at DESC LIMIT 1");
        row.bind(oin).bind(method).fetch_one(&self.0).await.unwrap().get(0)
    }

    /// Outcome, reason and organisation of an event.
    pub(crate) async fn event(&self, name: &str) -> (String, String, String) {
        let row = sqlx::query("SELECT outcome, reason, req_oin FROM audit_event WHERE event_id = $1");
        let row = row.bind(name.trim_start_matches("events/")).fetch_one(&self.0).await.unwrap();
        (row.get(0), row.get(1), row.get(2))
    }

    /// Consents that the events of a method name, in the order of the events.
    pub(crate) async fn consents_of(&self, method: &str) -> Vec<String> {
        let rows = sqlx::query("SELECT consents FROM audit_event WHERE method LIKE $1 ORDER BY event_id");
        let rows = rows.bind(format!("%{method}")).fetch_all(&self.0).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The hub's own id of the case that somebody calls `name`.
    pub(crate) async fn case_id(&self, name: &str) -> String {
        let row = sqlx::query("SELECT case_id FROM case_name WHERE name = $1").bind(name.trim_start_matches("cases/"));
        row.fetch_one(&self.0).await.unwrap().get(0)
    }

    /// What another organisation calls the case that somebody calls `name`; every organisation knows its own only.
    pub(crate) async fn case_name(&self, name: &str, oin: &Oin) -> String {
        let row = sqlx::query(
            "SELECT name FROM case_name WHERE oin = $1 AND case_id = (SELECT case_id FROM case_name WHERE name = $2)",
        );
        let row = row.bind(oin.as_str()).bind(name.trim_start_matches("cases/")).fetch_one(&self.0).await.unwrap();
        format!("cases/{}", row.get::<String, _>(0))
    }
}
