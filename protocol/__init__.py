"""What machines of a run exchange: signed records, and the DHT peer. No torch, no Hub; only `dht/` imports hivemind.

errors.py      typed errors with a next step and an exit code
version.py     protocol and software version
limits.py      limits that every peer enforces
locks.py       exclusive locks between processes
private_files.py  files of secrets, written whole
canonical.py   canonical JSON, and strict parsing
signing.py     Ed25519 identities
runid.py       run ids, which contain the key's fingerprint
fields.py      field types of records
payload.py     the base of the payloads
audit_order.py  what makes a lease one of an audit
size_needs.py  what a smaller size of an expert needs
run_records.py   records that describe the run
summary.py     the state of a run in a few counts
work_records.py  records of the work on a task
record_rules.py  who may sign each kind, size and life
envelope.py    the signed envelope around each payload
keys.py        DHT keys, subkeys, buckets
manifest.py    a cluster's shard list, whole and in parts
chain.py       the snapshots of a leg, as a file of its submission
draws.py       which stretches of a leg are trained again
audits.py      sketches of states, by which audits are compared
sizes.py       the run's model and smaller ones, by a record's number
lanes.py       ids of trainings of one expert side by side
leases.py      the deadline curve, and when a lease is overdue or renewed
addresses.py   multiaddrs: splitting, sorting, free ports
run_peer.py    a peer of the run, as node and coordinator use it
outcome.py     what became of a published record
record_shelves.py  the records that a peer holds, and their limits
shard_request.py  a signed request for a shard, and its response
line.py        what a volunteer asks the coordinator directly, and the reply
refusals.py    why a peer refuses a record
admission.py   who may take places at a peer: by a lease, or by work
invites.py     an invite as text
want_work.py   the proof of work of a want
validator.py   which records a peer stores and uses
clock.py       the steady clock, and jumps of the wall clock
sealer.py      seals one identity's records with increasing sequences
record_file.py  sealed records as a file of the model repo
hub_layout.py  file names in a run's two repos
hub_answers.py  whether an answer came from the Hub, or from a login page or proxy
hub_redirects.py  redirects of a Hub into a private network
hub_session.py  the HTTP client that huggingface_hub uses: time limits, proxies, the Hub's own answers
lifeline.py    ends a child process with its parent
logs.py        logging of both programs
secrets.py     tokens: checked, kept to encrypted connections, removed from what is written
telemetry.py   turns off the usage statistics of libraries
child_output.py  the output of a child process, in a bounded file
printable.py   texts of strangers on a terminal
templates.py   and on a page, with assets/, what style sheets and scripts of all pages share
counted.py     a number with its word
streams.py     stdout and stderr that never stop the work
signals.py     the signals that ask a program to stop
dht/           a peer over the DHT: hivemind's DHTNode in our own event loop
"""
