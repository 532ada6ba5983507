"""The run's two repos on a Hub.

client.py    The organiser's side of the Hub: one client, whatever the endpoint
connect.py   Reaching the run's Hub with the organiser's token; an embedded one is started where it does not run
embedded.py  The Hub of a run that serves its own: a child process, ready before anything needs it
"""
