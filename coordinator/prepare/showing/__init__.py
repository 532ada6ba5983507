"""What each cluster contains, for people.

describing.py  clusters.json: frequent words and figures
examples.py    example pictures of each cluster
panels.py      clusters.png: one panel a cluster
page.py        clusters.html: one card a cluster
"""
