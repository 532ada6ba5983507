"""The organiser's page: what the run does, in a browser, and /metrics. It reads the run; all it writes are orders.

__main__.py     the page as a process of its own, or in front of the embedded Hub
server.py       the page's own server
front.py        which requests are the page's, the others are the Hub's
access.py       who sees what: the organiser on this machine, the world
app.py          requests to views; headers
orders.py       the organiser's orders: what each does
order_pages.py  their forms, and what the forms send
sessions.py     who may give orders
metrics.py      /metrics
stream.py       server-sent events: fragments of pages that changed
pages.py        rendered pages, each once for all who watch it
rendering.py    templates and their fragments
views.py        what each page shows
queries.py      the parameters of a page's address
tables.py       rows of the pages, from the state
charts.py       SVG charts
card.py         the picture of the public page for other sites
folder.py       files of the run directory that pages show
reading.py      the state, read-only
replay.py       the run as it was at any event
templates/      Jinja2
assets/         style sheet and script
"""
