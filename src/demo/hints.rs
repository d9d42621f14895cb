//! How to call the running demo network with a client that is not Sluis.

use std::io::{self, Write};
use std::path::Path;

use crate::scenario::Network;

/// Writes commands that work as they stand.
pub(super) fn write(out: &mut dyn Write, directory: &Path, network: &Network) -> io::Result<()> {
    writeln!(out, "\nThe network is running; Ctrl-C ends it. Everything stands in {}\n", directory.display())?;
    writeln!(out, "Another scenario against it:")?;
    writeln!(out, "  sluis scenario run FILE --network {}/network.toml\n", directory.display())?;
    writeln!(out, "A foreign client, in Python (see tests/python/requirements.txt):")?;
    writeln!(out, "  python3 tests/python/client.py {}/network.toml\n", directory.display())?;
    if let Some(member) = network.partners.first() {
        writeln!(out, "The agent of {}, with a certificate of its local CA (plain form: BSN and text):", member.id)?;
        writeln!(out, "  grpcurl \\")?;
        tls(out, &member.agent.anchors, &member.certificate, &member.key, &member.agent.address)?;
        writeln!(out, "    sluis.v1.Directory/ListPartners\n")?;
    }
    if let Some((member, officer)) =
        network.partners.iter().find_map(|member| member.officer.as_ref().map(|officer| (member, officer)))
    {
        writeln!(out, "The hub, as the privacy officer of {}:", member.id)?;
        writeln!(out, "  grpcurl -d '{}' \\", query(&member.oin))?;
        tls(out, &network.hub.anchors, &officer.certificate, &officer.key, &network.hub.address)?;
        writeln!(out, "    sluis.v1.Audit/QueryEvents\n")?;
    }
    out.flush()
}

fn tls(out: &mut dyn Write, anchors: &Path, certificate: &Path, key: &Path, address: &str) -> io::Result<()> {
    writeln!(out, "    -cacert {} \\", anchors.display())?;
    writeln!(out, "    -cert {} -key {} \\", certificate.display(), key.display())?;
    writeln!(out, "    {address} \\")
}

fn query(oin: &str) -> String {
    format!(
        r#"{{"context":{{"article":"36","purpose":"verantwoording","acting_role":"ROLE_R14","user_ref":"fg.demo"}},"organisation":"partners/{oin}"}}"#
    )
}
