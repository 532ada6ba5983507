"""What a run will cost, before anybody joins: time by card, memory, disk, bytes; and settings that cannot work.

plan.py         the plan as a whole, and its parts as data
build.py        makes it
facts.py        what it starts from: settings, rows, bytes, measured speeds
work.py         floating point operations of each stage
volume.py       bytes on the volunteers' machines, the Hub and the organiser's disk
by_card.py      the work on one card: rows together, hours, days
checking.py     verification of a run's legs: replays or audits, lanes
needs.py        memory and disk that a task asks for
problems.py     settings that cannot work, and warnings
refusal.py      whether `publish-tasks` goes on
networks.py     size and operations of frozen networks
cards.py        cards and their assumed rates
cards.toml      the table of cards
speed.py        speed of a device, from measured steps; pure
measuring.py    the child process that measures steps of the real training
measured.py     starts it; speeds that a run directory remembers
recipes.py      the packaged recipes, each with its cost
tables.py       plan and recipes as text
"""
