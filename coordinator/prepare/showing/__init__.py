"""What each cluster looks like.

describing.py  What each cluster is about, in words and figures: clusters.json, which clusters.html shows
examples.py    Pictures that show what a cluster is: decoded once, for clusters.png and clusters.html
page.py        clusters.html: one card a cluster in one file that needs nothing else, no script and no network
panels.py      clusters.png: one panel a cluster, its pictures in a captioned grid, the most typical first
"""
