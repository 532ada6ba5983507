"""First pass: which rows are used, with features and captions.

captioner.py        A BLIP or BLIP-2 model of transformers that says what is in a picture. One a process
captions.py         Captions for the pictures that have none, by a captioner, marked `synthetic:MODEL@REVISION`
embedding.py        First pass over the pictures: decode, filter, embed
filters.py          What is left out, and why: by what is written of a row, by its picture, as a double of another
near_duplicates.py  Pictures that are nearly the same: perceptual hashes a few bits apart
"""
