#!/usr/bin/env python3
"""A foreign client: nothing of Sluis but its .proto files.

    python3 -m venv .venv && .venv/bin/pip install -r tests/python/requirements.txt
    .venv/bin/python tests/python/client.py NETWORK.TOML

NETWORK.TOML is what `sluis demo --keep` writes. At the agent of a gemeente the client refers a case for a synthetic
youth and publishes a record; at the agent of the network office it finds the record in the inbox and reads it, each
over mutual TLS with a certificate of that agent's own CA. It also tries what must not work. Exit code 0: everything
was as it should be; 1: something was not, and a line says what. Needs Python 3.11 or later.
"""

import hashlib
import pathlib
import random
import sys
import tempfile
import tomllib
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
TEXT = "Zij wil een plek waar ze mag blijven. — geschreven vanuit Python"
TIMEOUT = 30


class Difference(Exception):
    """Something is not as it should be."""


def main(network_file):
    base = pathlib.Path(network_file).resolve().parent
    network = tomllib.loads(pathlib.Path(network_file).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as stubs:
        api = generate(stubs)
        members = {member["oin"]: member for member in network["partner"]}
        author, reader = choose(api, base, members)
        with channel(base, author) as there, channel(base, reader) as here:
            connects(api, there, author)
            run(api, there, here, reader)
        refuses_strangers(api, base, author)
    print("ok: referred, published, read and refused as it should be")


def generate(directory):
    """Generates the client code from proto/ and imports it."""
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={directory}", f"--grpc_python_out={directory}"]
    if protoc.main(arguments + files) != 0:
        raise Difference("the .proto files do not compile")
    sys.path.insert(0, directory)
    names = ["common", "case", "connection", "directory", "record", "inbox"]
    modules = {name: __import__(f"sluis.v1.{name}_pb2", fromlist=["*"]) for name in names}
    stubs = {f"{name}_grpc": __import__(f"sluis.v1.{name}_pb2_grpc", fromlist=["*"]) for name in names}
    return type("Api", (), {**modules, **stubs})


def channel(base, member, certificate=True):
    """A channel to a partner's agent, as one of the partner's own systems."""
    read = lambda path: (base / path).read_bytes()
    agent = member["agent"]
    own = {"private_key": read(member["key"]), "certificate_chain": read(member["certificate"])} if certificate else {}
    credentials = grpc.ssl_channel_credentials(root_certificates=read(agent["anchors"]), **own)
    options = [("grpc.ssl_target_name_override", agent["server_name"])]
    return grpc.secure_channel(agent["address"], credentials, options)


def choose(api, base, members):
    """The gemeente that refers and the network office that coordinates, from the partner directory."""
    first = next(iter(members.values()))
    with channel(base, first) as at:
        directory = api.directory_grpc.DirectoryStub(at)
        partners = directory.ListPartners(api.directory.ListPartnersRequest(page_size=100), timeout=TIMEOUT).partners
    running = [(p, members[p.name.removeprefix("partners/")]) for p in partners if p.name.removeprefix("partners/") in members]
    authors = [m for p, m in running if p.kind == api.common.ORGANISATION_KIND_GEMEENTE]
    readers = [m for p, m in running if api.common.ROLE_R03 in p.standing_roles]
    if not authors or not readers:
        raise Difference("the network has no gemeente, or nobody with standing role R03")
    return authors[0], readers[0]


def connects(api, there, author):
    """The hub sees the agent's certificate, and both know the published identifier's canonical input."""
    canonical = b'{"landCode":"NL","type":"BSN","value":"999990019"}'
    request = api.connection.TestConnectionRequest(canonical_input=hashlib.sha256(canonical).digest())
    request.client_time.GetCurrentTime()
    seen = api.connection_grpc.ConnectionStub(there).TestConnection(request, timeout=TIMEOUT)
    expect(seen.certificate.oin == author["oin"], f"the hub sees OIN {seen.certificate.oin}")
    expect(seen.tls.protocol_version == "TLSv1.3", f"the hub sees {seen.tls.protocol_version}")
    expect(seen.canonical_input == api.connection.COMPARISON_EQUAL, "the canonical input differs")
    expect(seen.known_answer == api.connection.COMPARISON_NOT_ASKED, "a known answer that nobody sent is compared")
    expect(list(seen.versions.apis) == ["sluis.v1"], f"the hub's API is {list(seen.versions.apis)}")


def run(api, there, here, reader):
    """Refers and publishes at one agent, reads at the other."""
    cases, records = api.case_grpc.CasesStub(there), api.record_grpc.RecordsStub(there)
    case, call = cases.ReferCase.with_call(
        api.case.ReferCaseRequest(
            request_id=str(uuid.uuid4()),
            context=context(api, "10", "aanmelding", api.common.ROLE_R01),
            subject=api.common.Subject(bsn=synthetic_number()),
            regime=api.case.ConsentRegime(age_band=api.case.AGE_BAND_16_17, capable=True, authority=[api.case.GIVER_OUDER_1]),
        ),
        timeout=TIMEOUT,
    )
    names_its_event(call)
    published = records.PublishRecord(iter([record(api, case.name, TEXT)]), timeout=TIMEOUT)
    reached = [route.partner for route in published.routes]
    expect(reached == [f"partners/{reader['oin']}"], f"the record reached {reached}")

    item = arrived(api, here, published.record.name)
    expect(item.case != case.name, "two organisations have the same name for a case")
    request = api.record.FetchRecordRequest(
        context=context(api, "10", "aanmelding", api.common.ROLE_R03), name=item.record.name, case=item.case
    )
    content = b"".join(part.plain for part in api.record_grpc.RecordsStub(here).FetchRecord(request, timeout=TIMEOUT))
    expect(content.decode() == TEXT, "other content came out than went in")

    number = synthetic_number()
    error = refused(lambda: records.PublishRecord(iter([record(api, case.name, f"Het gaat om {number}.")]), timeout=TIMEOUT))
    expect(reason(error) == "BSN_IN_TEXT", f"a BSN in the text gave {error.code().name} {reason(error)}")
    expect(number not in (error.details() or ""), "a refusal repeats the BSN")
    # The generated code cannot send these.
    for method in ("Cases/GetCase", "Directory/GetPartner"):
        garbage = there.unary_unary(f"/sluis.v1.{method}")
        error = refused(lambda garbage=garbage: garbage(b"\xff" * 40, timeout=TIMEOUT))
        expect(error.code() is grpc.StatusCode.INVALID_ARGUMENT, f"garbage gave {error.code().name}: {error.details()}")


def refuses_strangers(api, base, member):
    """Without a certificate nobody gets in."""
    with channel(base, member, certificate=False) as at:
        directory = api.directory_grpc.DirectoryStub(at)
        error = refused(lambda: directory.ListPartners(api.directory.ListPartnersRequest(), timeout=5))
        good = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
        expect(error.code() in good, f"without a certificate the status is {error.code().name}")


def record(api, case, text):
    return api.record.PublishRecordRequest(
        open=api.record.OpenRecord(
            request_id=str(uuid.uuid4()),
            context=context(api, "10", "aanmelding", api.common.ROLE_R01),
            case=case,
            category=api.common.CATEGORY_C06,
            form=api.common.FORM_P,
            recipient_roles=[api.common.ROLE_R03],
            schema="sluis/tekst/v1",
        ),
        plain=text.encode(),
    )


def arrived(api, here, name):
    """The inbox item of a record; the stream waits until it is there."""
    request = api.inbox.StreamInboxRequest(context=api.common.RequestContext(user_ref="python.client"))
    stream = api.inbox_grpc.InboxStub(here).StreamInbox(request, timeout=TIMEOUT)
    try:
        for item in stream:
            if item.WhichOneof("item") == "record" and item.record.name == name:
                return item
    except grpc.RpcError as error:
        raise Difference(f"the record did not arrive: {error.code().name}") from error
    finally:
        stream.cancel()
    raise Difference("the inbox ended before the record arrived")


def context(api, article, purpose, role):
    return api.common.RequestContext(article=article, purpose=purpose, acting_role=role, user_ref="python.client")


def synthetic_number():
    """A number of the test range 999900006-999999990 that passes the elfproef; it belongs to nobody."""
    while True:
        text = str(random.randint(999900006, 999999990))
        weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
        if sum(weight * int(digit) for weight, digit in zip(weights, text)) % 11 == 0:
            return text


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise Difference("a call was answered that should have been refused")


def reason(error):
    """The reason code of google.rpc.ErrorInfo, or nothing."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return ""


def names_its_event(call):
    metadata = dict(call.initial_metadata() or ()) | dict(call.trailing_metadata() or ())
    expect(metadata.get("sluis-event", "").startswith("events/"), "a reply names no audit event")


def expect(right, otherwise):
    if not right:
        raise Difference(otherwise)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except Difference as difference:
        print(f"NOT ok: {difference}", file=sys.stderr)
        sys.exit(1)
    except grpc.RpcError as error:
        print(f"NOT ok: {error.code().name} {reason(error)} {error.details()}", file=sys.stderr)
        sys.exit(1)
