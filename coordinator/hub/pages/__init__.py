"""The Hub in a browser: pages of HTML and CSS without scripts, forms, or anything from elsewhere.

repo_pages.py       all repositories; one with its card; branches and tags
file_pages.py       a folder; a file
commit_pages.py     history; a commit with its changes
thread_pages.py     discussions and pull requests, and what became of them
contents.py         what a file's page shows of its bytes
safetensors.py      the header of a safetensors file
parquet_preview.py  columns and first rows of a Parquet file
parquet_child.py    reads them, in a process of its own
cards.py            a card's metadata as rows; texts in Markdown as HTML
links.py            addresses of pages and files
rendering.py        templates, headers of an answer, pages of refusals
templates/          Jinja2, with every text escaped
assets/             the style sheet, which is part of every page

Whoever may read a repository by the API may see its pages; a browser sends no token, so it shows the public ones.
Everything shown comes from strangers: each handler bounds what it reads and renders.
"""
