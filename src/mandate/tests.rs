use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use time::Duration;
use uuid::Uuid;

use super::*;
use crate::ca::{Authority, Profile};
use crate::clock::{Clock as _, SystemClock};
use crate::identity::certificate::Environment;
use crate::tls::files::own_authority;

const ALMELO: &str = "00000099100001410000";
const RAALTE: &str = "00000099100001770000";
const LEVERANCIER: &str = "00000099900000010000";

/// A chain as it is published, and its key.
type Holder = (Vec<Vec<u8>>, PrivateKeyDer<'static>);

struct Network {
    trust: Arc<Trust>,
    customer: Holder,
    supplier: Holder,
    other: Holder,
    employee: Holder,
    /// Of the customer's name, under an authority that nobody here trusts.
    made_up: Holder,
    now: OffsetDateTime,
}

fn oin(text: &str) -> Oin {
    text.parse().unwrap()
}

fn holder(ca: &Authority, name: &str, profile: &Profile, now: OffsetDateTime) -> Holder {
    let issued = ca.issue(name, profile, 30, now).unwrap();
    let chain = CertificateDer::pem_file_iter(&issued.chain).unwrap().map(|der| der.unwrap().to_vec()).collect();
    (chain, PrivateKeyDer::from_pem_file(issued.chain.with_extension("key")).unwrap())
}

fn network(dir: &Path) -> Network {
    let now = SystemClock.now();
    let ca = |name: &str| Authority::init(&dir.join(name), &"Proef".parse().unwrap(), Environment::Test, now).unwrap();
    let (ours, theirs) = (ca("ca"), ca("other"));
    let organisation =
        |text| Profile::Organisation { name: "Proef".parse().unwrap(), oin: oin(text), alternatives: vec![] };
    let person = Profile::Person { person: "fg-01".parse().unwrap(), oin: oin(ALMELO) };
    Network {
        customer: holder(&ours, "customer", &organisation(ALMELO), now),
        supplier: holder(&ours, "supplier", &organisation(LEVERANCIER), now),
        other: holder(&ours, "other", &organisation(RAALTE), now),
        employee: holder(&ours, "person", &person, now),
        made_up: holder(&theirs, "customer", &organisation(ALMELO), now),
        trust: own_authority(Environment::Test, &dir.join("ca/anchors.pem")).unwrap(),
        now,
    }
}

impl Network {
    fn mandate(&self, principal: &str, to: &str, days: i64, signer: &Holder) -> v1::Mandate {
        let (starts, ends) = (self.now - Duration::HOUR, self.now + Duration::days(days));
        let mandate = Mandate::new(Uuid::from_u128(1), "proef", (oin(principal), oin(to)), (starts, ends)).unwrap();
        message(mandate.sign(&signer.1).unwrap(), signer.0.clone())
    }

    fn of_supplier(&self, mandate: Option<&v1::Mandate>) -> Result<OffsetDateTime, NotSpeaking> {
        speaks_for(&self.trust, &self.supplier.0, mandate, &oin(ALMELO), Moment::of("proef", self.now))
    }
}

#[test]
fn an_organisation_speaks_for_itself_and_its_supplier_by_its_mandate() {
    let dir = tempfile::tempdir().unwrap();
    let network = network(dir.path());
    let given = network.mandate(ALMELO, LEVERANCIER, 10, &network.customer);
    assert_eq!(network.of_supplier(Some(&given)), Ok(told(&given).unwrap().ends()), "no longer than its mandate");
    let own =
        |chain: &[Vec<u8>]| speaks_for(&network.trust, chain, None, &oin(ALMELO), Moment::of("proef", network.now));
    let end = Contents::read(&network.customer.0[0]).unwrap().not_after;
    assert_eq!(own(&network.customer.0), Ok(end), "as long as its certificate");
    assert_eq!(own(&network.supplier.0), Err(NotSpeaking::Other), "without a mandate");
    assert_eq!(own(&network.other.0), Err(NotSpeaking::Other));
    assert!(matches!(own(&network.employee.0), Err(NotSpeaking::Certificate(_))), "an employee's");
    assert!(matches!(own(&network.made_up.0), Err(NotSpeaking::Certificate(_))), "another authority's");
    assert_eq!(own(&[]), Err(NotSpeaking::Chain));
    let long = [network.customer.0.clone(), network.other.0.clone(), network.supplier.0.clone()].concat();
    assert_eq!(own(&long), Err(NotSpeaking::Chain));
    assert_eq!(own(&[vec![0x30; LARGEST_CERTIFICATE + 1]]), Err(NotSpeaking::Chain));
}

#[test]
fn nothing_but_the_customers_own_mandate_to_this_supplier_in_time_lets_it_speak() {
    let dir = tempfile::tempdir().unwrap();
    let network = network(dir.path());
    let by = |principal, to, signer| network.mandate(principal, to, 10, signer);
    let fault = |mandate: &v1::Mandate| match network.of_supplier(Some(mandate)) {
        Err(NotSpeaking::Mandate(why)) => Some(why),
        _ => None,
    };
    let owner = Some(NotGiven::Mandate(MandateError::Owner));
    assert_eq!(fault(&by(ALMELO, LEVERANCIER, &network.supplier)), owner, "made up by the supplier");
    assert_eq!(fault(&by(ALMELO, LEVERANCIER, &network.other)), owner, "by another partner");
    assert_eq!(fault(&by(RAALTE, LEVERANCIER, &network.other)), owner, "another customer's");
    for stranger in [&network.employee, &network.made_up] {
        let why = fault(&by(ALMELO, LEVERANCIER, stranger));
        assert!(matches!(why, Some(NotGiven::Certificate(_))), "{why:?}");
    }
    assert_eq!(fault(&by(ALMELO, RAALTE, &network.customer)), Some(NotGiven::Delegate));
    let long = network.mandate(ALMELO, LEVERANCIER, 31, &network.customer);
    assert_eq!(fault(&long), Some(NotGiven::Outlasts), "than a certificate of thirty days");
    let good = by(ALMELO, LEVERANCIER, &network.customer);
    let forged = v1::Mandate { document: long.document, ..good.clone() };
    assert!(matches!(fault(&forged), Some(NotGiven::Mandate(MandateError::Signature(_)))));
    let other_scheme = v1::Mandate { signature_scheme: 0x0401, ..good.clone() };
    assert_eq!(fault(&other_scheme), Some(NotGiven::Mandate(MandateError::Format)));
    let bare = v1::Mandate { certificate_chain: vec![], ..good.clone() };
    assert_eq!(fault(&bare), Some(NotGiven::Chain));
    for (moved, why) in [(-Duration::DAY, MandateError::NotYet), (Duration::days(11), MandateError::Over)] {
        let moment = Moment { covenant: "proef", machine: network.now, network: network.now + moved };
        let found = given(&network.trust, &good, &oin(ALMELO), moment);
        assert_eq!(found, Err(NotGiven::Mandate(why)));
    }
    let elsewhere = given(&network.trust, &good, &oin(ALMELO), Moment::of("echt", network.now));
    assert_eq!(elsewhere, Err(NotGiven::Mandate(MandateError::Covenant)), "another network");
}
