"""The volunteer's side of the Hub.

client.py        The Hub client of a node: the stock huggingface_hub with an endpoint, and what its failures mean
file.py          One file of a Hub repo, and one ranged request for what is missing of it
pull_request.py  The finished expert as one pull request on the run's model repo
tokens.py        Which token this volunteer shows to a Hub
"""
