#!/usr/bin/env bash
# A network by hand, on one machine: what an operator, a keyholder and two partners do on their first day.
# Read it as a guide; run it to see it work:  SLUIS=target/release/sluis docs/first-network.sh [DIRECTORY]
# The test `a_first_network_by_hand` runs it. In a real network every section is another organisation on another machine.
set -euo pipefail
sluis="${SLUIS:-sluis}"
here="$(cd "$(dirname "$0")/.." && pwd)"
dir="${1:-$(mktemp -d)}"
mkdir -p "$dir"
cd "$dir"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait' EXIT
hub=$(shuf -i 21000-25000 -n 1) keyholder=$(shuf -i 26000-30000 -n 1)

# --- The network's certificate authority -------------------------------------------------------------------------------
# With PKIoverheid certificates there is nothing to make here. This one is for a test: keys in plain files, and one person signs.
# A real one has neither: README, "The network's own certificate authority".
"$sluis" ca init --dir ca --network "Eerste netwerk" --environment test --insecure-plain-key --without-four-eyes
"$sluis" ca issue server hub --dir ca --name localhost --san localhost
"$sluis" ca issue server keyholder --dir ca --name localhost --san localhost
"$sluis" ca issue person operator --dir ca --person operator-1 --oin 00000099400000010000
"$sluis" ca issue organisation net --dir ca --name "Netwerkbureau" --oin 00000099400000010000 --san localhost > ca/net.facts
"$sluis" ca issue organisation g-a --dir ca --name "Gemeente A" --oin 00000099100001410000 --san localhost > ca/g-a.facts

# --- The keyholder: an organisation of its own ---------------------------------------------------------------------------
# It keeps its own list of partners, by the hash of each certificate's public key.
mkdir -p kh/tls
cp ca/anchors.pem ca/keyholder.pem ca/keyholder.key kh/tls/
"$sluis" keyholder init --dir kh/keys | tee kh/facts
public_key=$(sed -n 's/^public_key *= "\(.*\)" .*/\1/p' kh/facts)
known_answer=$(sed -n 's/^known_answer *= "\(.*\)" .*/\1/p' kh/facts)
key_hash() { sed -n 's/^key hash *//p' "$1"; }
for partner in net:00000099400000010000 g-a:00000099100001410000; do
    printf '[[partner]]\noin = "%s"\nkey_hashes = ["%s"]\nelements_per_day = 200\n\n' \
        "${partner#*:}" "$(key_hash "ca/${partner%%:*}.facts")" >> kh/roster.toml
done
mkdir -p kh/data
sed "s/^address = .*/address = \"127.0.0.1:$keyholder\"/" "$here/config/keyholder.toml" > kh/keyholder.toml
"$sluis" keyholder --config kh/keyholder.toml 2> kh/log &
pids+=($!)

# --- The hub: the network's operator -------------------------------------------------------------------------------------
mkdir -p hub/tls hub/data
cp ca/anchors.pem ca/hub.pem ca/hub.key ca/operator.pem hub/tls/
"$sluis" hub init --dir hub/keys
sed -e "s/^address = .*/address = \"127.0.0.1:$hub\"/" \
    -e "s/^known_answer = .*/known_answer = \"$known_answer\"/" \
    -e "s/^operator = .*/operator = \"tls\/operator.pem\"/" \
    "$here/config/hub.toml" > hub/hub.toml
"$sluis" hub --config hub/hub.toml 2> hub/log &
pids+=($!)

# The operator named in hub.toml registers the partners and their certificates. NET coordinates: standing role R03.
registry() {
    "$sluis" registry --address "127.0.0.1:$hub" --anchors ca/anchors.pem \
        --certificate ca/operator.pem --key ca/operator.key "$@"
}
for _ in $(seq 50); do registry partner --oin 00000099400000010000 --name "Netwerkbureau" --kind netwerk \
    --standing R03 --standing R04 2> last && break; sleep 0.2; done
registry partner --oin 00000099100001410000 --name "Gemeente A" --kind gemeente
# The log's public key, which the operator publishes: agents hold the hub's receipts against it.
log_key=$(sed -n 's/.*"log":"\([^"]*\)".*/\1/p' hub/log | head -n 1)
registry certificate ca/net.pem
registry certificate ca/g-a.pem

# --- Each partner: its agent ---------------------------------------------------------------------------------------------
agent() { # name, OIN, display name, range of ports
    local local_port
    local_port=$(shuf -i "$4" -n 1)
    "$sluis" agent init --dir "$1" --oin "$2" --name "$3"
    mkdir -p "$1/tls"
    cp ca/anchors.pem "$1/tls/"
    cp "ca/$1.pem" "$1/tls/organisation.pem"
    cp "ca/$1.key" "$1/tls/organisation.key"
    awk -v oin="$2" -v hub="$hub" -v keyholder="$keyholder" -v here="$local_port" -v key="$public_key" -v log_key="$log_key" '
        /^\[/ { section = $0 }
        section == "[organisation]" && /^oin/ { $0 = "oin = \"" oin "\"" }
        section == "[hub]" && /^address/ { $0 = "address = \"127.0.0.1:" hub "\"" }
        section == "[keyholder]" && /^address/ { $0 = "address = \"127.0.0.1:" keyholder "\"" }
        section == "[local]" && /^address/ { $0 = "address = \"127.0.0.1:" here "\"" }
        /^server_name/ { $0 = "server_name = \"localhost\"" }
        /^public_key/ { $0 = "public_key = \"" key "\"" }
        /^# log_key/ { $0 = "log_key = \"" log_key "\"" }
        { print }' "$here/config/agent.toml" > "$1/agent.toml"
    "$sluis" agent --config "$1/agent.toml" 2> "$1/log" &
    pids+=($!)

    # What every call of the partner's own systems looks like: the agent's address, a certificate of its local CA.
    covenant() {
        "$sluis" covenant --address "127.0.0.1:$local_port" --anchors "$name/local/anchors.pem" \
            --certificate "$name/local/system.pem" --key "$name/local/system.key" "$@"
    }
    local name="$1" hash
    for _ in $(seq 50); do covenant show > "$name/covenant.txt" 2> last && break; sleep 0.2; done
    # Somebody who may bind the organisation reads covenant.txt; then signs exactly that text.
    hash=$(sed -n 's/^content hash: //p' "$name/covenant.txt")
    covenant sign --content-hash "$hash"
}
agent net 00000099400000010000 "Netwerkbureau" 31000-35000
agent g-a 00000099100001410000 "Gemeente A" 36000-40000
echo "the network is up in $dir"
