"""The volunteer's hand on a running node: pause, resume, finish, leave and status from another shell.

wishes.py      what the volunteer has asked for; the work looks at it
messages.py    requests and replies: JSON lines
address.py     the socket in the home
server.py      answers requests in the node
client.py      asks the node
"""
