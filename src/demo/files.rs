//! Everything that the demo network needs on disk: CA, certificates, keys, configuration, `network.toml`.
//!
//! ```text
//! ca/          the network's CA and every certificate under it
//! hub/         hub.toml, keys, database; hub-2/ and so on for further nodes, with the keys of the first
//! keyholder/   keyholder.toml, roster.toml, key, database
//! agents/g-a/  agent.toml, local CA, store; one directory per partner, of some with a witness's key
//! audit.policy who signs the log's checkpoints: the policy of hub and agents
//! logs/        one file per process
//! network.toml addresses and certificates, for scenarios and foreign clients
//! ```

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::DemoError;
use super::ports::Ports;
use super::postgres::Access;
use crate::ca::profile::alternative;
use crate::ca::{Authority, DEFAULT_DAYS, Issued, Profile};
use crate::cli::init::{self, AgentInitArgs, KeyholderFacts};
use crate::identity::certificate::{Environment, KeyHash};
use crate::keys::HubKeys;
use crate::party::Oin;
use crate::scenario::network::{Endpoint, Member, Network, Person, Stranger};
use crate::scenario::{Scenario, file::Partner};
use crate::tlog::{NotAName, PublicKey};

/// Name in the certificates of all processes; they also carry 127.0.0.1.
const HOST: &str = "localhost";
/// Name of the demo's log.
const ORIGIN: &str = "sluis.example/demo";
/// Who signs it, beside the hub's own directory.
const POLICY: &str = "audit.policy";
/// Partners whose agents sign it: most of them must.
const WITNESSES: usize = 3;
/// The organisation that runs the hub: a processor, not a partner.
const OPERATOR_OIN: &str = "00000099600000010000";

/// What hub and keyholder are made of.
pub(super) struct Plan<'a> {
    /// How many nodes; one at least.
    pub(super) nodes: usize,
    /// The database that they share; `None`: one node with SQLite.
    pub(super) database: Option<&'a Access>,
    /// Identifiers that each partner may have evaluated in a day.
    pub(super) elements_per_day: u32,
}

/// What was made and where it listens.
pub(super) struct Layout {
    directory: PathBuf,
    pub(super) keyholder: Endpoint,
    pub(super) network: Network,
    #[expect(dead_code, reason = "held as long as the network")]
    ports: Ports,
}

/// What making the files needs.
struct Maker<'a> {
    directory: &'a Path,
    authority: Authority,
    now: OffsetDateTime,
}

impl Layout {
    /// Makes everything for the partners of `scenario`.
    pub(super) fn make(
        directory: &Path,
        scenario: &Scenario,
        plan: &Plan<'_>,
        now: OffsetDateTime,
    ) -> Result<Self, DemoError> {
        let authority = Authority::init(&directory.join("ca"), &"Sluis demo".parse()?, Environment::Test, now)?;
        let maker = Maker { directory, authority, now };
        let further = plan.nodes.saturating_sub(1);
        let no_port = |source| DemoError::Io { what: "a free port".to_owned(), source };
        let ports = Ports::free(2 + further + scenario.partners.len()).map_err(no_port)?;
        let mut addresses = ports.numbers().iter().map(|port| format!("127.0.0.1:{port}"));
        let mut endpoint = |anchors: PathBuf| Endpoint {
            address: addresses.next().unwrap_or_default(),
            server_name: HOST.to_owned(),
            anchors,
        };
        let anchors = directory.join("ca/anchors.pem");
        let (hub, keyholder) = (endpoint(anchors.clone()), endpoint(anchors.clone()));
        let nodes: Vec<Endpoint> = (0..further).map(|_| endpoint(anchors.clone())).collect();
        let operator = maker.person("operator", "operator.demo", OPERATOR_OIN)?;
        let mut members = Vec::new();
        let mut roster = String::new();
        for partner in &scenario.partners {
            let local = directory.join("agents").join(slug(&partner.id)).join("local");
            let (member, key) = maker.member(partner, endpoint(local.join("anchors.pem")))?;
            roster.push_str(&roster_entry(&partner.oin, key, plan.elements_per_day));
            members.push(member);
        }
        let strangers = scenario.outsiders.iter().map(|one| maker.stranger(&one.id, &one.oin));
        let network_oin = scenario.partners.iter().find(|one| one.coordinates()).or(scenario.partners.first());
        let network_oin = network_oin.map_or(OPERATOR_OIN, |partner| partner.oin.as_str());
        let network = Network {
            hub,
            nodes,
            operator: Some(operator),
            network_officer: Some(maker.person("network-officer", "fg.netwerk", network_oin)?),
            partners: members,
            outsiders: strangers.collect::<Result<_, _>>()?,
        };
        let facts = maker.keyholder(&keyholder, &roster)?;
        init::hub(&directory.join("hub/keys"), &mut std::io::sink())?;
        let log_key = maker.log_key()?;
        let witnesses = maker.witnesses(&log_key, scenario)?;
        for (node, endpoint) in network.hub_nodes().enumerate() {
            maker.hub(node, endpoint, plan.database, &facts)?;
        }
        for (nth, partner) in scenario.partners.iter().enumerate() {
            let witness = if nth < witnesses { witness_section(partner) } else { String::new() };
            maker.agent(nth, partner, &network, &keyholder, &facts, (&log_key, &witness))?;
        }
        let text = toml::to_string(&network).unwrap_or_default();
        write(&directory.join("network.toml"), &text)?;
        Ok(Self { directory: directory.to_owned(), keyholder, network, ports })
    }

    pub(super) fn hub_config(&self, node: usize) -> PathBuf {
        self.directory.join(hub_name(node)).join("hub.toml")
    }

    pub(super) fn keyholder_config(&self) -> PathBuf {
        self.directory.join("keyholder/keyholder.toml")
    }

    pub(super) fn agent_config(&self, id: &str) -> PathBuf {
        self.directory.join("agents").join(slug(id)).join("agent.toml")
    }

    /// The certificate of a partner towards hub and keyholder.
    pub(super) fn organisation_person(&self, id: &str) -> Person {
        let file = |extension: &str| self.directory.join("ca").join(format!("{}.{extension}", slug(id)));
        Person { certificate: file("pem"), key: file("key") }
    }

    /// The operator's certificate.
    pub(super) fn operator_person(&self) -> Person {
        let ca = self.directory.join("ca");
        Person { certificate: ca.join("operator.pem"), key: ca.join("operator.key") }
    }
}

impl Maker<'_> {
    fn issue(&self, name: &str, profile: &Profile) -> Result<(Person, Issued), DemoError> {
        let issued = self.authority.issue(name, profile, DEFAULT_DAYS, self.now)?;
        let key = issued.key.clone().unwrap_or_default();
        Ok((Person { certificate: issued.chain.clone(), key }, issued))
    }

    fn person(&self, file: &str, reference: &str, oin: &str) -> Result<Person, DemoError> {
        let person = reference.parse().map_err(|_| crate::ca::CaError::BadPerson)?;
        let oin = oin.parse().map_err(|_| crate::ca::CaError::BadOin)?;
        self.issue(file, &Profile::Person { person, oin }).map(|(person, _)| person)
    }

    fn server(&self, file: &str) -> Result<(), DemoError> {
        let alternatives = vec![alternative(HOST)?, alternative("127.0.0.1")?];
        self.issue(file, &Profile::Server { name: file.parse()?, oin: None, alternatives }).map(|_| ())
    }

    fn member(&self, partner: &Partner, agent: Endpoint) -> Result<(Member, KeyHash), DemoError> {
        let slug = slug(&partner.id);
        let name = partner.name.chars().take(64).collect::<String>().trim_end().parse()?;
        let profile = Profile::Organisation { name, oin: partner.oin.clone(), alternatives: Vec::new() };
        let (_, issued) = self.issue(&slug, &profile)?;
        let officer = self.person(&format!("officer-{slug}"), &format!("fg.{slug}"), partner.oin.as_str())?;
        let home = self.directory.join("agents").join(&slug);
        let args = AgentInitArgs {
            passphrase_file: None,
            dir: home.clone(),
            oin: partner.oin.to_string(),
            name: partner.name.chars().take(64).collect::<String>().trim_end().to_owned(),
            alternatives: vec![HOST.to_owned(), "127.0.0.1".to_owned()],
        };
        init::agent(&args, self.now, &mut std::io::sink())?;
        let member = Member {
            id: partner.id.clone(),
            oin: partner.oin.to_string(),
            agent,
            certificate: home.join("local/system.pem"),
            key: home.join("local/system.key"),
            officer: Some(officer),
        };
        Ok((member, issued.leaf.key_hash))
    }

    fn stranger(&self, id: &str, oin: &Oin) -> Result<Stranger, DemoError> {
        let profile = Profile::Organisation { name: id.parse()?, oin: oin.clone(), alternatives: Vec::new() };
        let (person, _) = self.issue(&slug(id), &profile)?;
        let (id, oin) = (id.to_owned(), oin.to_string());
        Ok(Stranger { id, oin, certificate: person.certificate, key: person.key })
    }

    fn keyholder(&self, endpoint: &Endpoint, roster: &str) -> Result<KeyholderFacts, DemoError> {
        self.server("keyholder")?;
        let home = self.directory.join("keyholder");
        let facts = init::keyholder(&home.join("keys"), &mut std::io::sink())?;
        make_directory(&home.join("data"))?;
        write(&home.join("roster.toml"), roster)?;
        let text = format!(
            "{}\n[store]\nurl = \"sqlite:data/keyholder.db\"\n\n[key]\nfile = \"keys/keyholder.1.key\"\nepoch = 1\n\n\
             [roster]\nfile = \"roster.toml\"\n",
            common(&endpoint.address, "keyholder", "../ca"),
        );
        write(&home.join("keyholder.toml"), &text)?;
        Ok(facts)
    }

    fn hub(
        &self,
        node: usize,
        endpoint: &Endpoint,
        database: Option<&Access>,
        facts: &KeyholderFacts,
    ) -> Result<(), DemoError> {
        let name = hub_name(node);
        self.server(&name)?;
        let home = self.directory.join(&name);
        make_directory(&home.join("data/spool"))?;
        let database = database.map_or_else(|| "url = \"sqlite:data/hub.db\"\n".to_owned(), Access::to_toml);
        let text = format!(
            "node = \"{name}-demo\"\n\n{}\n[store]\n{database}spool = \"data/spool\"\n\n\
             [keys]\ndirectory = \"../hub/keys\"\n\n[audit]\norigin = \"{ORIGIN}\"\ncheckpoint = \"audit/checkpoint\"\n\
             [audit.witnesses]\npolicy = \"../{POLICY}\"\n\n[keyholder]\nknown_answer = \"{}\"\n\n\
             [bootstrap]\noperator = \"../ca/operator.pem\"\norganisation_name = \"Beheer demo\"\n\n\
             [simulation]\nclock = true\n",
            common(&endpoint.address, &name, "../ca"),
            facts.known_answer,
        );
        write(&home.join("hub.toml"), &text)
    }

    /// What agents verify the log with.
    fn log_key(&self) -> Result<PublicKey, DemoError> {
        let keys = HubKeys::load(&self.directory.join("hub/keys")).map_err(|error| failed(error.to_string()))?;
        let origin = ORIGIN.parse().map_err(|error: NotAName| failed(error.to_string()))?;
        let key = keys.log(&origin).ok_or_else(|| failed("no key".to_owned()))?;
        Ok(key.public().clone())
    }

    /// Makes the first partners' agents witnesses of the log, and says in a policy that most of them must sign; gives how many.
    fn witnesses(&self, log: &PublicKey, scenario: &Scenario) -> Result<usize, DemoError> {
        let (mut text, mut names) = (format!("log {log}\n"), Vec::new());
        for partner in scenario.partners.iter().take(WITNESSES) {
            let (name, slug) = (witness_name(partner), slug(&partner.id));
            let name = name.parse().map_err(|error: NotAName| failed(error.to_string()))?;
            let directory = self.directory.join("agents").join(&slug).join("witness");
            let key = init::witness(&directory, &name, &mut std::io::sink())?;
            text.push_str(&format!("witness {slug} {key}\n"));
            names.push(slug);
        }
        if names.is_empty() {
            text.push_str("quorum none\n");
        } else {
            let least = names.len() / 2 + 1;
            text.push_str(&format!("group partners {least} {}\nquorum partners\n", names.join(" ")));
        }
        write(&self.directory.join(POLICY), &text)?;
        Ok(names.len())
    }

    fn agent(
        &self,
        nth: usize,
        partner: &Partner,
        network: &Network,
        keyholder: &Endpoint,
        facts: &KeyholderFacts,
        (log_key, witness): (&PublicKey, &str),
    ) -> Result<(), DemoError> {
        let slug = slug(&partner.id);
        // Each begins with another node, so that every node has agents.
        let mut nodes: Vec<&str> = network.hub_nodes().map(|node| node.address.as_str()).collect();
        let turn = nth % nodes.len().max(1);
        nodes.rotate_left(turn);
        let local = network.partners.iter().find(|member| member.id == partner.id).map(|member| &member.agent.address);
        let text = format!(
            "[organisation]\noin = \"{}\"\n\n[hub]\naddress = {:?}\nserver_name = \"{HOST}\"\nlog_key = \"{}\"\n\
             log_policy = \"../../{POLICY}\"\n\n\
             [keyholder]\naddress = \"{}\"\nserver_name = \"{HOST}\"\npublic_key = \"{}\"\n\n{}\n\
             [local]\naddress = \"{}\"\ncertificate = \"local/server.pem\"\nkey = \"local/server.key\"\n\
             anchors = \"local/anchors.pem\"\n\n[store]\ndirectory = \"store\"\n{witness}",
            partner.oin,
            nodes,
            log_key,
            keyholder.address,
            facts.public_key,
            sections(&slug, "../../ca"),
            local.map_or("", String::as_str),
        );
        write(&self.directory.join("agents").join(&slug).join("agent.toml"), &text)
    }
}

fn failed(why: String) -> DemoError {
    DemoError::Io { what: "the keys of the log and its witnesses".to_owned(), source: std::io::Error::other(why) }
}

/// What a partner's agent signs the log as.
fn witness_name(partner: &Partner) -> String {
    format!("{}.sluis.example/witness", slug(&partner.id))
}

fn witness_section(partner: &Partner) -> String {
    format!("\n[witness]\nname = \"{}\"\ndirectory = \"witness\"\n", witness_name(partner))
}

fn common(address: &str, certificate: &str, ca: &str) -> String {
    format!("[listen]\naddress = \"{address}\"\n\n{}", sections(certificate, ca))
}

fn sections(certificate: &str, ca: &str) -> String {
    format!(
        "[tls]\ncertificate = \"{ca}/{certificate}.pem\"\nkey = \"{ca}/{certificate}.key\"\n\
         anchors = \"{ca}/anchors.pem\"\n\n[trust]\nenvironment = \"test\"\n\n[log]\nlevel = \"debug\"\n",
    )
}

fn roster_entry(oin: &Oin, key: KeyHash, elements: u32) -> String {
    format!("[[partner]]\noin = \"{oin}\"\nkey_hashes = [\"{key}\"]\nelements_per_day = {elements}\n\n")
}

/// What a node of the hub is called, as a process and as a directory. The first has the number 0.
pub(super) fn hub_name(node: usize) -> String {
    if node == 0 { "hub".to_owned() } else { format!("hub-{}", node + 1) }
}

/// A partner's label as a file name.
pub(super) fn slug(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn make_directory(path: &Path) -> Result<(), DemoError> {
    std::fs::create_dir_all(path).map_err(|source| DemoError::Io { what: path.display().to_string(), source })
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    std::fs::write(path, text).map_err(|source| DemoError::Io { what: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::config::{self, AgentConfig, HubConfig, KeyholderConfig, Roster};

    #[test]
    fn nodes_share_one_database_and_one_set_of_keys() {
        let directory = tempfile::tempdir().unwrap();
        let scenario = super::super::built_in_scenario().unwrap();
        let (password_file, owner_password_file) = (directory.path().join("hub.pw"), directory.path().join("owner.pw"));
        for file in [&password_file, &owner_password_file] {
            std::fs::write(file, "x").unwrap();
        }
        let url =
            |role: &str| format!("postgres://{role}@127.0.0.1:1/sluis?sslmode=verify-full&sslrootcert=/a%20b/c.pem");
        let (url, owner_url) = (url("sluis_hub"), url("sluis_owner"));
        let access = Access { url, password_file, owner_url, owner_password_file };
        let plan = Plan { nodes: 2, database: Some(&access), elements_per_day: 200 };
        let layout = Layout::make(directory.path(), &scenario, &plan, SystemClock.now()).unwrap();
        let [first, second] = [0, 1].map(|node| config::load::<HubConfig>(&layout.hub_config(node)).unwrap());
        assert_eq!((first.store.url.as_str(), second.store.url.as_str()), (&*access.url, &*access.url));
        let keys = |hub: &HubConfig| hub.keys.directory.canonicalize().unwrap();
        assert_eq!(keys(&first), keys(&second));
        assert!(first.node != second.node && first.listen.address != second.listen.address);
    }

    #[test]
    fn what_the_demo_writes_is_a_good_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let scenario = super::super::built_in_scenario().unwrap();
        let plan = Plan { nodes: 3, database: None, elements_per_day: 200 };
        let layout = Layout::make(directory.path(), &scenario, &plan, SystemClock.now()).unwrap();
        for node in 0..3 {
            let hub: HubConfig = config::load(&layout.hub_config(node)).unwrap();
            assert!(hub.simulation.clock);
        }
        let mut first = Vec::new();
        let keyholder: KeyholderConfig = config::load(&layout.keyholder_config()).unwrap();
        let roster: Roster = config::load(&keyholder.roster.file).unwrap();
        assert_eq!(roster.partners.len(), 6);
        for partner in &scenario.partners {
            let agent: AgentConfig = config::load(&layout.agent_config(&partner.id)).unwrap();
            assert_eq!(agent.organisation.oin, partner.oin);
            assert_eq!(agent.hub.address.others.len(), 2);
            first.push(agent.hub.address.first.0);
            assert!(layout.organisation_person(&partner.id).certificate.exists());
        }
        let network = Network::load(&directory.path().join("network.toml")).unwrap();
        assert_eq!(network.partners.len(), 6);
        let listeners = network.partners.iter().map(|one| &one.agent).chain(network.hub_nodes());
        assert_eq!(listeners.map(|one| &one.address).collect::<BTreeSet<_>>().len(), 9);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
        assert!(first[0] == first[3] && first[0].to_string() == network.hub.address);
        assert_eq!(slug("G-A"), "g-a");
    }
}
