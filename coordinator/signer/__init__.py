"""The run's key in a process of its own: `paris-coord signer`, which the service asks for each signature.

messages.py   what is asked and answered
key.py        what the key may be used for
server.py     answers at a Unix socket
client.py     the run's key as the service sees it
"""
