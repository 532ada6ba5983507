"""HTML pages for people.

page.py  Three plain pages for people: all repositories, one of them, one discussion. No script
"""
