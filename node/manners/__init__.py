"""When this machine may train, by its owner's settings.

times.py       "2h" and "18:00" as seconds
pause.py       a reason to pause
"""
