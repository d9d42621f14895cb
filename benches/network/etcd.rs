//! etcd beside it, where it is installed (Debian: `etcd-server`): a durable write over mutual TLS that many know.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::process::Command;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::Failed;
use crate::process::{Process, until};
use crate::world::{HOST, ca, tls};

/// What an audited call leaves in the store, about.
const VALUE: usize = 1024;

/// `etcdserverpb.PutRequest`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `etcdserverpb.PutResponse`, of which nothing is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// Whether it is installed.
pub(crate) fn is_here() -> bool {
    program().is_some()
}

fn program() -> Option<PathBuf> {
    ["/usr/bin/etcd", "/usr/local/bin/etcd"].into_iter().map(PathBuf::from).find(|path| path.exists())
}

/// Starts one node with the certificates of the run; gives its address.
pub(crate) async fn start(folder: &Path) -> Result<(Process, String), Failed> {
    let [client, peer] = [crate::hub::free_port()?, crate::hub::free_port()?];
    let (address, peer) = (format!("{HOST}:{client}"), format!("http://{HOST}:{peer}"));
    let (own, ca) = (format!("https://{address}"), ca(folder));
    let mut command = Command::new(program().ok_or("etcd is not here")?);
    command.args(["--name", "one", "--data-dir"]).arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &own, "--advertise-client-urls", &own]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("one={peer}"), "--client-cert-auth"]);
    command.arg("--cert-file").arg(ca.join("hub.pem")).arg("--key-file").arg(ca.join("hub.key"));
    command.arg("--trusted-ca-file").arg(ca.join("anchors.pem"));
    command.args(["--enable-grpc-gateway=false", "--logger=zap", "--log-level", "error"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let process = Process::start(command, &folder.join("etcd.log"))?;
    let tls = tls(folder, "operator")?;
    until(|| async { put(tls.connect(&address).await?, 0).await }, Duration::from_millis(50)).await?;
    Ok((process, address))
}

/// One durable write.
pub(crate) async fn put(channel: Channel, nth: usize) -> Result<(), Failed> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let request = PutRequest { key: format!("/log/{nth:012}").into(), value: vec![7; VALUE].into() };
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    let codec = ProstCodec::<PutRequest, PutResponse>::default();
    client.unary(tonic::Request::new(request), path, codec).await?;
    Ok(())
}
