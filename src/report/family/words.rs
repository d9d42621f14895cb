//! What families read instead of codes: short sentences in plain Dutch and English (level B1). Dutch comes first.

use crate::party::{Category, Role};

/// The same words in both languages: Dutch, English.
pub(super) type Both = (&'static str, &'static str);

/// What an organisation did. `None`: a method that has no words yet; a test looks for those.
pub(super) fn action(method: &str) -> Option<Both> {
    let cases = [directory, cases, exchange, office];
    cases.iter().find_map(|words| words(method))
}

fn directory(method: &str) -> Option<Both> {
    Some(match method {
        "Directory/ListPartners" => ("bekeek welke organisaties meedoen", "looked up which organisations take part"),
        "Directory/GetPartner" => ("zocht een organisatie op", "looked up an organisation"),
        "Directory/PublishKeys" => ("vernieuwde haar sleutels", "renewed its keys"),
        "Connection/TestConnection" => ("testte de verbinding", "tested the connection"),
        "Covenants/GetCovenant" => ("las de afspraken", "read the agreements"),
        "Covenants/SignCovenant" => ("ondertekende de afspraken", "signed the agreements"),
        "Covenants/ExplainDecision" => ("vroeg of iets mocht", "asked whether something was allowed"),
        "Pseudonyms/ResolvePseudonym" => ("vroeg een codenaam aan", "asked for a code name"),
        "Pseudonyms/CheckKnownAnswer" => ("testte de codenamen", "tested the code names"),
        _ => return None,
    })
}

fn cases(method: &str) -> Option<Both> {
    Some(match method {
        "Cases/ReferCase" => ("meldde de zaak aan", "referred the case"),
        "Cases/GetCase" => ("bekeek hoe het met de zaak staat", "looked at how the case stands"),
        "Cases/ListCases" => ("bekeek de lijst met eigen zaken", "looked at the list of its own cases"),
        "Cases/AssignRole" => ("liet een organisatie meedoen", "let an organisation take part"),
        "Cases/EndRole" => ("liet een organisatie niet meer meedoen", "let an organisation no longer take part"),
        "Cases/HandOverCase" => ("droeg de leiding over de zaak over", "handed the lead of the case over"),
        "Cases/AdvancePhase" => ("bracht de zaak een stap verder", "brought the case a step further"),
        "Cases/ChooseProvider" => ("legde de gekozen hulpverlener vast", "recorded the provider that was chosen"),
        "Cases/RecordMeasure" => ("legde een maatregel van de rechter vast", "recorded a measure of the court"),
        "Cases/UpdateConsentRegime" => ("paste aan wie toestemming moet geven", "changed who has to give consent"),
        "Cases/RestrictCase" => ("legde een bezwaar of beperking vast", "recorded an objection or a restriction"),
        "Cases/StartEscalation" => ("vroeg een bestuurder om te helpen", "asked a board member to help"),
        "Cases/EndEscalation" => ("sloot de vraag aan de bestuurder af", "ended the question to the board member"),
        "Cases/CloseCase" => ("sloot de zaak af", "closed the case"),
        "Consents/RecordConsent" => ("legde uw toestemming vast", "recorded your consent"),
        "Consents/WithdrawConsent" => ("trok uw toestemming in, op verzoek", "withdrew your consent, as asked"),
        "Consents/ListConsents" => ("bekeek welke toestemming er is", "looked at which consent there is"),
        _ => return None,
    })
}

fn exchange(method: &str) -> Option<Both> {
    Some(match method {
        "Records/PlanRoute" => ("bekeek wie iets zou krijgen", "looked at who would receive something"),
        "Records/PublishRecord" => ("deelde informatie", "shared information"),
        "Records/FetchRecord" => ("las gedeelde informatie", "read information that was shared"),
        "Records/ListRecords" => ("bekeek welke informatie er is", "looked at which information there is"),
        "Records/RequestRecords" => ("vroeg anderen om informatie", "asked others for information"),
        "Records/StreamSealRequests" => {
            ("keek wie nog bij informatie moet kunnen", "looked who still needs access to information")
        }
        "Records/AddRecipient" => (
            "liet een nieuwe organisatie eerder gedeelde informatie lezen",
            "let a new organisation read earlier information",
        ),
        "Inbox/StreamInbox" => ("haalde berichten op", "collected messages"),
        "Inbox/AcknowledgeInbox" => ("bevestigde berichten", "confirmed messages"),
        _ => return None,
    })
}

fn office(method: &str) -> Option<Both> {
    Some(match method {
        "Audit/QueryEvents" => ("controleerde wie wat deed", "checked who did what"),
        "Audit/ReportRefusal" => ("meldde een eigen weigering", "reported a refusal of its own"),
        "Audit/ProveEvents" => ("controleerde of het logboek klopt", "checked whether the log is right"),
        "Audit/ReadEntries" => ("rekende het logboek na", "verified the log"),
        "Audit/EraseEvents" => ("wiste gegevens uit het logboek", "erased data from the log"),
        "Registry/RegisterPartner" => ("schreef een organisatie in", "registered an organisation"),
        "Registry/RegisterCertificate" => ("schreef een certificaat in", "registered a certificate"),
        "Registry/RevokeCertificate" => ("trok een certificaat in", "revoked a certificate"),
        "Certificates/RenewCertificate" => ("vroeg een nieuw certificaat", "asked for a new certificate"),
        "Certificates/ListCertificateRequests" => {
            ("bekeek aanvragen van certificaten", "looked at requests for certificates")
        }
        "Certificates/AnswerCertificateRequest" => {
            ("beantwoordde een aanvraag van een certificaat", "answered a request for a certificate")
        }
        "Registry/RetireCertificate" => ("liet een certificaat aflopen", "let a certificate end"),
        "Registry/ListCertificates" => ("bekeek de certificaten", "looked at the certificates"),
        "Registry/RegisterMandate" => {
            ("schreef in wie namens een organisatie werkt", "registered who works in an organisation's name")
        }
        "Registry/EndMandate" => (
            "liet iemand niet meer namens een organisatie werken",
            "ended that somebody works in an organisation's name",
        ),
        "Registry/ListMandates" => {
            ("bekeek wie namens een organisatie werkt", "looked at who works in an organisation's name")
        }
        "Registry/ListPendingChanges" => ("bekeek wijzigingen die wachten", "looked at changes that wait"),
        "Registry/ConfirmChange" => ("bevestigde een wijziging", "confirmed a change"),
        "Registry/CancelChange" => ("nam een wijziging terug", "took back a change"),
        "Registry/SetPartnerStatus" => {
            // In a case, only the end of a membership stands under it.
            ("doet niet meer mee", "takes no part any more")
        }
        "Registry/SucceedPartner" => {
            ("nam de plaats van een andere organisatie in", "took another organisation's place")
        }
        "Registry/ListSuccessions" => {
            ("bekeek welke organisatie een andere opvolgt", "looked at which organisation succeeds another")
        }
        "Registry/ReloadNode" => {
            ("liet de dienst zijn instellingen opnieuw lezen", "made the service read its settings again")
        }
        "Registry/ListRefusals" => ("bekeek geweigerde certificaten", "looked at refused certificates"),
        "Simulation/AdvanceClock" => ("zette de testklok vooruit", "moved the test clock ahead"),
        _ => return None,
    })
}

/// In which role somebody acted.
pub(super) const fn role(role: Role) -> Both {
    match role {
        Role::R01 => ("wie de zaak aanmeldde", "who referred the case"),
        Role::R02 => ("wie de leiding heeft over de zaak", "who has the lead of the case"),
        Role::R03 => ("coördinator van het expertteam", "coordinator of the expert team"),
        Role::R04 => ("voorzitter van het expertteam", "chair of the expert team"),
        Role::R05 => ("lid van het expertteam", "member of the expert team"),
        Role::R06 => ("gedragswetenschapper", "behavioural scientist"),
        Role::R07 => ("hulpverlener", "care worker"),
        Role::R08 => ("jeugdbeschermer", "youth protection worker"),
        Role::R09 => ("hulpverlener die misschien gaat helpen", "provider that may come to help"),
        Role::R10 => ("gemeente die de hulp betaalt", "municipality that pays for the help"),
        Role::R11 => ("bestuurder", "board member"),
        Role::R12 => ("crisisdienst", "crisis service"),
        Role::R13 => ("onderzoeker", "researcher"),
        Role::R14 => ("privacyfunctionaris", "privacy officer"),
        Role::R15 => ("technisch beheerder", "technical manager"),
        Role::R16 => ("school, arts of andere hulp", "school, doctor or other help"),
        Role::R17 => ("vertrouwenspersoon", "confidential adviser"),
        Role::R18 => ("jeugdige of ouder", "young person or parent"),
    }
}

/// What kind of data it was.
pub(super) const fn category(category: Category) -> Both {
    match category {
        Category::C01 => ("hoe het met de zaak staat", "how the case stands"),
        Category::C02 => ("naam, geboortedatum en adres", "name, date of birth and address"),
        Category::C03 => ("leeftijdsgroep, geslacht en regio", "age group, gender and region"),
        Category::C04 => ("wie het gezag heeft", "who has parental authority"),
        Category::C05 => ("welke organisaties meedoen", "which organisations take part"),
        Category::C06 => ("uw vraag en wat u zelf wilt", "your question and what you want yourself"),
        Category::C07 => ("gezin en wonen", "family and home"),
        Category::C08 => ("eerdere hulp", "earlier help"),
        Category::C09 => ("gezondheid en onderzoek", "health and tests"),
        Category::C10 => ("uitleg van wat er aan de hand is", "explanation of what is going on"),
        Category::C11 => ("veiligheid", "safety"),
        Category::C12 => ("maatregel van de kinderrechter", "measure of the juvenile court"),
        Category::C13 => ("politie en justitie", "police and justice"),
        Category::C14 => ("school", "school"),
        Category::C15 => ("plan en afspraken", "plan and agreements"),
        Category::C16 => ("advies van het expertteam", "advice of the expert team"),
        Category::C17 => ("kosten van de hulp", "costs of the help"),
        Category::C18 => ("wat voor plek nodig is, zonder naam", "what kind of place is needed, without a name"),
        Category::C19 => ("vrije plekken, niet over u", "free places, not about you"),
        Category::C20 => ("waar het vastloopt, zonder naam", "where it is stuck, without a name"),
        Category::C21 => ("hoe de hulp verloopt", "how the help goes"),
        Category::C22 => ("cijfers zonder naam", "figures without a name"),
        Category::C23 => ("toestemming en rechten", "consent and rights"),
        Category::C24 => ("het logboek", "the log"),
    }
}

/// Why: what the article is for, in one sentence. `None`: an article that has no words yet; a test looks for those.
pub(super) const fn why(article: u8) -> Option<Both> {
    Some(match article {
        1..=8 => return general(article),
        9..=19 => return until_placement(article),
        20..=30 => return help(article),
        31 => (
            "Om met cijfers zonder namen van alle zaken te leren.",
            "To learn from all cases with figures without names.",
        ),
        32 => ("Om bestuurders cijfers te geven, zonder namen.", "To give boards figures, without names."),
        33 => (
            "Om na afloop van de zaak te leren, als u dat goed vindt.",
            "To learn from the case afterwards, if you agree.",
        ),
        34 => ("Omdat u gebruikmaakte van uw rechten.", "Because you used your rights."),
        35 => ("Omdat u stopte met toestemming of bezwaar maakte.", "Because you ended consent or objected."),
        36 => {
            ("Om te controleren of iedereen zich aan de regels houdt.", "To check that everybody keeps to the rules.")
        }
        37 => (
            "Om gegevens op tijd te verwijderen en de zaak af te sluiten.",
            "To remove data in time and to close the case.",
        ),
        38 => ("Om de gegevens goed te beveiligen.", "To keep the data secure."),
        39 => ("Om te regelen welke organisaties mogen meedoen.", "To arrange which organisations may take part."),
        40 => ("Om klachten en nieuwe afspraken te regelen.", "To arrange complaints and new agreements."),
        _ => return None,
    })
}

const fn general(article: u8) -> Option<Both> {
    Some(match article {
        1 => ("Om te regelen wie meedoet in de zaak.", "To arrange who takes part in the case."),
        2 => ("Om hulp voor de jeugdige te regelen.", "To arrange help for the young person."),
        3 => ("Omdat het nodig was; meer delen mag niet.", "Because it was needed; sharing more is not allowed."),
        4 => ("Om de zaak goed te laten verlopen.", "To let the case go well."),
        5 => {
            ("Om een codenaam te gebruiken en niet uw naam of BSN.", "To use a code name and not your name or number.")
        }
        6 => ("Omdat iedereen gegevens geheim moet houden.", "Because everybody must keep data secret."),
        7 => ("Om uw toestemming goed vast te leggen.", "To record your consent well."),
        8 => ("Om u te vertellen wie wat krijgt.", "To tell you who receives what."),
        _ => return None,
    })
}

const fn until_placement(article: u8) -> Option<Both> {
    Some(match article {
        9 => (
            "Om advies te vragen zonder te zeggen om wie het gaat.",
            "To ask for advice without saying whom it is about.",
        ),
        10 => ("Om de zaak aan te melden en te volgen.", "To refer the case and to follow it."),
        11 => ("Om een eerder formulier opnieuw te gebruiken.", "To use an earlier form again."),
        12 => ("Om te kijken wie er nodig is om te helpen.", "To see who is needed to help."),
        13 => {
            ("Om de zaak met experts te bespreken, zonder naam.", "To discuss the case with experts, without a name.")
        }
        14 => ("Om te weten welke hulp er al was.", "To know which help there was before."),
        15 => ("Om goed te begrijpen wat er aan de hand is.", "To understand well what is going on."),
        16 => {
            ("Om uit te leggen wat er aan de hand is aan wie helpt.", "To explain what is going on to those who help.")
        }
        17 => ("Om het advies van de experts te delen.", "To share the advice of the experts."),
        18 => ("Om samen één plan te maken en uit te voeren.", "To make one plan together and carry it out."),
        19 => ("Om een passende plek te zoeken, zonder naam.", "To look for a fitting place, without a name."),
        _ => return None,
    })
}

const fn help(article: u8) -> Option<Both> {
    Some(match article {
        20 => (
            "Om te laten weten waar plek is; dit gaat niet over u.",
            "To tell where there is room; this is not about you.",
        ),
        21 => ("Om de gekozen hulpverlener te laten beginnen.", "To let the provider that was chosen begin."),
        22 => ("Om de hulp te kunnen betalen.", "To be able to pay for the help."),
        23 => (
            "Omdat de kinderrechter een maatregel heeft opgelegd.",
            "Because the juvenile court has ordered a measure.",
        ),
        24 => ("Om te zorgen dat iedereen veilig is.", "To make sure that everybody is safe."),
        25 => ("Om met school samen te werken.", "To work together with the school."),
        26 => ("Om de arts te laten weten hoe het verder gaat.", "To let the doctor know how it goes on."),
        27 => ("Om de hulp na de 18e verjaardag voor te bereiden.", "To prepare help after the 18th birthday."),
        28 => ("Om te kijken of de hulp werkt.", "To see whether the help works."),
        29 => ("Om verder te komen als de hulp vastloopt.", "To get further when the help is stuck."),
        30 => ("Omdat er acuut gevaar was.", "Because there was acute danger."),
        _ => return None,
    })
}
