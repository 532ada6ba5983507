"""What a volunteer sees before the first join of a run: what it is, what it takes here, and one question.

welcome.py        shows it, and asks at a terminal
introduction.py   the run and this machine in lines
picture.py        the run's samples in a terminal's characters
"""
