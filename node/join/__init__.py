"""From RUN on the command line to a running agent.

joining.py     starts and stops what an agent needs
assembling.py  its parts: watch, session, account, sources of data
request.py     what is asked of it
stopping.py    the signals that end it
answers.py     to what the volunteer asks from another shell
own_page.py    the node's page, where the volunteer wants it
search.py      RUN to a connection with its peers; waits for a run that does not answer
resolve.py     RUN to the signed RunSpec, checked against the run id and the pinned key
"""
