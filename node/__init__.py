"""The volunteer's client: `paris-node join RUN`. Two processes: the agent (network, state, view) and the trainer (torch).

    cli.py               the commands
    config.py            the volunteer's settings, and where each comes from
    errors.py            what a person can act on; type -> message, next step, exit code
    resolve.py           RUN -> the signed RunSpec, with the run's key pinned
    hardware.py          what this machine can take
    home.py              the folder that remembers everything
    lock.py              one agent a home
    unit.py              one leased task: its state machine on disk
    agent.py             the loop: wait, lease, work, again
    stages.py            the steps of one unit: fetch, train, upload, await the verdict
    swarm.py             this node's DHT peer, kept alive
    heartbeat.py         what this node says again and again
    leasing.py           what the coordinator says to this node
    hub.py               the Hub client; transient and permanent failures told apart
    retry.py             one bounded back-off
    fetch.py             resumable, verified downloads
    cache.py             downloads by content hash, within a byte limit
    training_process.py  starts the trainer, and starts it again
    trainer.py           the trainer: torch, and no network
    submit.py            the finished expert as a pull request
    view.py              what the volunteer sees
    check.py             `paris-node check`
"""
