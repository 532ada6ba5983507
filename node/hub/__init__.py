"""The volunteer's side of the Hub.

account.py       under which token the volunteer acts at the run's Hub; asks for one
additions.py     files as a commit takes them, within the upload limit, and counted
client.py        an endpoint and a token; errors as transient or permanent
file.py          one file, by ranged requests
mailbox.py       files of records on the model repo
pull_request.py  the finished expert as one pull request
sending.py       how much of an upload has gone out
tokens.py        which token a Hub gets
"""
