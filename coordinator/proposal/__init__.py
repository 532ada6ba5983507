"""From somebody's own pictures to the settings of a run: look at a source, choose, explain; later, check.

survey.py          looks at a source: rows, captions, licences, a sample of the pictures
findings.py        what a survey found
detecting.py       what kind of source a path or a name is
texts.py           captions: how many, how long, in which language
looking.py         a bounded sample of the rows, decoded
option_words.py    errors of a source without run.toml name options
fingerprint.py     which files there were, so that `prepare` can name what changed

choices.py         pure: from a survey and wishes to a RunConfig with reasons
wishes.py          wishes, reasons and proposals as data
wish_checks.py     wishes that no pictures can meet
undecided.py       pure: captions and licence, or that only the organiser can tell
bases.py           settings that do not depend on the data
picture_choices.py   pure: side and filters
training_choices.py  pure: model, batch, steps, time limits
sizing.py          pure: the rules behind them, as numbers
asking.py          what a survey cannot tell, as questions
run_toml.py        a proposal as a commented run.toml
field_docs.py      the comments: what the settings' classes say about their fields
showing.py         tables for people, objects for programs

checking.py        `check-config`: all checks of a run
remarks.py         what it says about a setting
validating.py      invalid fields
contradictions.py  pure: settings that contradict each other
misfits.py         pure: settings that do not fit the pictures
planned.py         what the plan says about the settings
errors.py          typed errors
"""
