"""The run's two repos on a Hub, public or embedded.

client.py    the repos: uploads, registration, pull requests
connect.py   the client with the organiser's token
embedded.py  the embedded Hub as a child process
"""
