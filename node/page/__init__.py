"""The volunteer's own page: the running node in a browser, by `paris-node join RUN --page`.

server.py     listens, in a thread of the node; the address with its token
app.py        which request gets what
guard.py      what every request must be before anything answers it
sessions.py   browsers that have shown the token
stream.py     a page's changes, as they happen
rendering.py  templates, and the fragments that are sent again
content.py    what the page shows
chart.py      the loss as a curve
metrics.py    /metrics, for Prometheus
controls.py   from a form to a request, as the control socket takes it
site.py       what the page is made of
"""
