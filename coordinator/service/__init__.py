"""`paris-coord serve`: the running coordinator.

actions.py      The heavy work behind the actions: verification and router training
executor.py     Carries out what `tick` decided, each piece of work once at a time
loop.py         `paris-coord serve`: the loop around `tick`. It observes the DHT, saves, acts, publishes
publisher.py    What the DHT should hold, as a function of the state: records are stored again before they expire
registering.py  Registration: a copy pinned to exactly the verified bytes, and the verdict on the pull request
startup.py      Bringing a coordinator up and down: lock, Hub, DHT peer, published description, then the loop
tasks.py        `paris-coord publish-tasks`: opens the tasks in the coordinator's memory; `serve` does the rest
upload.py       What `serve` puts on the Hub before the loop begins: the prepared data once
"""
