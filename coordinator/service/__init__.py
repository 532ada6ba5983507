"""`paris-coord serve`: the running coordinator.

startup.py      starting and stopping: lock, Hub, DHT peer, description, loop
standing.py     who leads: the one coordinator, or one of several of a database
peering.py      starts the coordinator's peer in the DHT
loop.py         observe, decide by tick, save, act, publish
hub_way.py      the way through the Hub
mailboxes.py    which mailboxes on the Hub count
ways.py         where volunteers' records come from, and where the coordinator's can be read
line.py         the direct way: what volunteers ask, and the replies
told.py         which records concern one volunteer
sealed_records.py  those records, each sealed once
request_rates.py   how often a key or a peer may ask
swarm.py        the way through the DHT, and the peer that is restarted
publisher.py    which records the DHT should hold, and when each is due
executor.py     runs actions in threads, each once at a time
verifier.py     action: verification of a submission
verifying.py    the child processes that verify, each one submission after another
candidates.py   verified weights of earlier work that a submission is compared with
references.py   trusted trainings that a submission is compared with
registering.py  action: registering or rejecting a submission on the Hub
grids.py        action: a grid of samples for the page, in a child process
lane_means.py   action: the mean of the states of an expert's lanes
router.py       action: router training in a child process
releases.py     action: a release, in a child process
health.py       figures of the running service, for the page and /metrics
notices.py      notices of what happens to the organiser's webhooks
webhooks.py     posting to one of them
page.py         the page's own server, a child process
upload.py       prepared data and run.json on the Hub, before the loop
garbage.py      what a run directory no longer needs
tasks.py        `paris-coord publish-tasks`
ordering.py     `paris-coord ban`, `allow`, `revoke`, `unregister`, `roll-back`
"""
