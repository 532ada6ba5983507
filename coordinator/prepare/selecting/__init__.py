"""First pass over the pictures: which rows are used, with features and captions.

embedding.py        decode, filter, embed
filters.py          rows that are dropped: by metadata, by picture, as duplicates
near_duplicates.py  perceptual hashes a few bits apart
captions.py         captions for the pictures without one
captioner.py        a BLIP or BLIP-2 model
"""
