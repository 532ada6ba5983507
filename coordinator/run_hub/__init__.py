"""The run's two repos on a Hub, public or embedded.

comments.py         the comment on a pull request that is closed
client.py           the repos: uploads, registration, pull requests
mailboxes.py        records on the model repo: volunteers' mailboxes, the coordinator's files
connect.py          the client with the organiser's token
embedded.py         the embedded Hub as a child process
browsing.py         what is on a Hub, read for people
browsing_tables.py  the same as tables in the terminal
"""
