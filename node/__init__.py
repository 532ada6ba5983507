"""The volunteer's client: `paris-node join RUN`.

Two processes: the agent (network, state, view) and the trainer (torch, and no network).

cli.py               the commands
config.py            the volunteer's settings, and where each comes from
errors.py            what a person can act on; type -> message, next step, exit code
resolve.py           RUN -> the signed RunSpec, with the run's key pinned
hardware.py          what this machine can take
home.py              the folder that remembers everything
lock.py              one agent a home
unit.py              one leased task: its state machine on disk
joining.py           from the command line to a running node
node.py              what the parts of a running node share
agent.py             the loop: wait, lease, work, again
work.py              one unit at work: what its stages share
stages.py            which stage a unit's state asks for
training_stage.py    leased -> fetching -> training -> uploading
submission_stage.py  uploading -> awaiting-verdict -> done
swarm.py             this node's DHT peer, kept alive
heartbeat.py         what this node says again and again
leasing.py           what the coordinator says to this node
account.py           which token a Hub gets to see
hub.py               the Hub client; transient and permanent failures told apart
retry.py             one bounded back-off
hub_file.py          one file of a Hub repo, one ranged request
fetch.py             resumable, verified downloads
fetch_queue.py       which file to try next, and when
peers.py             other volunteers as a source of files
needs.py             which shards the trainer will need soon
background_fetch.py  shards arrive while the trainer works
bandwidth.py         how many bytes a second may pass
sharing/             shards between volunteers
text_files.py        the run's text encoder
cache.py             downloads by content hash, within a byte limit
training_process.py  starts the trainer, and starts it again
trainer.py           the trainer: torch, and no network
trainer_task.py      from the order to a training
submit.py            the finished expert as a pull request
view.py              what the volunteer sees
check.py             `paris-node check`
"""
